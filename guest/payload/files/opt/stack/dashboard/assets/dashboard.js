// The dashboard of the starter stack: where one is, and what is shown there. Plain ES modules, served as they are.
//
// The key below is a placeholder; each start of the emulator replaces it in this very file. It is public, and tells
// whether the backend answers before anybody has signed in.
import { forget, isSignedIn, own, signOut } from "./api.js";
import { fill, h } from "./dom.js";
import { projectName } from "./format.js";
import { button, failure, notice } from "./parts.js";
import { mailView, mailsView } from "./mails.js";
import { projectsView } from "./projects.js";
import { signInView, takeCode } from "./sign-in.js";
import { teamView } from "./team.js";
import { teamsView } from "./teams.js";
import { userView } from "./user.js";
import { usersView } from "./users.js";

const PUBLISHABLE_CLIENT_KEY = "00000000000000000000000000000000ffffffffffffffffffffffffffffffff";
/** Before this there is nothing to be said of loading. */
const LATER_MS = 300;

const page = document.getElementById("page");
const VIEWS = [
  [/^\/$/, projectsView, null],
  [/^\/projects\/([^/]+)\/users$/, usersView, "users"],
  [/^\/projects\/([^/]+)\/users\/([^/]+)$/, userView, "users"],
  [/^\/projects\/([^/]+)\/teams$/, teamsView, "teams"],
  [/^\/projects\/([^/]+)\/teams\/([^/]+)$/, teamView, "teams"],
  [/^\/projects\/([^/]+)\/mails$/, mailsView, "mails"],
  [/^\/projects\/([^/]+)\/mails\/([^/]+)$/, mailView, "mails"],
];

/** What is shown counts up, so that an answer which comes late changes nothing. */
let shown = 0;
let projects = null;

/** The path after the hash, its query, and what belongs there. */
function place() {
  const [path, query = ""] = (location.hash.slice(1) || "/").split("?");
  for (const [pattern, view, tab] of VIEWS) {
    const found = pattern.exec(path);
    if (found) {
      const [project, id] = found.slice(1).map(decodeURIComponent);
      return { view, tab, project, id, query: new URLSearchParams(query) };
    }
  }
  return null;
}

/** The address of a view of a project; `more` are the parts of its path. */
function link(project, ...more) {
  return `#/projects/${[project, ...more].map(encodeURIComponent).join("/")}`;
}

/** The list of projects, asked for again if a project is not in it. */
async function project(id) {
  if (!projects?.some((known) => known.id === id)) {
    projects = (await own("/projects")).items;
  }
  const found = projects.find((known) => known.id === id);
  if (!found) {
    throw new Error(`There is no project with the ID ${id}. It may be of a session that was discarded.`);
  }
  return found;
}

function showSignIn(message) {
  shown += 1;
  document.title = "Sign in · Stack Emulator";
  const again = () => {
    if (location.pathname !== "/") {
      history.replaceState(null, "", `/${location.hash}`);
    }
    show();
  };
  fill(page, signInView({ key: PUBLISHABLE_CLIENT_KEY, message, signedIn: again }));
  page.querySelector("input")?.focus();
}

/** Takes over an error that means that the session has ended. */
function onError(error) {
  if (!error.hasEnded) {
    return false;
  }
  for (const open of document.querySelectorAll("dialog")) {
    open.close();
  }
  forget();
  projects = null;
  showSignIn("Your session has ended: it lasts a day, and until the emulator's next start.");
  return true;
}

async function leave(event) {
  event.target.disabled = true;
  try {
    await signOut();
    projects = null;
    showSignIn(null);
  } catch (error) {
    event.target.disabled = false;
    if (!onError(error)) {
      notice(error.message);
    }
  }
}

/** The frame around a view: which project, and what there is of it. */
function frame(current, tab, main) {
  const tabs = [
    ["users", "Users"],
    ["teams", "Teams"],
    ["mails", "Mails"],
  ];
  const item = ([key, text]) =>
    h("a", { href: link(current.id, key), "aria-current": key === tab ? "page" : null }, text);
  return h(
    "div",
    { class: "frame" },
    h(
      "header",
      { class: "side" },
      h("a", { class: "brand", href: "#/" }, h("img", { src: "/assets/icon.svg", alt: "", width: 20, height: 20 }), "Stack Emulator"),
      current &&
        h(
          "nav",
          { "aria-label": "Project" },
          h("p", { class: "current", title: current.absolute_file_path ?? current.id }, projectName(current)),
          tabs.map(item),
          h("a", { href: "#/" }, "All projects"),
        ),
      h("div", { class: "foot" }, button("Sign out", leave, "plain")),
    ),
    main,
  );
}

/** Shows what belongs where one is. `again` is for what is shown already and has changed: it stays where it is. */
async function show(again = false) {
  const where = place();
  if (!isSignedIn()) {
    showSignIn(null);
    return;
  }
  if (location.pathname !== "/") {
    history.replaceState(null, "", `/${location.hash}`);
  }
  shown += 1;
  const mine = shown;
  const isCurrent = () => mine === shown;
  const main = h("main", { tabindex: "-1" });
  let drawn = again;
  let current = null;
  const draw = (content) => {
    if (!isCurrent()) {
      return;
    }
    const { scrollY } = globalThis;
    if (again) {
      // Its parts are still to come.
      main.style.minHeight = `${page.querySelector("main").offsetHeight}px`;
    }
    fill(main, content);
    fill(page, frame(current, where?.tab, main));
    drawn = true;
    scrollTo(0, again ? scrollY : 0);
    // Keys and reading begin at the top of what is new.
    main.focus({ preventScroll: true });
  };
  setTimeout(() => {
    if (!drawn) {
      draw(h("p", { class: "quiet" }, "Loading…"));
    }
  }, LATER_MS);
  try {
    if (!where) {
      document.title = "Not found · Stack Emulator";
      draw([h("h1", {}, "There is no such page"), h("p", {}, h("a", { href: "#/" }, "Show all projects"))]);
      return;
    }
    if (where.project !== undefined) {
      current = await project(where.project);
    }
    const { title, content } = await where.view({ ...where, link, onError, reload: () => show(true), isCurrent });
    if (isCurrent()) {
      document.title = `${title} · Stack Emulator`;
      draw(content);
    }
  } catch (error) {
    if (isCurrent() && !onError(error)) {
      document.title = "Error · Stack Emulator";
      draw([h("h1", {}, "This page could not be loaded"), failure(error, () => show())]);
    }
  }
}

addEventListener("hashchange", () => {
  for (const open of document.querySelectorAll("dialog")) {
    open.close();
  }
  show();
});
addEventListener("keydown", (event) => {
  const isTyping = event.target.closest?.("input, textarea, select, dialog");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.querySelector("input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
});

const problem = await takeCode();
if (problem && !isSignedIn()) {
  showSignIn(problem);
} else {
  show();
  if (problem) {
    notice(problem);
  }
}
