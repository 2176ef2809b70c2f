// API keys of a user or a team.

import { at, call } from "./api.js";
import { h } from "./dom.js";
import { badge, button, confirm, dialog, empty, field, formDialog, loaded, notice, section, shownOnce, table, time } from "./parts.js";

function state(key) {
  if (key.manually_revoked_at_millis) {
    return badge("Revoked");
  }
  if (key.expires_at_millis && key.expires_at_millis <= Date.now()) {
    return badge("Expired");
  }
  return badge("Active", "good");
}

function show(made) {
  const element = dialog(
    "API key created",
    h("p", {}, "This is the whole key. It is not shown again."),
    shownOnce(made.value, "API key"),
    h("div", { class: "buttons" }, button("Done", () => element.close(), "primary")),
  );
}

/** `kind` is `user` or `team`. */
export function apiKeys({ project, onError }, kind, owner) {
  const base = `/${kind}-api-keys`;
  const query = { [`${kind}_id`]: owner };
  const load = async (reload) => {
    let items;
    try {
      ({ items } = await call(project, "GET", base, { query }));
    } catch (error) {
      if (error.status === 400 && error.message.endsWith("API keys are not enabled for this project.")) {
        const entry = `apiKeys.enabled.${kind}`;
        return empty("Not enabled for this project.", h("p", {}, "The entry ", h("code", {}, entry), " of its config file enables them."));
      }
      throw error;
    }
    const revoke = (key) =>
      confirm(
        `Revoke “${key.description}”?`,
        "Programs that use this key are refused from now on. This cannot be undone.",
        "Revoke key",
        async () => {
          await call(project, "PATCH", base + at`/${key.id}`, { query, body: { revoked: true } });
          notice("API key revoked.");
          await reload();
        },
        { onError },
      );
    const create = () =>
      formDialog(
        "Create an API key",
        null,
        [
          field({ name: "description", label: "Description", required: true }),
          field({ name: "is_public", label: "A public key, which may be in the app's code", type: "check" }),
        ],
        "Create key",
        async (given) => {
          const made = await call(project, "POST", base, { body: { ...query, ...given } });
          await reload();
          show(made);
        },
        { onError },
      );
    const rows = items.map((key) => [
      h("span", { class: "strong" }, key.description),
      h("code", {}, `…${key.value.last_four}`),
      state(key),
      time(key.created_at_millis),
      h("div", { class: "actions" }, !key.manually_revoked_at_millis && button("Revoke", () => revoke(key), "plain")),
    ]);
    return [
      items.length > 0 ? table("API keys", ["Description", "Key", "State", "Created", ""], rows) : empty("No API key."),
      h("div", { class: "buttons" }, button("Create an API key", create)),
    ];
  };
  return section("API keys", loaded(load, onError).element);
}
