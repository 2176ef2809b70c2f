// The mail inbox in a real browser: read, copied from, searched, kept up to date, deleted.
//
// node inbox.mjs FOLDER, with JSON on standard input: where the inbox and the backend are, and an app's project that
// may mail codes. The inbox has a hostile mail to lin, then codes to grace.hopper+test and ada. Pictures go into the folder.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { isUsable, launch } from "./support.mjs";

const given = JSON.parse(readFileSync(0, "utf8"));
const pictures = process.argv[2];
mkdirSync(pictures, { recursive: true });
const { browser, context } = await launch(given.inbox);
const page = await context.newPage();

/** What the browser says of a hostile mail's script, picture and style sheet. */
const HARMLESS = /^(Blocked script execution|Loading the (image|stylesheet) '[^']*' violates)/;
const faults = [];
const foreign = [];
page.on("pageerror", (error) => faults.push(error.message));
page.on("console", (message) => {
  if (["error", "warning"].includes(message.type()) && !HARMLESS.test(message.text())) faults.push(message.text());
});
page.on("requestfinished", (request) => {
  if (!request.url().startsWith(`${given.inbox}/`)) foreign.push(request.url());
});

const press = (name) => page.getByRole("button", { name, exact: true }).click();
const recipients = () => page.locator("#mails .to").allTextContents();
const subject = () => page.locator("#subject").textContent();
const clipboard = () => page.evaluate(() => navigator.clipboard.readText());

async function eventually(what, isSo) {
  const started = Date.now();
  while (!(await isSo())) {
    assert.ok(Date.now() - started < 20_000, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Takes pictures of what is shown, light, dark and narrow, and looks for what keeps people from using it. */
async function picture(name) {
  for (const [suffix, colorScheme, width] of [
    ["light", "light", 1180],
    ["dark", "dark", 1180],
    ["narrow", "light", 390],
  ]) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 800 });
    await page.screenshot({ path: join(pictures, `${name}-${suffix}.png`) });
    await isUsable(page, `${name}-${suffix}`, width);
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1180, height: 800 });
}

async function mailsAreListed() {
  await page.goto(given.inbox);
  await eventually("three mails", async () => (await recipients()).length === 3);
  assert.deepEqual(await recipients(), ["ada@example.com", "grace.hopper+test@example.com", "lin@example.com"]);
  assert.match(await page.title(), /^\(3\) /);
  await picture("list");
}

async function aCodeIsCopiedByKeyboardAlone() {
  await page.keyboard.press("ArrowDown");
  await page.locator("#code-row").waitFor();
  const code = await page.locator("#code").textContent();
  assert.match(await subject(), new RegExp(`${code}$`));
  await page.keyboard.press("c");
  await page.getByText("Copied").waitFor();
  assert.equal(await clipboard(), code);
  await press("Copy link");
  await eventually("a copied link", async () => (await clipboard()).startsWith("http://localhost:3000/in?code="));
  await eventually("one mail read", async () => /^\(2\) /.test(await page.title()));
  await page.getByRole("button", { name: "Copy link", exact: true }).waitFor();
  await picture("code");
  await page.reload();
  await page.locator("#code-row").waitFor();
  assert.equal(await page.locator("#code").textContent(), code);
}

async function hostileHtmlDoesNothing() {
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await eventually("lin's mail", async () => (await subject()) === "Grüße <b>aus</b> dem Laden");
  assert.ok(await page.locator("#code-row").isHidden());
  await press("HTML");
  const frame = page.frameLocator("#html");
  await frame.getByRole("heading", { name: "Your order" }).waitFor();
  assert.ok(!(await page.title()).includes("owned"));
  await picture("html");
  const opened = context.waitForEvent("page");
  await frame.getByRole("link", { name: "See it" }).click();
  const other = await opened;
  await other.waitForLoadState();
  assert.equal(other.url(), `${given.backend}/health`);
  assert.equal(await other.evaluate(() => globalThis.opener), null);
  await other.close();
  assert.equal(await subject(), "Grüße <b>aus</b> dem Laden");
}

async function aMailAppearsByItself() {
  const sent = await fetch(`${given.backend}/api/v1/auth/otp/send-sign-in-code`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "x-stack-project-id": given.project,
      "x-stack-access-type": "client",
      "x-stack-publishable-client-key": given.publishableKey,
    },
    body: JSON.stringify({ email: "bob@example.com", callback_url: "http://localhost:3000/in" }),
  });
  assert.equal(sent.status, 200);
  await eventually("bob's mail", async () => (await recipients())[0] === "bob@example.com");
  // What is being read stays.
  assert.equal(await subject(), "Grüße <b>aus</b> dem Laden");
}

async function mailsAreFound() {
  // Out of the mail's frame, in which no key is the page's.
  await page.locator("#subject").click();
  await page.keyboard.press("/");
  await page.keyboard.type("GRACE");
  await eventually("grace's mail", async () => (await recipients()).join() === "grace.hopper+test@example.com");
  await page.keyboard.type(" nobody");
  await page.getByText("No mail matches.").waitFor();
  await picture("search");
  await page.keyboard.press("Escape");
  await eventually("all mails", async () => (await recipients()).length === 4);
}

async function mailsAreDeleted() {
  await page.getByText("ada@example.com").click();
  await eventually("ada's mail", async () => (await page.locator("#to").textContent()) === "ada@example.com");
  await page.keyboard.press("Delete");
  await eventually("three mails", async () => (await recipients()).length === 3);
  // The next one is open.
  await eventually("grace's mail", async () => (await page.locator("#to").textContent()).startsWith("grace"));
  await press("Delete all");
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  assert.equal((await recipients()).length, 3);
  await press("Delete all");
  await picture("sure");
  await page.getByRole("dialog").getByRole("button", { name: "Delete all" }).click();
  await page.getByText("No mails yet.").waitFor();
  assert.ok(await page.locator("#reading").isHidden());
  await picture("empty");
}

async function whatFailsIsSaid() {
  await context.route("**/page/**", (route) => route.abort());
  await page.getByText("No answer from the emulator.").waitFor();
  faults.splice(0);
  await context.unroute("**/page/**");
  await page.locator("#notice").waitFor({ state: "hidden" });
  faults.splice(0);
}

const STEPS = [
  mailsAreListed,
  aCodeIsCopiedByKeyboardAlone,
  hostileHtmlDoesNothing,
  aMailAppearsByItself,
  mailsAreFound,
  mailsAreDeleted,
  whatFailsIsSaid,
];
try {
  for (const step of STEPS) {
    await step();
    console.log(`ok: ${step.name}`);
    // Before a step whose faults are on purpose drops them.
    assert.deepEqual([faults, foreign], [[], []]);
  }
} catch (error) {
  await page.screenshot({ path: join(pictures, "failed.png") });
  console.error(`${error.stack}\nat ${page.url()}\n${faults.join("\n")}`);
  process.exitCode = 1;
}
await browser.close();
