// A user's sessions, and issuing one.

import { at, call } from "./api.js";
import { h } from "./dom.js";
import { nameOf } from "./format.js";
import { badge, button, confirm, copyable, dialog, empty, field, formDialog, loaded, notice, section, shownOnce, table, time } from "./parts.js";

const HOUR_MS = 3_600_000;
const LIFETIMES = [
  [String(HOUR_MS), "1 hour"],
  [String(24 * HOUR_MS), "1 day"],
  [String(30 * 24 * HOUR_MS), "30 days"],
  [String(365 * 24 * HOUR_MS), "1 year"],
];

export function sessions({ project, onError }, user) {
  const load = async (reload) => {
    const { items } = await call(project, "GET", "/auth/sessions", { query: { user_id: user.id } });
    const revoke = (session) =>
      confirm(
        "Revoke this session?",
        "Its refresh token is refused from now on. An access token of it is good for up to an hour more.",
        "Revoke session",
        async () => {
          await call(project, "DELETE", at`/auth/sessions/${session.id}`, { query: { user_id: user.id } });
          notice("Session revoked.");
          await reload();
        },
        { onError },
      );
    const rows = items.toReversed().map((session) => [
      copyable(session.id, "session ID", session.id.slice(0, 8)),
      time(session.created_at),
      time(session.last_used_at),
      session.is_impersonation && badge("Impersonation", "warn"),
      h("div", { class: "actions" }, button("Revoke", () => revoke(session), "plain")),
    ]);
    return items.length > 0 ? table("Sessions", ["Session", "Begun", "Last used", "", ""], rows) : empty("No session.");
  };
  const { element, reload } = loaded(load, onError);
  return { element: section("Sessions", element), reload };
}

/** Signs the user in, and shows the tokens this once. */
export function issueSession({ project, onError }, user, changed) {
  const fields = [
    field({ name: "lifetime", label: "Ends after", type: "select", options: LIFETIMES, value: LIFETIMES[1][0] }),
    field({
      name: "is_impersonation",
      label: "Mark it as an impersonation",
      type: "check",
      hint: "The app can tell that it is not the user.",
    }),
  ];
  const issue = async (given) => {
    const body = {
      user_id: user.id,
      expires_in_millis: Number(given.lifetime),
      is_impersonation: given.is_impersonation,
    };
    const tokens = await call(project, "POST", "/auth/sessions", { body });
    await changed();
    show(user, tokens);
  };
  formDialog("Issue a session", `Signs ${nameOf(user)} in without a password.`, fields, "Issue session", issue, { onError });
}

function show(user, tokens) {
  const element = dialog(
    "Session issued",
    h("p", {}, `Tokens of ${nameOf(user)}. They are not shown again.`),
    shownOnce(tokens.access_token, "Access token"),
    shownOnce(tokens.refresh_token, "Refresh token"),
    h("div", { class: "buttons" }, button("Done", () => element.close(), "primary")),
  );
}
