// One user: who they are, how they sign in, and all that belongs to them.

import { at, call } from "./api.js";
import { channels } from "./channels.js";
import { h } from "./dom.js";
import { nameOf } from "./format.js";
import { apiKeys } from "./keys.js";
import { mailsTo } from "./mails.js";
import {
  avatar,
  badge,
  button,
  confirm,
  copyable,
  empty,
  field,
  form,
  formDialog,
  loaded,
  notice,
  readJson,
  section,
  table,
  time,
  writeJson,
} from "./parts.js";
import { issueSession, sessions } from "./sessions.js";
import { readUser } from "./users.js";

/** The metadata that users and teams have, each with what a form says of it. */
export const METADATA = [
  ["client_metadata", "Client metadata", "The app may read and change it."],
  ["client_read_only_metadata", "Client read-only metadata", "The app may read it."],
  ["server_metadata", "Server metadata", "Only the app's server sees it."],
];

/** Fields for an entity's metadata, folded. */
export function metadataFields(entity) {
  return h(
    "details",
    { class: "more" },
    h("summary", {}, "Metadata"),
    METADATA.map(([name, label, hint]) =>
      field({ name, label, hint: `JSON. ${hint}`, type: "text-area", value: writeJson(entity[name]) }),
    ),
  );
}

/** What a form says of metadata, for a body. */
export function readMetadata(given) {
  return Object.fromEntries(METADATA.map(([name, label]) => [name, readJson(given[name], label)]));
}

function profile({ project, reload, onError }, user) {
  const fields = [
    field({ name: "display_name", label: "Name", value: user.display_name }),
    field({ name: "profile_image_url", label: "Picture URL", type: "url", value: user.profile_image_url }),
    metadataFields(user),
  ];
  const save = async (given) => {
    const body = {
      display_name: given.display_name.trim() || null,
      profile_image_url: given.profile_image_url.trim() || null,
      ...readMetadata(given),
    };
    await call(project, "PATCH", at`/users/${user.id}`, { body });
    notice("Profile saved.");
    await reload();
  };
  return section("Profile", form(fields, "Save profile", save, { kind: "", onError }));
}

function signIn({ project, reload, onError }, user) {
  const path = at`/users/${user.id}`;
  const patch = async (body, said) => {
    await call(project, "PATCH", path, { body });
    notice(said);
    await reload();
  };
  const setPassword = () =>
    formDialog(
      user.has_password ? "Change password" : "Set password",
      "All sessions of the user end.",
      [
        field({
          name: "password",
          label: "New password",
          type: "password",
          autocomplete: "new-password",
          required: true,
          hint: "At least 8 characters.",
        }),
      ],
      user.has_password ? "Change password" : "Set password",
      (given) => patch({ password: given.password }, "Password set."),
      { onError },
    );
  const removePassword = () =>
    confirm(
      "Remove password?",
      `${nameOf(user)} can no longer sign in by password, and all their sessions end.`,
      "Remove password",
      () => patch({ password: null }, "Password removed."),
      { onError },
    );
  const setCodes = () => {
    const next = !user.otp_auth_enabled;
    return confirm(
      next ? "Allow sign-in by mail?" : "Forbid sign-in by mail?",
      next
        ? `${nameOf(user)} can sign in by a magic link or a code, if the project allows that.`
        : `${nameOf(user)} can no longer sign in by a magic link or a code.`,
      next ? "Allow" : "Forbid",
      () => patch({ otp_auth_enabled: next }, next ? "Sign-in by mail allowed." : "Sign-in by mail forbidden."),
      { onError, kind: next ? "primary" : "danger" },
    );
  };
  const rows = [
    [
      "Password",
      user.has_password ? badge("Set", "good") : badge("Not set"),
      h(
        "div",
        { class: "actions" },
        button(user.has_password ? "Change" : "Set", setPassword, "plain"),
        user.has_password && button("Remove", removePassword, "plain"),
      ),
    ],
    [
      "Magic link and code",
      user.otp_auth_enabled ? badge("Allowed", "good") : badge("Off"),
      h("div", { class: "actions" }, button(user.otp_auth_enabled ? "Forbid" : "Allow", setCodes, "plain")),
    ],
    ...(user.oauth_providers ?? []).map((provider) => [
      `Account at ${provider.id}`,
      badge("Connected", "good"),
      provider.email ?? provider.account_id ?? "",
    ]),
  ];
  return section("Sign-in methods", table("Sign-in methods", ["Method", "State", ""], rows));
}

function teams({ project, link, onError }, user) {
  const path = (team) => at`/team-memberships/${team.id}/${user.id}`;
  const load = async (reload) => {
    const [{ items }, all] = await Promise.all([
      call(project, "GET", "/teams", { query: { user_id: user.id } }),
      call(project, "GET", "/teams"),
    ]);
    const leave = (team) =>
      confirm(
        `Remove ${nameOf(user)} from ${team.display_name}?`,
        "Their permissions in the team are lost.",
        "Remove from team",
        async () => {
          await call(project, "DELETE", path(team));
          notice(`Removed from ${team.display_name}.`);
          await reload();
        },
        { onError },
      );
    const others = all.items.filter((team) => !items.some((own) => own.id === team.id));
    const join = async ({ team_id: id }) => {
      await call(project, "POST", path({ id }), { body: {} });
      notice("Added to the team.");
      await reload();
    };
    const add = () =>
      formDialog(
        "Add to a team",
        null,
        [field({ name: "team_id", label: "Team", type: "select", options: others.map((team) => [team.id, team.display_name]) })],
        "Add to team",
        join,
        { onError },
      );
    const rows = items.map((team) => [
      h("a", { href: link(project, "teams", team.id) }, team.display_name),
      user.selected_team_id === team.id && badge("Selected"),
      h("div", { class: "actions" }, button("Remove", () => leave(team), "plain")),
    ]);
    return [
      items.length > 0 ? table("Teams", ["Team", "", ""], rows) : empty("In no team."),
      others.length > 0 && h("div", { class: "buttons" }, button("Add to a team", add)),
    ];
  };
  return section("Teams", loaded(load, onError).element);
}

function remove({ project, link, onError }, user) {
  const name = nameOf(user);
  const whom = user.primary_email && user.primary_email !== name ? `${name} (${user.primary_email})` : name;
  confirm(
    `Delete ${whom}?`,
    "Their profile, sessions, memberships and API keys are deleted as well. This cannot be undone.",
    "Delete user",
    async () => {
      await call(project, "DELETE", at`/users/${user.id}`);
      notice(`${name} deleted.`);
      location.hash = link(project, "users");
    },
    { onError },
  );
}

export async function userView(context) {
  const { project, id, link, onError } = context;
  const user = await readUser(project, id);
  const name = nameOf(user);
  const ofSessions = sessions(context, user);
  const content = [
    h("p", { class: "back" }, h("a", { href: link(project, "users") }, "Users")),
    h(
      "div",
      { class: "heading" },
      avatar(name),
      h(
        "div",
        { class: "who" },
        h("h1", {}, name),
        h(
          "p",
          { class: "quiet" },
          "Signed up ",
          time(user.signed_up_at_millis),
          ", last active ",
          time(user.last_active_at_millis),
          user.is_anonymous && [" ", badge("Anonymous")],
        ),
      ),
      h(
        "div",
        { class: "actions" },
        button("Delete user", () => remove(context, user), "danger-plain"),
        button("Issue a session", () => issueSession(context, user, ofSessions.reload), "primary"),
      ),
    ),
    h("p", { class: "identity" }, "ID ", copyable(user.id, "user ID")),
    profile(context, user),
    signIn(context, user),
    channels(context, user),
    ofSessions.element,
    teams(context, user),
    apiKeys(context, "user", user.id),
    section("Mails", loaded(() => mailsTo(context, user), onError).element),
  ];
  return { title: name, content };
}
