// One team: its name, its members, its keys.

import { at, call } from "./api.js";
import { h } from "./dom.js";
import { counted, nameOf } from "./format.js";
import { apiKeys } from "./keys.js";
import { avatar, button, confirm, copyable, empty, field, form, formDialog, loaded, notice, section, table, time } from "./parts.js";
import { metadataFields, readMetadata } from "./user.js";
import { findUser, userLink } from "./users.js";

function profile({ project, reload, onError }, team) {
  const fields = [
    field({ name: "display_name", label: "Name", required: true, value: team.display_name }),
    field({ name: "profile_image_url", label: "Picture URL", type: "url", value: team.profile_image_url }),
    metadataFields(team),
  ];
  const save = async (given) => {
    const body = {
      display_name: given.display_name.trim(),
      profile_image_url: given.profile_image_url.trim() || null,
      ...readMetadata(given),
    };
    await call(project, "PATCH", at`/teams/${team.id}`, { body });
    notice("Team saved.");
    await reload();
  };
  return section("Profile", form(fields, "Save team", save, { kind: "", onError }));
}

function members({ project, link, onError }, team) {
  const path = (user) => at`/team-memberships/${team.id}/${user}`;
  const load = async (reload) => {
    const { items } = await call(project, "GET", "/team-member-profiles", { query: { team_id: team.id } });
    const remove = (user) =>
      confirm(
        `Remove ${nameOf(user)} from ${team.display_name}?`,
        "Their permissions in the team are lost.",
        "Remove member",
        async () => {
          await call(project, "DELETE", path(user.id));
          notice(`${nameOf(user)} removed.`);
          await reload();
        },
        { onError },
      );
    const add = () =>
      formDialog(
        "Add a member",
        null,
        [field({ name: "user", label: "User", required: true, hint: "Email address, name or ID." })],
        "Add member",
        async (given) => {
          const user = await findUser(project, given.user);
          await call(project, "POST", path(user.id), { body: {} });
          notice(`${nameOf(user)} added.`);
          await reload();
        },
        { onError },
      );
    // Who was deleted meanwhile is no member any more.
    const users = items.map((item) => item.user).filter(Boolean);
    const rows = users.map((user) => [
      userLink(user, link(project, "users", user.id)),
      h("div", { class: "actions" }, button("Remove", () => remove(user), "plain")),
    ]);
    return [
      users.length > 0 ? table("Members", [counted(users.length, "member"), ""], rows) : empty("No member."),
      h("div", { class: "buttons" }, button("Add a member", add)),
    ];
  };
  return section("Members", loaded(load, onError).element);
}

function remove({ project, link, onError }, team) {
  confirm(
    `Delete the team ${team.display_name}?`,
    "Its memberships, invitations and API keys are deleted as well; its members stay users. This cannot be undone.",
    "Delete team",
    async () => {
      await call(project, "DELETE", at`/teams/${team.id}`);
      notice(`${team.display_name} deleted.`);
      location.hash = link(project, "teams");
    },
    { onError },
  );
}

export async function teamView(context) {
  const { project, id, link } = context;
  const team = await call(project, "GET", at`/teams/${id}`);
  const content = [
    h("p", { class: "back" }, h("a", { href: link(project, "teams") }, "Teams")),
    h(
      "div",
      { class: "heading" },
      avatar(team.display_name),
      h("div", { class: "who" }, h("h1", {}, team.display_name), h("p", { class: "quiet" }, "Created ", time(team.created_at_millis))),
      h("div", { class: "actions" }, button("Delete team", () => remove(context, team), "danger-plain")),
    ),
    h("p", { class: "identity" }, "ID ", copyable(team.id, "team ID")),
    members(context, team),
    profile(context, team),
    apiKeys(context, "team", team.id),
  ];
  return { title: team.display_name, content };
}
