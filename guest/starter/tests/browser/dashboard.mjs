// The dashboard in a real browser, from signing in to a user and a team that were made, changed and deleted.
//
// node dashboard.mjs FOLDER, with JSON on standard input: where the dashboard and the backend are, a link's code, the
// server key, an app's project with users, and the number of users. Pictures of each view go into the folder.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { isUsable, launch } from "./support.mjs";

const given = JSON.parse(readFileSync(0, "utf8"));
const pictures = process.argv[2];
const HOSTILE = "<img src=x onerror=document.title='owned'>";

mkdirSync(pictures, { recursive: true });
const { browser, context } = await launch(given.dashboard);

const faults = [];
/** What the browser says of answers that are errors on purpose. */
const EXPECTED = /Failed to load resource: (the server responded with a status of (400|401|404|409)|net::ERR_FAILED)/;

function watch(page) {
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !EXPECTED.test(message.text())) {
      faults.push(message.text());
    }
  });
  return page;
}

const page = watch(await context.newPage());
const heading = (name) => page.getByRole("heading", { level: 1, name });
const press = (name) => page.getByRole("button", { name, exact: true }).click();
const dialog = () => page.getByRole("dialog");
const inDialog = (name) => dialog().getByRole("button", { name, exact: true }).click();
const part = (name) => page.getByRole("region", { name, exact: true });
const said = (text) => page.locator(".notice", { hasText: text }).first().waitFor();

/** Takes pictures of what is shown, light, dark and narrow, and looks for what keeps people from using it. */
async function picture(name) {
  await page.locator(".notice").first().waitFor({ state: "detached" });
  for (const [suffix, colorScheme, width] of [
    ["light", "light", 1180],
    ["dark", "dark", 1180],
    ["narrow", "light", 390],
  ]) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 800 });
    await page.screenshot({ path: join(pictures, `${name}-${suffix}.png`), fullPage: (await dialog().count()) === 0 });
    await isUsable(page, `${name}-${suffix}`, width);
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1180, height: 800 });
}

async function signingIn() {
  await page.goto(given.dashboard);
  await heading("Sign in to the dashboard").waitFor();
  await page.getByText("Backend connected at").waitFor();
  await page.getByLabel("Secret server key").fill("0".repeat(64));
  await press("Sign in");
  await page.getByRole("alert").getByText("This is not the emulator's secret server key.").waitFor();
  await picture("sign-in");
  await page.getByLabel("Secret server key").fill(given.serverKey);
  await page.keyboard.press("Enter");
  await heading("Projects").waitFor();
  await press("Sign out");
  await heading("Sign in to the dashboard").waitFor();
  await page.reload();
  await heading("Sign in to the dashboard").waitFor();

  await page.goto("about:blank");
  await page.goto(`${given.dashboard}/handler/sign-in#code=${given.code}`);
  await heading("Projects").waitFor();
  assert.ok(!page.url().includes(given.code) && !page.url().includes("sign-in"), page.url());
  const cookies = await context.cookies();
  assert.deepEqual(
    cookies.map(({ httpOnly, sameSite }) => [httpOnly, sameSite]),
    [[true, "Strict"]],
  );
  await page.reload();
  await heading("Projects").waitFor();
  await page.getByText(given.configFile).waitFor();
  await page.getByText(`${given.users} users, 0 teams`).waitFor();
  await picture("projects");

  const other = watch(await context.newPage());
  await other.goto(`${given.dashboard}/handler/sign-in#code=${given.code}`);
  await other.getByText("This link was used before").waitFor();
  // Other tabs of the browser are signed in as well.
  await other.getByRole("heading", { level: 1, name: "Projects" }).waitFor();
  await other.close();
}

async function usersAreFound() {
  await page.getByRole("link", { name: "shop", exact: true }).click();
  await heading("Users").waitFor();
  const names = () => page.locator("tbody .strong").allTextContents();
  const first = await names();
  assert.equal(first.length, 25);
  assert.ok(first.slice(0, 2).includes("Person 28") && !first.includes("Person 1"), "newest first");
  await picture("users");
  await page.getByRole("link", { name: "Next page" }).click();
  await page.getByRole("link", { name: "First page" }).waitFor();
  const second = await names();
  assert.equal(second.length, given.users - 25);
  assert.ok(!second.some((name) => first.includes(name)));
  await page.goBack();
  await page.getByRole("link", { name: "Next page" }).waitFor();
  assert.deepEqual(await names(), first);
  await page.locator("main").focus();
  await page.keyboard.press("/");
  await page.keyboard.type("ADA@");
  await page.waitForURL(/query=ADA/);
  await page.locator("tbody tr").nth(1).waitFor({ state: "detached" });
  assert.deepEqual(await names(), ["ada@example.com"]);
  await page.getByLabel("Search users").fill("nobody at all");
  await page.getByText("No user matches this search.").waitFor();
  await picture("users-none");
}

async function aUserIsMade() {
  await press("Create user");
  await dialog().getByLabel("Name").fill(HOSTILE);
  await dialog().getByLabel("Email", { exact: true }).fill("ada@example.com");
  await dialog().getByLabel("Password").fill("Correct-horse-9");
  await inDialog("Create user");
  await dialog().getByRole("alert").getByText("already exists").waitFor();
  await picture("user-create");
  await dialog().getByLabel("Email", { exact: true }).fill("grace@example.com");
  await inDialog("Create user");
  await heading(HOSTILE).waitFor();
  assert.equal(await page.locator("main img").count(), 0);
  await part("Profile").getByLabel("Name").fill("Grace Hopper");
  await part("Profile").getByText("Metadata", { exact: true }).click();
  await part("Profile").getByLabel("Server metadata").fill("{");
  await part("Profile").getByRole("button", { name: "Save profile" }).click();
  await part("Profile").getByText("Server metadata is not valid JSON.").waitFor();
  await part("Profile").getByLabel("Server metadata").fill('{"plan": "navy"}');
  await part("Profile").getByRole("button", { name: "Save profile" }).click();
  await said("Profile saved.");
  await heading("Grace Hopper").waitFor();
  await part("Profile").getByText("Metadata", { exact: true }).click();
  assert.match(await part("Profile").getByLabel("Server metadata").inputValue(), /"plan": "navy"/);
}

async function addressesAndPasswordChange() {
  await part("Contact channels").getByRole("button", { name: "Add an address" }).click();
  await dialog().getByLabel("Email").fill("hopper@example.com");
  await inDialog("Add address");
  await said("hopper@example.com added.");
  const row = part("Contact channels").getByRole("row", { name: /hopper@/ });
  await row.getByText("Not verified").waitFor();
  await row.getByRole("button", { name: "Edit" }).click();
  await dialog().getByLabel("Verified").check();
  await dialog().getByLabel("Make it the primary address").check();
  await inDialog("Save");
  await said("Address saved.");
  await row.getByText("Primary").waitFor();
  await part("Contact channels").getByRole("row", { name: /grace@/ }).getByRole("button", { name: "Delete" }).click();
  await dialog().getByRole("heading", { name: "Delete grace@example.com?" }).waitFor();
  await inDialog("Delete address");
  await said("grace@example.com deleted.");
  await part("Sign-in methods").getByRole("button", { name: "Change" }).click();
  await dialog().getByLabel("New password").fill("short");
  await inDialog("Change password");
  await dialog().getByRole("alert").getByText(/too short/i).waitFor();
  await dialog().getByLabel("New password").fill("Another-horse-10");
  await inDialog("Change password");
  await said("Password set.");
}

/** Asks the backend as an app does for the user of an access token. */
async function ask(token) {
  return fetch(`${given.backend}/api/v1/users/me`, {
    headers: {
      "x-stack-access-type": "client",
      "x-stack-project-id": given.project,
      "x-stack-publishable-client-key": given.publishableKey,
      "x-stack-access-token": token,
    },
  });
}

async function aSessionIsIssued() {
  await press("Issue a session");
  await dialog().getByLabel("Ends after").selectOption({ label: "1 hour" });
  await picture("session-issue");
  await inDialog("Issue session");
  await dialog().getByRole("heading", { name: "Session issued" }).waitFor();
  await picture("session-issued");
  await dialog().getByRole("button", { name: "Copy access token" }).click();
  await said("access token copied.");
  const token = await page.evaluate(() => navigator.clipboard.readText());
  const me = await (await ask(token)).json();
  assert.equal(me.display_name, "Grace Hopper");
  await inDialog("Done");
  assert.ok(!(await page.content()).includes(token), "the token is gone");
  await part("Sessions").getByRole("button", { name: "Revoke" }).click();
  await inDialog("Revoke session");
  await part("Sessions").getByText("No session.").waitFor();

  await part("API keys").getByRole("button", { name: "Create an API key" }).click();
  await dialog().getByLabel("Description").fill("Nightly job");
  await inDialog("Create key");
  await dialog().getByRole("heading", { name: "API key created" }).waitFor();
  assert.match(await dialog().getByLabel("API key", { exact: true }).inputValue(), /^sk_/);
  await inDialog("Done");
  await picture("user");
  await part("API keys").getByRole("button", { name: "Revoke" }).click();
  await dialog().getByRole("heading", { name: "Revoke “Nightly job”?" }).waitFor();
  await inDialog("Revoke key");
  await part("API keys").getByText("Revoked").waitFor();
}

async function aTeamComesAndGoes() {
  await page.getByRole("link", { name: "Teams" }).click();
  await page.getByText("There are no teams yet.").waitFor();
  await press("Create team");
  await dialog().getByLabel("Name").fill("Compilers");
  await dialog().getByLabel("Creator").fill("nobody@example.com");
  await inDialog("Create team");
  await dialog().getByText("No user matches “nobody@example.com”.").waitFor();
  await dialog().getByLabel("Creator").fill("hopper@example.com");
  await inDialog("Create team");
  await heading("Compilers").waitFor();
  await part("Members").getByRole("link", { name: /Grace Hopper/ }).waitFor();
  await part("Members").getByRole("button", { name: "Add a member" }).click();
  await dialog().getByLabel("User").fill("ada@example.com");
  await inDialog("Add member");
  await part("Members").getByText("2 members").waitFor();
  await picture("team");
  await part("Members").getByRole("row", { name: /ada@/ }).getByRole("button", { name: "Remove" }).click();
  await inDialog("Remove member");
  await part("Members").getByText("1 member", { exact: true }).waitFor();
  await part("Profile").getByLabel("Name").fill("Linkers");
  await part("Profile").getByRole("button", { name: "Save team" }).click();
  await heading("Linkers").waitFor();
  await page.getByRole("navigation", { name: "Project" }).getByRole("link", { name: "Teams" }).click();
  await page.getByRole("link", { name: "Linkers" }).waitFor();
  await picture("teams");
  await page.getByRole("link", { name: "Linkers" }).click();
  await press("Delete team");
  await dialog().getByRole("heading", { name: "Delete the team Linkers?" }).waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await dialog().count(), 0, "the dialog is closed by its key");
  await press("Delete team");
  await inDialog("Delete team");
  await page.getByText("There are no teams yet.").waitFor();
}

async function mailsAreRead() {
  await page.getByRole("link", { name: "Mails" }).click();
  await heading("Mails").waitFor();
  await picture("mails");
  await page.getByRole("link", { name: /Sign in/ }).first().click();
  const letter = page.frameLocator("iframe");
  await letter.getByRole("link").first().waitFor();
  await picture("mail");
  await press("Text");
  await page.locator("pre.letter", { hasText: "http://localhost:3000" }).waitFor();
  await page.goBack();
  await heading("Mails").waitFor();
  await page.getByLabel("Recipient").fill("nobody@example.com");
  await page.keyboard.press("Enter");
  await page.getByText("No mail to nobody@example.com.").waitFor();
}

async function aUserIsDeleted() {
  await page.getByRole("link", { name: "Users" }).click();
  await page.getByLabel("Search users").fill("hopper");
  await page.getByRole("link", { name: /Grace Hopper/ }).click();
  await press("Delete user");
  await dialog().getByRole("heading", { name: "Delete Grace Hopper (hopper@example.com)?" }).waitFor();
  await picture("user-delete");
  await inDialog("Delete user");
  await heading("Users").waitFor();
  await page.getByLabel("Search users").fill("hopper");
  await page.getByText("No user matches this search.").waitFor();
  await page.goBack();
  await page.getByText("User not found.").waitFor();
  await picture("error");
}

async function whatFailsIsSaid() {
  await context.route("**/api/**", (route) => route.abort());
  await page.goto(`${given.dashboard}/#/projects/${given.project}/teams`);
  await page.getByText("The dashboard does not answer.").waitFor();
  await context.unroute("**/api/**");
  await press("Try again");
  await heading("Teams").waitFor();
  await page.evaluate(() =>
    fetch("/session", {
      method: "DELETE",
      headers: { "x-dashboard-session": localStorage.getItem("stack-dashboard-session") },
    }),
  );
  await page.getByRole("link", { name: "Users" }).click();
  await page.getByRole("alert").getByText("Your session has ended").waitFor();
  await page.getByLabel("Secret server key").fill(given.serverKey);
  await page.keyboard.press("Enter");
  // Where one was going to.
  await heading("Users").waitFor();
}

const STEPS = [
  signingIn,
  usersAreFound,
  aUserIsMade,
  addressesAndPasswordChange,
  aSessionIsIssued,
  aTeamComesAndGoes,
  mailsAreRead,
  aUserIsDeleted,
  whatFailsIsSaid,
];
try {
  for (const step of STEPS) {
    await step();
    console.log(`ok: ${step.name}`);
  }
  assert.deepEqual(faults, []);
} catch (error) {
  await page.screenshot({ path: join(pictures, "failed.png") });
  console.error(`${error.stack}\nat ${page.url()}\n${faults.join("\n")}`);
  process.exitCode = 1;
}
await browser.close();
