// The users of a project: search, pages, and making one.

import { at, call } from "./api.js";
import { fill, h } from "./dom.js";
import { nameOf } from "./format.js";
import { avatar, badge, button, empty, failure, field, formDialog, notice, table, time } from "./parts.js";

const PAGE = 25;
const PAUSE_MS = 250;

/** Loads a page of users. */
export function usersPage(project, { search, cursor, anonymous, limit = PAGE }) {
  const query = { limit, desc: true, order_by: "signed_up_at", query: search, cursor };
  if (anonymous) {
    query.include_anonymous = true;
  }
  return call(project, "GET", "/users", { query });
}

/** A user as a link with picture, name and address. */
export function userLink(user, href) {
  const name = nameOf(user);
  return h(
    "a",
    { class: "person", href },
    avatar(name),
    h(
      "span",
      {},
      h("span", { class: "strong" }, name),
      user.primary_email && user.primary_email !== name && h("span", { class: "quiet" }, user.primary_email),
    ),
  );
}

function badges(user) {
  return [
    user.is_anonymous && badge("Anonymous"),
    user.primary_email && (user.primary_email_verified ? badge("Verified", "good") : badge("Not verified")),
  ];
}

function createDialog({ project, link, onError }) {
  const fields = [
    field({ name: "display_name", label: "Name", autofocus: true }),
    field({ name: "primary_email", label: "Email", type: "email" }),
    field({ name: "verified", label: "The email address is verified", type: "check", value: true }),
    field({
      name: "password",
      label: "Password",
      type: "password",
      autocomplete: "new-password",
      hint: "At least 8 characters. Without one, the user cannot sign in by password.",
    }),
  ];
  const create = async (given) => {
    const email = given.primary_email.trim();
    const body = { display_name: given.display_name.trim() || null };
    if (email) {
      Object.assign(body, { primary_email: email, primary_email_verified: given.verified, primary_email_auth_enabled: true });
    }
    if (given.password) {
      body.password = given.password;
    }
    if (!email && given.password) {
      throw new Error("A password needs an email address to sign in with.");
    }
    const user = await call(project, "POST", "/users", { body });
    notice(`${nameOf(user)} created.`);
    location.hash = link(project, "users", user.id);
  };
  formDialog("Create user", null, fields, "Create user", create, { onError });
}

export async function usersView(context) {
  const { project, link, query, onError, isCurrent } = context;
  const asked = {
    search: query.get("query") ?? "",
    cursor: query.get("cursor") ?? "",
    anonymous: query.get("anonymous") === "true",
  };
  const results = h("div", { "aria-live": "polite" });
  let latest = 0;

  const address = (change) => {
    const parameters = new URLSearchParams();
    const next = { ...asked, ...change };
    for (const [name, value] of [["query", next.search], ["anonymous", next.anonymous ? "true" : ""], ["cursor", next.cursor]]) {
      if (value) {
        parameters.set(name, value);
      }
    }
    const base = link(project, "users");
    return parameters.size > 0 ? `${base}?${parameters}` : base;
  };
  const draw = ({ items, pagination }) => {
    const next = pagination.next_cursor;
    if (items.length === 0) {
      fill(
        results,
        asked.search
          ? empty("No user matches this search.", h("p", {}, "It looks at names, addresses and IDs."))
          : empty("There are no users yet.", h("p", {}, "They are here once they sign up in your app, or when you create one.")),
      );
      return;
    }
    const rows = items.map((user) => [
      userLink(user, link(project, "users", user.id)),
      badges(user),
      time(user.signed_up_at_millis),
      time(user.last_active_at_millis),
    ]);
    fill(
      results,
      table("Users", ["User", "Status", "Signed up", "Last active"], rows),
      (asked.cursor || next) &&
        h(
          "nav",
          { class: "pages", "aria-label": "Pages" },
          asked.cursor && h("a", { class: "button", href: address({ cursor: "" }) }, "First page"),
          next && h("a", { class: "button", href: address({ cursor: next }) }, "Next page"),
        ),
    );
  };
  const load = async () => {
    latest += 1;
    const mine = latest;
    try {
      const page = await usersPage(project, asked);
      if (mine === latest) {
        draw(page);
      }
    } catch (error) {
      if (mine === latest && isCurrent() && !onError(error)) {
        fill(results, failure(error, load));
      }
    }
  };
  // The address follows what is typed, without an entry in the history for each letter.
  const change = (changed) => {
    Object.assign(asked, changed, { cursor: "" });
    history.replaceState(null, "", address({}));
    return load();
  };
  let timer;
  const search = h("input", {
    type: "search",
    "aria-label": "Search users",
    placeholder: "Search by name, email or ID",
    input: (event) => {
      clearTimeout(timer);
      timer = setTimeout(() => isCurrent() && change({ search: event.target.value.trim() }), PAUSE_MS);
    },
  });
  search.value = asked.search;
  const anonymous = field({ name: "anonymous", label: "Show anonymous users", type: "check", value: asked.anonymous });
  anonymous.querySelector("input").addEventListener("change", (event) => change({ anonymous: event.target.checked }));

  draw(await usersPage(project, asked));
  const content = [
    h(
      "div",
      { class: "heading" },
      h("h1", {}, "Users"),
      h("div", { class: "actions" }, button("Create user", () => createDialog(context), "primary")),
    ),
    h("div", { class: "filters" }, search, anonymous),
    results,
  ];
  return { title: "Users", content };
}

/** Finds the one user whom an address or an ID means. */
export async function findUser(project, text) {
  const wanted = text.trim();
  const { items } = await usersPage(project, { search: wanted, anonymous: true, limit: 10 });
  const exact = items.find((user) => user.id === wanted || user.primary_email === wanted.toLowerCase());
  if (exact) {
    return exact;
  }
  if (items.length === 1) {
    return items[0];
  }
  throw new Error(
    items.length === 0 ? `No user matches “${wanted}”.` : `Several users match “${wanted}”. Give the whole address or the ID.`,
  );
}

/** The user with an ID, as the API has them. */
export function readUser(project, id) {
  return call(project, "GET", at`/users/${id}`);
}
