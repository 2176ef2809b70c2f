// The mails that a project's users would have got, and one of them.

import { at, own } from "./api.js";
import { fill, h } from "./dom.js";
import { dateTime } from "./format.js";
import { button, copyable, empty, table, time } from "./parts.js";

const MOST = 100;

function list({ project, link }, mails) {
  const rows = mails.map((mail) => [
    h("a", { class: "strong", href: link(project, "mails", mail.id) }, mail.subject || "(no subject)"),
    mail.to,
    mail.code && copyable(mail.code, "code", mail.code.length > 12 ? `${mail.code.slice(0, 8)}…` : mail.code),
    time(mail.created_at_millis),
  ]);
  return table("Mails", ["Subject", "To", "Code", "Sent"], rows);
}

/** The newest mails to a user's primary address. */
export async function mailsTo(context, user) {
  if (!user.primary_email) {
    return empty("No address to send mails to.");
  }
  const { items } = await own("/mails", { project_id: context.project, to: user.primary_email, limit: 20 });
  return items.length > 0 ? list(context, items) : empty("No mail yet.");
}

export async function mailsView(context) {
  const { project, query, link } = context;
  const to = query.get("to") ?? "";
  const { items } = await own("/mails", { project_id: project, to, limit: MOST });
  const search = h("input", { type: "search", name: "to", "aria-label": "Recipient", placeholder: "Show mails to an address" });
  search.value = to;
  const submit = (event) => {
    event.preventDefault();
    const wanted = search.value.trim();
    location.hash = wanted ? `${link(project, "mails")}?${new URLSearchParams({ to: wanted })}` : link(project, "mails");
  };
  const nothing = to
    ? empty(`No mail to ${to}.`)
    : empty("There are no mails yet.", h("p", {}, "Magic links, codes and invitations of your app are here. None leaves this computer."));
  const content = [
    h("div", { class: "heading" }, h("h1", {}, "Mails"), h("div", { class: "actions" }, button("Refresh", context.reload))),
    h("form", { class: "filters", submit }, search),
    items.length > 0 ? list(context, items) : nothing,
    items.length === MOST && h("p", { class: "quiet" }, `The newest ${MOST}.`),
  ];
  return { title: "Mails", content };
}

/** The HTML of a mail in a frame of its own, where nothing runs and nothing is fetched. Links open in a new tab. */
function html(mail) {
  const frame = h("iframe", {
    class: "letter",
    title: "The mail",
    sandbox: "allow-popups allow-popups-to-escape-sandbox",
    referrerpolicy: "no-referrer",
  });
  frame.srcdoc = `<!doctype html><base target="_blank">${mail.html}`;
  return frame;
}

export async function mailView({ project, id, link }) {
  const mail = await own(at`/mails/${id}`);
  const letter = h("div", {});
  const tabs = [
    ["HTML", () => html(mail)],
    ["Text", () => h("pre", { class: "letter" }, mail.text)],
  ].map(([text, make]) => {
    const tab = button(text, () => {
      for (const other of tabs) {
        other.setAttribute("aria-pressed", String(other === tab));
      }
      fill(letter, make());
    });
    return tab;
  });
  tabs[0].click();
  const isWeb = /^https?:\/\//.test(mail.link ?? "");
  const content = [
    h("p", { class: "back" }, h("a", { href: link(project, "mails") }, "Mails")),
    h("div", { class: "heading" }, h("h1", {}, mail.subject || "(no subject)")),
    h(
      "dl",
      {},
      h("div", {}, h("dt", {}, "To"), h("dd", {}, mail.to)),
      h("div", {}, h("dt", {}, "Sent"), h("dd", {}, dateTime(mail.created_at_millis))),
      mail.code && h("div", {}, h("dt", {}, "Code"), h("dd", {}, copyable(mail.code, "code"))),
      isWeb &&
        h(
          "div",
          {},
          h("dt", {}, "Link"),
          h("dd", {}, h("a", { href: mail.link, target: "_blank", rel: "noopener noreferrer" }, mail.link)),
        ),
    ),
    h("div", { class: "tabs", role: "group", "aria-label": "Form" }, tabs),
    letter,
  ];
  return { title: mail.subject || "Mail", content };
}
