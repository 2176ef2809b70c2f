// Images: what is installed, and what is downloaded.
import { refuse } from "../bridge";
import * as data from "../data";
import { of, offline } from "./base";
import type { Scenarios } from "./base";

export const images: Scenarios = {
  pulling: of({
    images: { images: data.installed },
    activity: {
      activity: data.activity({
        id: 9,
        task: "pull",
        subject: "emulator-dev-latest",
        stages: ["pull", "capture"],
        began_at_ms: data.NOW - 38_000,
        phases: data.downloading(431_000_000),
        notices: [
          { warning: true, text: "The release has no digest, so the download cannot be compared with it." },
        ],
      }),
    },
  }),
  unfinished: of({
    images: {
      images: {
        ...data.installed,
        unfinished: [
          {
            source: { kind: "pull_request", number: 1301 },
            name: "PR 1301",
            done: 611_000_000,
            total: 1_190_000_000,
            set_up: false,
          },
        ],
      },
    },
  }),
  offline: of({}, { list_releases: offline, resolve_image: offline, check_for_update: offline }),
  "token-needed": of(
    {},
    {
      resolve_image: refuse({
        code: "token_needed",
        message: "the files of a workflow run can only be downloaded with a token",
        hint: null,
        remedy: { kind: "set_token" },
      }),
    },
  ),
  "release-installed": of({
    images: {
      images: {
        ...data.installed,
        images: data.images.map((image, index) =>
          index === 1 ? { ...image, digest: data.releases[2]?.digest ?? image.digest } : image,
        ),
      },
    },
  }),
};
