// The teams of a project.

import { call } from "./api.js";
import { fill, h } from "./dom.js";
import { avatar, button, empty, field, formDialog, notice, table, time } from "./parts.js";
import { findUser } from "./users.js";

function createDialog({ project, link, onError }) {
  const fields = [
    field({ name: "display_name", label: "Name", required: true, autofocus: true }),
    field({ name: "creator", label: "Creator", hint: "Email or ID of a user who becomes its first member. May be empty." }),
  ];
  const create = async (given) => {
    const body = { display_name: given.display_name.trim() };
    if (given.creator.trim()) {
      body.creator_user_id = (await findUser(project, given.creator)).id;
    }
    const team = await call(project, "POST", "/teams", { body });
    notice(`${team.display_name} created.`);
    location.hash = link(project, "teams", team.id);
  };
  formDialog("Create team", null, fields, "Create team", create, { onError });
}

export async function teamsView(context) {
  const { project, link } = context;
  const { items } = await call(project, "GET", "/teams");
  const newest = items.toReversed();
  const results = h("div", { "aria-live": "polite" });
  const draw = (text) => {
    const wanted = text.trim().toLocaleLowerCase();
    const found = newest.filter((team) => team.display_name.toLocaleLowerCase().includes(wanted) || team.id === wanted);
    if (found.length === 0) {
      fill(
        results,
        items.length === 0
          ? empty("There are no teams yet.", h("p", {}, "They are here once users of your app make them, or when you create one."))
          : empty("No team matches this search."),
      );
      return;
    }
    const rows = found.map((team) => [
      h(
        "a",
        { class: "person", href: link(project, "teams", team.id) },
        avatar(team.display_name),
        h("span", { class: "strong" }, team.display_name),
      ),
      time(team.created_at_millis),
    ]);
    fill(results, table("Teams", ["Team", "Created"], rows));
  };
  draw("");
  const search = h("input", {
    type: "search",
    "aria-label": "Search teams",
    placeholder: "Search by name or ID",
    input: (event) => draw(event.target.value),
  });
  const content = [
    h(
      "div",
      { class: "heading" },
      h("h1", {}, "Teams"),
      h("div", { class: "actions" }, button("Create team", () => createDialog(context), "primary")),
    ),
    h("div", { class: "filters" }, search),
    results,
  ];
  return { title: "Teams", content };
}
