// Headless Chromium: opens the page in a scenario, collects its errors, and runs axe.
import { accessSync, constants, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";

import type { AxeResults } from "axe-core";
import { chromium } from "playwright-core";
import type { Page } from "playwright-core";
import { inject } from "vitest";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The installed browser. */
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

export type Theme = "light" | "dark";
export type View = {
  page: string;
  scenario: string;
  width?: number;
  height?: number;
};

/** One window of a browser, used for one view after the other. */
export class Window {
  readonly page: Page;
  /** What went wrong in the page since it was opened. */
  faults: string[] = [];

  private constructor(page: Page) {
    this.page = page;
    page.on("pageerror", (error) => this.faults.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.faults.push(message.text());
    });
  }

  /** Starts the browser. */
  static async launch(): Promise<Window> {
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
    });
    return new Window(await context.newPage());
  }

  /** Opens a page of the app, anew. */
  async open({ page, scenario, width = 920, height = 640 }: View): Promise<Page> {
    // A fragment alone would not load the document again.
    await this.page.goto("about:blank");
    this.faults = [];
    await this.page.emulateMedia({ colorScheme: "light" });
    await this.page.setViewportSize({ width, height });
    await this.page.goto(`${inject("address")}mock.html?scenario=${scenario}#/${page}`);
    await this.page.locator("#app main").waitFor();
    return this.page;
  }

  /** Turns the desktop's theme over, and waits until the page is painted in it. */
  async theme(theme: Theme): Promise<void> {
    await this.page.emulateMedia({ colorScheme: theme });
    await this.page.evaluate(
      () => new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted))),
    );
  }

  /** Ends the browser. */
  async close(): Promise<void> {
    await this.page.context().browser()?.close();
  }

  /** What axe has against the page, one line each; by all its rules or by the named ones. */
  async violations(rules?: string[]): Promise<string[]> {
    // Evaluated by the debugger, which the page's content security policy does not bind.
    await this.page.evaluate(`if (!window.axe) { ${AXE} }`);
    const results = await this.page.evaluate(async (only) => {
      const axe = (window as unknown as { axe: { run: (options: object) => Promise<AxeResults> } }).axe;
      return axe.run({ resultTypes: ["violations"], ...(only && { runOnly: only }) });
    }, rules);
    return results.violations.flatMap(({ id, help, nodes }) =>
      nodes.map(
        (node) =>
          `${id}: ${help}: ${node.html.slice(0, 160)} ${node.failureSummary?.replaceAll("\n", " ") ?? ""}`,
      ),
    );
  }

  /** The texts that are shown, all but what closed details hold. */
  texts(): Promise<string[]> {
    return this.page.evaluate(() => {
      const found: string[] = [];
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const closed = node.parentElement?.closest("details:not([open])");
        const text = node.textContent?.trim() ?? "";
        if (text !== "" && (!closed || node.parentElement?.closest("summary"))) found.push(text);
      }
      return found;
    });
  }

  /** Parts of the page that are wider than the window gives them. */
  overflow(): Promise<string[]> {
    return this.page.evaluate(() => {
      const wide = [document.documentElement, ...document.querySelectorAll("main")].filter(
        (element) => element.scrollWidth > element.clientWidth,
      );
      return wide.map((element) => `${element.tagName}: ${element.scrollWidth} > ${element.clientWidth}`);
    });
  }
}
