// Chromium without a window: opens the page in a scenario, collects what goes wrong in it, and asks axe.
import { accessSync, constants, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";

import type { AxeResults } from "axe-core";
import { chromium } from "playwright-core";
import type { Browser, Page } from "playwright-core";
import { inject } from "vitest";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The browser of this machine. */
function findBrowser(): string {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    for (const name of NAMES) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch {
        // Not in this folder.
      }
    }
  }
  throw new Error(`none of ${NAMES.join(", ")} is in PATH; run \`cargo xtask setup\``);
}

/** Starts the browser. */
export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: findBrowser(),
    // The sandbox refuses to be started by root, as in containers.
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
  });
}

export type Theme = "light" | "dark";
export type View = {
  page: string;
  scenario: string;
  theme?: Theme;
  width?: number;
  height?: number;
};

/** A page that is open, and what went wrong in it. */
export type Opened = { page: Page; faults: string[]; close: () => Promise<void> };

/** Opens a page of the app. */
export async function open(browser: Browser, view: View): Promise<Opened> {
  const { theme = "light", width = 920, height = 640 } = view;
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: theme,
    reducedMotion: "reduce",
    locale: "en-GB",
    timezoneId: "UTC",
  });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") faults.push(message.text());
  });
  await page.goto(`${inject("address")}mock.html?scenario=${view.scenario}#/${view.page}`);
  await page.locator("#app main").waitFor();
  return { page, faults, close: () => context.close() };
}

/** What axe has against the page, one line each. */
export async function violations(page: Page): Promise<string[]> {
  // Evaluated by the debugger, which the page's content security policy does not bind.
  await page.evaluate(AXE);
  const results = await page.evaluate(async () => {
    const axe = (window as unknown as { axe: { run: (options: object) => Promise<AxeResults> } }).axe;
    return axe.run({ resultTypes: ["violations"] });
  });
  return results.violations.flatMap(({ id, help, nodes }) =>
    nodes.map(
      (node) =>
        `${id}: ${help}: ${node.html.slice(0, 160)} ${node.failureSummary?.replaceAll("\n", " ") ?? ""}`,
    ),
  );
}

/** Whether the page is wider than its window anywhere. */
export function overflow(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const wide = [document.documentElement, ...document.querySelectorAll("main")].filter(
      (element) => element.scrollWidth > element.clientWidth,
    );
    return wide.map((element) => `${element.tagName}: ${element.scrollWidth} > ${element.clientWidth}`);
  });
}
