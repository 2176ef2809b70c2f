// A person in Chromium: signs up, reads the mail in the inbox, verifies the address, comes back by a link.
//
// node tests/sign-up.mjs APP INBOX [FOLDER]: where the app and the inbox are, and where pictures go.
import assert from "node:assert/strict";
import { accessSync, constants, mkdirSync } from "node:fs";
import { delimiter, join } from "node:path";

import { chromium } from "playwright-core";

const [app = "http://localhost:5173", inbox = "http://127.0.0.1:26703", pictures] = process.argv.slice(2);
const ADA = `ada-${Date.now()}@example.com`;
const PASSWORD = "Correct-horse-9";
const BROWSERS = ["chromium", "chromium-browser", "google-chrome"];

function findBrowser() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const found = folders
    .flatMap((folder) => BROWSERS.map((name) => join(folder, name)))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
  assert.ok(found, `none of ${BROWSERS.join(", ")} is in PATH`);
  return found;
}

/** The link in the newest of `count` mails, once that many are there. */
async function mailedLink(count) {
  const mailbox = `${inbox}/api/v1/mailbox/${ADA.split("@")[0]}`;
  for (let look = 0; look < 100; look++) {
    const mails = await (await fetch(mailbox)).json();
    if (mails.length >= count) {
      const { body } = await (await fetch(`${mailbox}/${mails.at(-1).id}`)).json();
      const link = body.text.match(/https?:\/\/\S+code=\w+/);
      assert.ok(link, body.text);
      return link[0];
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(`there are no ${count} mails for ${ADA}`);
}

if (pictures) mkdirSync(pictures, { recursive: true });
const browser = await chromium.launch({
  executablePath: findBrowser(),
  // The sandbox does not start as root, as in containers.
  args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
});
try {
  const page = await browser.newPage({ colorScheme: "light", viewport: { width: 720, height: 560 } });
  page.setDefaultTimeout(60_000);
  const picture = (name) => pictures && page.screenshot({ path: join(pictures, `${name}.png`) });
  const says = (text) => page.locator("main", { hasText: text }).waitFor();

  await page.goto(app);
  await page.getByLabel("Email").fill(ADA);
  await page.getByLabel("Password").fill(PASSWORD);
  await picture("sign-in");
  await page.getByRole("button", { name: "Sign up" }).click();
  await says("not verified yet");
  await picture("signed-up");
  console.log("signed up");

  await page.goto(await mailedLink(1));
  await says("Your address is verified.");
  await says("(verified)");
  await picture("verified");
  console.log("verified the address");

  await page.getByLabel("Name").fill("Ada");
  await page.getByRole("button", { name: "Save" }).click();
  await says("Saved.");
  await page.getByRole("button", { name: "Sign out" }).click();
  await says("Signed out.");
  await page.getByLabel("Email").fill(ADA);
  await page.getByLabel("Password").fill("not the password");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("#message", { hasText: /password/i }).waitFor();
  await page.emulateMedia({ colorScheme: "dark" });
  await picture("refused-dark");
  await page.getByRole("button", { name: "Mail me a link" }).click();
  await says("A mail with a link is on its way.");
  console.log("signed out");

  await page.goto(await mailedLink(2));
  await says(`Signed in as ${ADA}`);
  assert.equal(await page.getByLabel("Name").inputValue(), "Ada");
  await picture("back-dark");
  console.log("signed in by a link");
} finally {
  await browser.close();
}
