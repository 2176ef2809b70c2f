// Which mails of a list a search finds.
import type { MailSummary } from "../bindings";

/** Mails with `query` in address or subject, in any case; all of them for an empty one. */
export function found(mails: readonly MailSummary[], query: string): readonly MailSummary[] {
  const wanted = query.trim().toLowerCase();
  return wanted === ""
    ? mails
    : mails.filter(({ to, subject }) => `${to} ${subject}`.toLowerCase().includes(wanted));
}
