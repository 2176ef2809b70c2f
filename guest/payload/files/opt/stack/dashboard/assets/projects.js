// All projects of the emulator.

import { own } from "./api.js";
import { h } from "./dom.js";
import { counted, projectName } from "./format.js";
import { copyable, empty } from "./parts.js";

export async function projectsView({ link }) {
  const { items } = await own("/projects");
  const apps = items.filter((project) => project.absolute_file_path);
  const others = items.filter((project) => !project.absolute_file_path);
  const card = (project) =>
    h(
      "li",
      { class: "card" },
      h("h2", {}, h("a", { href: link(project.id, "users") }, projectName(project))),
      h("p", { class: "path" }, project.absolute_file_path ?? "The emulator's own project"),
      h("p", { class: "quiet" }, `${counted(project.user_count, "user")}, ${counted(project.team_count, "team")}`),
      copyable(project.id, "project ID"),
    );
  const content = [
    h("div", { class: "heading" }, h("h1", {}, "Projects")),
    apps.length > 0
      ? h("ul", { class: "cards" }, apps.map(card))
      : empty(
          "No app has a project yet.",
          h("p", {}, "Each config file of an app gets a project, the first time you run this in its folder:"),
          h("pre", {}, h("code", {}, "stack-emulator credentials")),
        ),
    h("details", { class: "more" }, h("summary", {}, "Internal project"), h("ul", { class: "cards" }, others.map(card))),
  ];
  return { title: "Projects", content };
}
