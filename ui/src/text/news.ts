// A newer release of this program, in words.
import type { Installer, NewerRelease } from "../bindings";

const BY: Readonly<Record<Installer, string>> = {
  apt: " Install its .deb from its page.",
  homebrew: " Update with brew upgrade stack-emulator-app.",
};

/** How far it is from being this app. */
export function newsOf({ version, install }: NewerRelease): string {
  switch (install.kind) {
    case "elsewhere":
      return `Version ${version} is available.${install.by ? BY[install.by] : ""}`;
    case "offered":
      return `Version ${version} is available.`;
    case "downloading":
      return install.percent === null
        ? `Downloading version ${version}`
        : `Downloading version ${version}, ${install.percent} %`;
    case "installing":
      return `Installing version ${version}`;
    case "ready":
      return `Version ${version} is installed.`;
    case "failed":
      return `Version ${version} was not installed.`;
  }
}
