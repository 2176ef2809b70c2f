// Pieces that several views have: buttons, forms, dialogs, lists, notices.

import { fill, freshId, h } from "./dom.js";
import { dateTime, initials, relative } from "./format.js";

const NOTICE_MS = 5000;

/** Says for some seconds what was done. */
export function notice(text) {
  const element = h("p", { class: "notice" }, text);
  document.getElementById("notices").append(element);
  setTimeout(() => element.remove(), NOTICE_MS);
}

/** A button. `kind` is `primary`, `danger`, `plain` or nothing. */
export function button(text, onclick, kind = "") {
  return h("button", { type: "button", class: kind, click: onclick }, text);
}

/** Runs `work` while a button cannot be pressed again. */
export async function busy(element, work) {
  element.disabled = true;
  try {
    return await work();
  } finally {
    element.disabled = false;
  }
}

function copyButton(value, label) {
  const copy = button(
    "Copy",
    async () => {
      try {
        await navigator.clipboard.writeText(value);
        notice(`${label} copied.`);
      } catch {
        notice("The browser does not let this page copy. Select the text instead.");
      }
    },
    "plain",
  );
  copy.setAttribute("aria-label", `Copy ${label}`);
  return copy;
}

/** A value in a fixed font with a button that copies it. `label` says what it is. */
export function copyable(value, label, shown = value) {
  return h("span", { class: "copyable" }, h("code", {}, shown), copyButton(value, label));
}

/** A value that is shown this once, however long it is. */
export function shownOnce(value, label) {
  const id = freshId();
  const text = h("textarea", { id, readonly: true, rows: 3, spellcheck: "false" });
  text.value = value;
  return h("div", { class: "field" }, h("div", { class: "heading" }, h("label", { for: id }, label), copyButton(value, label.toLowerCase())), text);
}

/** When something happened: how long ago, and the moment as a title. */
export function time(millis) {
  return h("time", { datetime: new Date(millis).toISOString(), title: dateTime(millis) }, relative(millis));
}

export function badge(text, kind = "") {
  return h("span", { class: `badge ${kind}` }, text);
}

export function avatar(name) {
  return h("span", { class: "avatar", "aria-hidden": "true" }, initials(name));
}

/** A list that has nothing in it. */
export function empty(title, ...more) {
  return h("div", { class: "empty" }, h("p", { class: "strong" }, title), more);
}

/** What went wrong, and a way on. */
export function failure(error, again) {
  return h(
    "div",
    { class: "failure", role: "alert" },
    h("p", {}, error.message),
    again && button("Try again", again),
  );
}

/** A titled part of a view. */
export function section(title, ...children) {
  const id = freshId();
  return h("section", { "aria-labelledby": id }, h("h2", { id }, title), children);
}

/** A table. `columns` are texts, or empty for a column of buttons; cells are nodes or texts. */
export function table(label, columns, rows) {
  const cell = (content, index) => h("td", { "data-label": columns[index] || null }, content);
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { "aria-label": label },
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col" }, column || h("span", { class: "hidden" }, "Actions"))))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell)))),
    ),
  );
}

/**
 * A labelled field. `spec` has `name`, `label`, `type` (as of an input, or `text-area`, `check`, `select`), `value`,
 * `hint`, `options` of a select as pairs, and other attributes.
 */
export function field(spec) {
  const { name, label, type = "text", value, hint, options, ...more } = spec;
  const id = freshId();
  const hintId = hint ? `${id}-hint` : null;
  const attributes = { id, name, "aria-describedby": hintId, autocomplete: "off", ...more };
  const described = hint && h("span", { class: "hint", id: hintId }, hint);
  if (type === "check") {
    const input = h("input", { ...attributes, type: "checkbox", checked: value === true });
    return h("div", { class: "field check" }, input, h("label", { for: id }, label), described);
  }
  let input;
  if (type === "text-area") {
    input = h("textarea", { rows: 4, spellcheck: "false", ...attributes });
    input.value = value ?? "";
  } else if (type === "select") {
    input = h("select", attributes, options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
  } else {
    input = h("input", { ...attributes, type });
    input.value = value ?? "";
  }
  return h("div", { class: "field" }, h("label", { for: id }, label), input, described);
}

/** What a form's fields hold, by their names. */
export function values(form) {
  const found = {};
  for (const element of form.elements) {
    if (element.name) {
      found[element.name] = element.type === "checkbox" ? element.checked : element.value;
    }
  }
  return found;
}

/**
 * A form. `submit` gets the values; what it throws is shown above the buttons. `onError` may take errors over: it says
 * whether it did.
 */
export function form(fields, submitText, submit, { kind = "primary", extra = [], onError } = {}) {
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const go = h("button", { type: "submit", class: kind }, submitText);
  return h(
    "form",
    {
      submit: async (event) => {
        event.preventDefault();
        problem.hidden = true;
        const given = values(event.target);
        try {
          await busy(go, () => submit(given));
        } catch (error) {
          if (!onError?.(error)) {
            problem.textContent = error.message;
            problem.hidden = false;
          }
        }
      },
    },
    fields,
    problem,
    h("div", { class: "buttons" }, extra, go),
  );
}

/** A dialog; gives it, opened. It is removed once closed. */
export function dialog(title, ...children) {
  const id = freshId();
  const element = h("dialog", { "aria-labelledby": id }, h("h2", { id }, title), children);
  element.addEventListener("close", () => element.remove());
  document.body.append(element);
  element.showModal();
  return element;
}

/** A dialog with a form. It closes once `submit` is done, and stays if that fails. */
export function formDialog(title, intro, fields, submitText, submit, options = {}) {
  let element;
  const cancel = button("Cancel", () => element.close());
  const body = form(
    fields,
    submitText,
    async (given) => {
      await submit(given);
      element.close();
    },
    { ...options, extra: [cancel] },
  );
  element = dialog(title, intro && h("p", {}, intro), body);
  return element;
}

/** Asks before something is lost. `text` says what. */
export function confirm(title, text, submitText, submit, options = {}) {
  const element = formDialog(title, text, [], submitText, submit, { kind: "danger", ...options });
  // Not the button that cannot be undone.
  element.querySelector(".buttons button").focus();
  return element;
}

/** Reads JSON that somebody typed; nothing is `null`. */
export function readJson(text, label) {
  if (text.trim() === "") {
    return null;
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${label} is not valid JSON.`);
  }
}

/** JSON for somebody to change. */
export function writeJson(value) {
  return value === null || value === undefined ? "" : JSON.stringify(value, null, 2);
}

/** A part that is loaded after the rest of the view, and again after each change. */
export function loaded(load, onError) {
  const element = h("div", { class: "loaded" }, h("p", { class: "quiet later" }, "Loading…"));
  const reload = async () => {
    try {
      fill(element, await load(reload));
    } catch (error) {
      if (!onError(error)) {
        fill(element, failure(error, reload));
      }
    }
  };
  reload();
  return { element, reload };
}
