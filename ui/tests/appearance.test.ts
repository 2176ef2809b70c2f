// Every page in every state, light and dark, narrow and wide: no error, nothing refused by the content
// security policy, nothing that axe objects to, nothing that sticks out, no technical word that is not behind
// “Details”. Leaves pictures in `screenshots/`.
import { mkdirSync } from "node:fs";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { isTechnical } from "../src/text/jargon";
import { SCENES } from "./scenes";
import { Window } from "./browser";

const SCREENSHOTS = new URL("../screenshots/", import.meta.url).pathname;

let window: Window;
beforeAll(async () => {
  mkdirSync(SCREENSHOTS, { recursive: true });
  window = await Window.launch();
});
afterAll(() => window.close());

describe.each(SCENES)("$page in $scenario $name $width", (scene) => {
  const parts = [scene.page, scene.scenario, scene.name, scene.width].filter((part) => part !== undefined);
  const picture = (theme: string): string => `${SCREENSHOTS}${parts.join("-")}-${theme}.png`;

  it("is whole, accessible, and keeps to its window", async () => {
    const page = await window.open(scene);
    await scene.prepare?.(page);
    // Skeletons appear after 300 ms.
    if (scene.scenario === "loading") await page.waitForTimeout(500);
    await page.screenshot({ path: picture("light") });
    expect(window.faults).toEqual([]);
    expect(await window.overflow()).toEqual([]);
    expect(await window.violations()).toEqual([]);
    if (!scene.technical) expect((await window.texts()).filter(isTechnical)).toEqual([]);

    // The other theme has the same document in other colors.
    await window.theme("dark");
    await page.screenshot({ path: picture("dark") });
    expect(await window.violations(["color-contrast"])).toEqual([]);
    expect(window.faults).toEqual([]);
  });
});
