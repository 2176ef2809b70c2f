// The mail inbox of the starter stack: lists all mails, newest first, and shows one. A plain ES module, served as it is.
// Mails are shown as text, or as HTML in a frame that the server's policy keeps from doing anything.
const PAUSE_MS = 2_000;
const TIME_LIMIT_MS = 10_000;
const PAGE_SIZE = 100;
const MOST = 1_000;

const element = (id) => document.getElementById(id);
const list = element("mails");
const search = element("search");

/** What the server said last, as text and parsed; which mail is open, and its text. */
let answer = "";
let mails = [];
let open = null;
let limit = PAGE_SIZE;
let form = remembered("form") === "html" ? "html" : "text";

async function ask(path, options = {}) {
  const response = await fetch(path, {
    cache: "no-store",
    credentials: "omit",
    signal: AbortSignal.timeout(TIME_LIMIT_MS),
    ...options,
  });
  const text = await response.text();
  if (!response.ok) {
    throw new Refusal(response.status, text);
  }
  return text;
}

class Refusal extends Error {
  constructor(status, text) {
    super(text || `The inbox answered with status ${status}.`);
    this.status = status;
  }
}

const pathOf = (mail) =>
  `/api/v1/mailbox/${encodeURIComponent(mail.mailbox)}/${encodeURIComponent(mail.id)}`;

function notice(text) {
  element("notice").hidden = !text;
  element("notice").textContent = text;
}

function explain(error) {
  notice(
    error instanceof Refusal
      ? error.message
      : "No answer from the emulator. Is it running? See “stack-emulator status”.",
  );
}

// ---- the list ----

/** Which of two questions was asked last: an answer to the earlier one is dropped. */
let asked = 0;

async function refresh() {
  const number = ++asked;
  const query = new URLSearchParams({ search: search.value.trim(), limit });
  try {
    const text = await ask(`/page/mails?${query}`);
    if (number !== asked) {
      return;
    }
    notice("");
    if (text !== answer) {
      answer = text;
      show(JSON.parse(text));
    }
  } catch (error) {
    if (number === asked) {
      explain(error);
    }
  }
}

function show(said) {
  mails = said.mails;
  const focused = document.activeElement?.closest("li")?.dataset.id;
  list.replaceChildren(...mails.map(row));
  if (focused) {
    rowOf(focused)?.focus();
  }
  element("more").hidden = !said.more || limit >= MOST;
  const searching = search.value.trim() !== "";
  element("empty").hidden = mails.length > 0;
  element("empty").textContent = searching
    ? "No mail matches."
    : "No mails yet. What your app sends appears here by itself.";
  element("none").hidden = open !== null || mails.length === 0;
  element("delete-all").disabled = mails.length === 0 && !searching;
  const unseen = mails.filter((mail) => !mail.seen).length;
  document.title = `${unseen ? `(${unseen}) ` : ""}Mail inbox · Stack Emulator`;
  if (open && !searching && !said.more && !mails.some((mail) => mail.id === open.id)) {
    close();
  }
}

function row(mail) {
  const button = document.createElement("button");
  button.type = "button";
  button.classList.toggle("unseen", !mail.seen);
  button.setAttribute("aria-current", String(mail.id === open?.id));
  const part = (tag, name, text) => {
    const made = document.createElement(tag);
    made.className = name;
    made.textContent = text;
    button.append(made);
    return made;
  };
  if (!mail.seen) {
    part("span", "spoken", "Unread,");
  }
  part("span", "to", mail.to).title = mail.to;
  part("time", "", time(mail.created_at_millis)).dateTime = new Date(mail.created_at_millis).toISOString();
  part("span", "subject", mail.subject || "(no subject)").title = mail.subject;
  button.addEventListener("click", () => choose(mail, true));
  const item = document.createElement("li");
  item.dataset.id = mail.id;
  item.append(button);
  return item;
}

const rowOf = (id) => [...list.children].find((item) => item.dataset.id === id)?.firstChild;

function time(millis) {
  const date = new Date(millis);
  const today = date.toDateString() === new Date().toDateString();
  return date.toLocaleString(
    [],
    today
      ? { hour: "2-digit", minute: "2-digit", second: "2-digit" }
      : { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
  );
}

// ---- one mail ----

async function choose(mail, byPointer = false) {
  open = mail;
  history.replaceState(null, "", `#${encodeURIComponent(mail.id)}`);
  for (const item of list.children) {
    item.firstChild.setAttribute("aria-current", String(item.dataset.id === mail.id));
  }
  try {
    const read = JSON.parse(await ask(pathOf(mail)));
    if (open !== mail) {
      return;
    }
    fill(mail, read);
    if (byPointer && isNarrow()) {
      element("subject").focus();
    }
    if (!mail.seen) {
      await ask(pathOf(mail), { method: "PATCH", body: JSON.stringify({ seen: true }) });
      await refresh();
    }
  } catch (error) {
    explain(error);
  }
}

function fill(mail, read) {
  element("subject").textContent = mail.subject || "(no subject)";
  element("to").textContent = mail.to;
  element("from").textContent = `${mail.project} ${read.from.replace(/^.*</, "<")}`;
  element("sent").textContent = new Date(mail.created_at_millis).toLocaleString();
  element("code-row").hidden = !mail.code;
  element("code").textContent = mail.code ?? "";
  const address = webAddress(mail.link);
  element("link-row").hidden = !address;
  element("link").textContent = address ?? "";
  element("link").href = address ?? "#";
  element("source").href = `${pathOf(mail)}/source`;
  element("text").replaceChildren(...linked(read.body.text));
  // Another frame, not another address of this one, which the browser's Back button would go through.
  const frame = element("html").cloneNode();
  frame.src = `/page/mails/${pathOf(mail).slice("/api/v1/mailbox/".length)}/html`;
  element("html").replaceWith(frame);
  element("reading").hidden = false;
  element("none").hidden = true;
  element("list").parentElement.classList.add("reading");
  element("reading").scrollTop = 0;
  showForm();
}

/** A link that may be followed: never `javascript:` and the like. */
function webAddress(link) {
  return link && /^https?:\/\//i.test(link) && URL.canParse(link) ? link : null;
}

/** A text whose web addresses are links. */
function linked(text) {
  return text.split(/(https?:\/\/[^\s<>"]+)/).map((part, index) => {
    if (index % 2 === 0 || !webAddress(part)) {
      return part;
    }
    const link = document.createElement("a");
    link.href = part;
    link.target = "_blank";
    link.rel = "noreferrer";
    link.textContent = part;
    return link;
  });
}

function showForm() {
  for (const button of element("forms").children) {
    button.setAttribute("aria-pressed", String(button.dataset.form === form));
  }
  element("text").hidden = form !== "text";
  element("html").hidden = form !== "html";
}

function close() {
  open = null;
  history.replaceState(null, "", location.pathname);
  element("reading").hidden = true;
  element("none").hidden = mails.length === 0;
  element("html").removeAttribute("src");
  element("list").parentElement.classList.remove("reading");
  for (const item of list.children) {
    item.firstChild.setAttribute("aria-current", "false");
  }
}

async function remove() {
  const mail = open;
  if (!mail) {
    return;
  }
  const at = mails.findIndex((other) => other.id === mail.id);
  const next = mails[at + 1] ?? mails[at - 1];
  try {
    await ask(pathOf(mail), { method: "DELETE" });
  } catch (error) {
    // Somebody else may have been first.
    if (error.status !== 404) {
      explain(error);
      return;
    }
  }
  close();
  await refresh();
  if (next && !isNarrow()) {
    await choose(next);
    rowOf(next.id)?.focus();
  }
}

async function copy(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Copying failed";
  }
  button.disabled = true;
  setTimeout(() => {
    button.textContent = label;
    button.disabled = false;
  }, 1_200);
}

// ---- what the user does ----

function move(by) {
  if (mails.length === 0) {
    return;
  }
  const at = mails.findIndex((mail) => mail.id === open?.id);
  const to = at < 0 ? 0 : Math.min(Math.max(at + by, 0), mails.length - 1);
  choose(mails[to]);
  rowOf(mails[to].id)?.focus();
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || element("sure").open) {
    return;
  }
  const typing = document.activeElement === search;
  if (typing && event.key === "Escape") {
    search.value = "";
    search.blur();
    changed();
  } else if (event.key === "ArrowDown" || (!typing && event.key === "j")) {
    move(1);
  } else if (event.key === "ArrowUp" || (!typing && event.key === "k")) {
    move(-1);
  } else if (typing) {
    return;
  } else if (event.key === "/") {
    search.focus();
    search.select();
  } else if (event.key === "Escape" && open) {
    close();
  } else if (event.key === "Delete" && open) {
    remove();
  } else if (event.key === "c" && open?.code) {
    copy(element("copy-code"), open.code);
  } else {
    return;
  }
  event.preventDefault();
}

/** Whether there is room for the list or a mail, but not for both. */
const isNarrow = () => getComputedStyle(element("back")).display !== "none";

function changed() {
  limit = PAGE_SIZE;
  if (open && isNarrow()) {
    close();
  }
  refresh();
}

function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

document.addEventListener("keydown", pressed);
search.addEventListener("input", changed);
element("more").addEventListener("click", () => {
  limit = Math.min(limit + PAGE_SIZE, MOST);
  refresh();
});
element("back").addEventListener("click", () => {
  const id = open?.id;
  close();
  rowOf(id)?.focus();
});
element("delete").addEventListener("click", remove);
element("copy-code").addEventListener("click", () => copy(element("copy-code"), open.code));
element("copy-link").addEventListener("click", () => copy(element("copy-link"), open.link));
element("forms").addEventListener("click", (event) => {
  form = event.target.closest("button")?.dataset.form ?? form;
  try {
    localStorage.setItem("form", form);
  } catch {
    // It is only forgotten.
  }
  showForm();
});
element("delete-all").addEventListener("click", () => element("sure").showModal());
element("sure").addEventListener("close", async () => {
  if (element("sure").returnValue !== "delete") {
    return;
  }
  element("sure").returnValue = "";
  try {
    await ask("/page/mails", { method: "DELETE" });
    close();
    await refresh();
  } catch (error) {
    explain(error);
  }
});

// There is no event for a mail that comes: the page looks while somebody looks at it.
async function watch() {
  if (document.visibilityState === "visible") {
    await refresh();
  }
  setTimeout(watch, PAUSE_MS);
}
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") {
    refresh();
  }
});
await watch();
const wanted = decodeURIComponent(location.hash.slice(1));
const first = mails.find((mail) => mail.id === wanted);
if (first) {
  choose(first);
}
