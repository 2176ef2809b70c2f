// The mails of the emulator.
import type { Failure, MailUpdate } from "../../src/bindings";
import * as data from "../data";
import { LONG, of } from "./base";
import type { Scenarios } from "./base";

const following =
  (update: MailUpdate) =>
  ({ onUpdate }: Record<string, unknown>): number => {
    (onUpdate as { onmessage: (update: MailUpdate) => void }).onmessage(update);
    return 2;
  };
const mailUnsupported: Failure = {
  code: "mail_unsupported",
  message: "the `mail` command does not work with this image: it shows its mails at http://127.0.0.1:26703",
  hint: null,
  remedy: null,
};
const longMail = {
  ...data.magicLink,
  id: "m-5",
  to: `${LONG.slice(0, 60)}@${LONG.slice(0, 40)}.example.com`,
  subject: LONG,
  code: LONG,
};

export const mail: Scenarios = {
  "mail-none": of({}, { follow_mails: following({ kind: "mails", mails: [] }) }),
  "mail-unsupported": of({}, { follow_mails: following({ kind: "failed", failure: mailUnsupported }) }),
  "mail-nowhere": of(
    {
      status: {
        status: { ...data.running, services: data.services.filter(({ id }) => id !== "inbucket") },
      },
    },
    { follow_mails: following({ kind: "failed", failure: mailUnsupported }) },
  ),
  "mail-failed": of(
    {},
    {
      follow_mails: following({
        kind: "failed",
        failure: {
          code: "backend_failed",
          message: "the backend answered with status 503: The emulator's database does not answer.",
          hint: null,
          remedy: { kind: "read_status" },
        },
      }),
    },
  ),
  "mail-long": of({}, { follow_mails: following({ kind: "mails", mails: [longMail, ...data.mails] }) }),
};
