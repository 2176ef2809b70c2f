// What the pages' scripts have in common: the browser, and what keeps people from using a page.
import assert from "node:assert/strict";
import { accessSync, constants, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";

import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const BROWSERS = ["chromium", "chromium-browser", "google-chrome"];

function findBrowser() {
  const paths = (process.env.PATH ?? "").split(delimiter).flatMap((folder) => BROWSERS.map((name) => join(folder, name)));
  const found = paths.find((path) => {
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

/** A browser, and a context in it that is the same on every machine and may use the clipboard on `origin`. */
export async function launch(origin) {
  const browser = await chromium.launch({
    executablePath: findBrowser(),
    // The sandbox does not start as root, as in containers.
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
  });
  const context = await browser.newContext({
    colorScheme: "light",
    reducedMotion: "reduce",
    locale: "en-GB",
    timezoneId: "UTC",
    viewport: { width: 1180, height: 800 },
  });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin });
  context.setDefaultTimeout(20_000);
  return { browser, context };
}

/** Fails if the page is wider than its window, or if axe objects to something. */
export async function isUsable(page, name, width) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `${name} is ${wide} px too wide at ${width} px`);
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"], iframes: false }));
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
  assert.deepEqual(found, [], `${name}, ${width} px`);
}
