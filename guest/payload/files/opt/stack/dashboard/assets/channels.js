// A user's contact channels: their mail addresses.

import { at, call } from "./api.js";
import { h } from "./dom.js";
import { badge, button, confirm, empty, field, formDialog, loaded, notice, section, table } from "./parts.js";

export function channels({ project, onError, reload: reloadView }, user) {
  const change = async (channel, body, said) => {
    await call(project, "PATCH", at`/contact-channels/${user.id}/${channel.id}`, { body });
    notice(said);
    await reloadView();
  };
  const edit = (channel) =>
    formDialog(
      "Edit email address",
      null,
      [
        field({ name: "value", label: "Email", type: "email", required: true, value: channel.value }),
        field({ name: "is_verified", label: "Verified", type: "check", value: channel.is_verified }),
        field({ name: "used_for_auth", label: "Used to sign in", type: "check", value: channel.used_for_auth }),
        !channel.is_primary && field({ name: "is_primary", label: "Make it the primary address", type: "check" }),
      ],
      "Save",
      ({ is_primary: isPrimary, ...body }) => change(channel, isPrimary ? { ...body, is_primary: true } : body, "Address saved."),
      { onError },
    );
  const remove = (channel) =>
    confirm(
      `Delete ${channel.value}?`,
      channel.used_for_auth ? "The user can no longer sign in with this address." : "The user can still sign in.",
      "Delete address",
      async () => {
        await call(project, "DELETE", at`/contact-channels/${user.id}/${channel.id}`);
        notice(`${channel.value} deleted.`);
        await reloadView();
      },
      { onError },
    );
  const add = () =>
    formDialog(
      "Add an email address",
      null,
      [
        field({ name: "value", label: "Email", type: "email", required: true }),
        field({ name: "is_verified", label: "Verified", type: "check" }),
        field({ name: "used_for_auth", label: "Used to sign in", type: "check" }),
        field({ name: "is_primary", label: "Make it the primary address", type: "check" }),
      ],
      "Add address",
      async (given) => {
        await call(project, "POST", "/contact-channels", { body: { ...given, type: "email", user_id: user.id } });
        notice(`${given.value} added.`);
        await reloadView();
      },
      { onError },
    );
  const load = async () => {
    const { items } = await call(project, "GET", "/contact-channels", { query: { user_id: user.id } });
    const rows = items.map((channel) => [
      channel.value,
      [
        channel.is_primary && badge("Primary"),
        channel.is_verified ? badge("Verified", "good") : badge("Not verified"),
        channel.used_for_auth && badge("Sign-in"),
      ],
      h(
        "div",
        { class: "actions" },
        button("Edit", () => edit(channel), "plain"),
        button("Delete", () => remove(channel), "plain"),
      ),
    ]);
    return [
      items.length > 0 ? table("Contact channels", ["Address", "State", ""], rows) : empty("No address."),
      h("div", { class: "buttons" }, button("Add an address", add)),
    ];
  };
  return section("Contact channels", loaded(load, onError).element);
}
