import { describe, expect, it } from "vitest";

import type { InstallState } from "../bindings";
import { newsOf } from "./news";

describe("a newer release", () => {
  const told = (install: InstallState): string =>
    newsOf({ version: "0.2.0", url: "https://host.example", install });

  it("is told with how it is installed where the app does not do that", () => {
    expect(told({ kind: "elsewhere", by: null })).toBe("Version 0.2.0 is available.");
    expect(told({ kind: "elsewhere", by: "homebrew" })).toContain("brew upgrade");
    expect(told({ kind: "elsewhere", by: "apt" })).toContain(".deb");
  });

  it("is told with how far it is", () => {
    expect(told({ kind: "offered" })).toBe("Version 0.2.0 is available.");
    expect(told({ kind: "downloading", percent: null })).toBe("Downloading version 0.2.0");
    expect(told({ kind: "downloading", percent: 43 })).toBe("Downloading version 0.2.0, 43 %");
    expect(told({ kind: "installing" })).toBe("Installing version 0.2.0");
    expect(told({ kind: "ready" })).toBe("Version 0.2.0 is installed.");
    expect(told({ kind: "failed" })).toBe("Version 0.2.0 was not installed.");
  });
});
