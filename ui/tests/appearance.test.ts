// Every page in every state, light and dark, narrow and wide: no error, nothing refused by the content
// security policy, nothing that axe objects to, nothing that sticks out. Leaves pictures in `screenshots/`.
import { mkdirSync } from "node:fs";

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { SCENES } from "./scenes";
import { launch, open, overflow, violations } from "./browser";
import type { Theme } from "./browser";

const SCREENSHOTS = new URL("../screenshots/", import.meta.url).pathname;
const THEMES: readonly Theme[] = ["light", "dark"];

let browser: Browser;
beforeAll(async () => {
  mkdirSync(SCREENSHOTS, { recursive: true });
  browser = await launch();
});
afterAll(() => browser.close());

const cases = SCENES.flatMap((scene) => THEMES.map((theme) => ({ ...scene, theme })));

describe.each(cases)("$page in $scenario, $theme, $width px", (scene) => {
  it("is whole, accessible, and keeps to its window", async () => {
    const { page, faults, close } = await open(browser, scene);
    await scene.prepare?.(page);
    // What is shown only after a while is shown by then.
    await page.waitForTimeout(scene.scenario === "loading" ? 500 : 30);
    const name = [scene.page, scene.scenario, scene.name, scene.width, scene.theme].filter(
      (part) => part !== undefined,
    );
    await page.screenshot({ path: `${SCREENSHOTS}${name.join("-")}.png` });
    expect(faults).toEqual([]);
    expect(await overflow(page)).toEqual([]);
    expect(await violations(page)).toEqual([]);
    await close();
  });
});
