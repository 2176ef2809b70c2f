// What tests do with a page on the mocked bridge.
import type { Locator, Page } from "playwright-core";

import type { Update } from "../src/bindings";

/** The button of that name. */
export const button = (page: Page, name: string): Locator => page.getByRole("button", { name, exact: true });

/** Sends an update as Rust does. */
export const send = (page: Page, update: Update): Promise<void> =>
  page.evaluate((sent) => globalThis.window.mock.send(sent), update);

/** The arguments of the calls of a command, in order. */
export async function calls(page: Page, command: string): Promise<Record<string, unknown>[]> {
  const all = await page.evaluate(() => globalThis.window.mock.calls);
  return all.filter((call) => call.command === command).map((call) => call.args);
}
