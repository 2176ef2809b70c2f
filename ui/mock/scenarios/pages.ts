// Credentials, logs and settings.
import type { LogUpdate } from "../../src/bindings";
import { refuse } from "../bridge";
import * as data from "../data";
import { of } from "./base";
import type { Scenarios } from "./base";

export const pages: Scenarios = {
  "log-broken": of(
    {},
    {
      follow_log: ({ onUpdate }) => {
        const update: LogUpdate = {
          kind: "failed",
          failure: {
            code: "log",
            message:
              "cannot read the log ~/.stack/emulator/instances/default/logs/serial.log: input/output error",
            hint: null,
            remedy: null,
          },
        };
        (onUpdate as { onmessage: (update: LogUpdate) => void }).onmessage(update);
        return 1;
      },
    },
  ),
  "no-project": of({ projects: { projects: [] } }),
  "credentials-failed": of(
    {},
    {
      project_credentials: refuse({
        code: "config_file",
        message:
          "the emulator cannot use the config file /home/ada/code/shop/stack.config.ts: its folder is not mounted",
        hint: null,
        remedy: null,
      }),
    },
  ),
  overridden: of({
    settings: {
      settings: {
        ...data.settings,
        no_rotation: true,
        github_token: "environment",
        restart_needed: true,
        overrides: [
          { field: "ram_mib", variable: "EMULATOR_RAM" },
          { field: "no_rotation", variable: "EMULATOR_NO_ROTATION" },
        ],
        ports: data.settings.ports.map((port) =>
          port.service === "backend" ? { ...port, port: 30_001, overridden: true } : port,
        ),
      },
    },
  }),
  "token-gh": of({ settings: { settings: { ...data.settings, github_token: "gh" } } }),
  "token-keychain": of({ settings: { settings: { ...data.settings, github_token: "keychain" } } }),
};
