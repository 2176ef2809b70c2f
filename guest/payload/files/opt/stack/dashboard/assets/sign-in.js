// Signing in: by the code of a link, which is in the address, or by a key.

import { signIn } from "./api.js";
import { fill, h } from "./dom.js";
import { button, field, form } from "./parts.js";

const TIME_LIMIT_MS = 10_000;
const COMMAND = "stack-emulator dashboard";

/** Signs in with the code in the address, if there is one. Gives what is wrong with it. */
export async function takeCode() {
  const found = /^#code=([0-9a-z]+)$/.exec(location.hash);
  if (!found) {
    return null;
  }
  // Out of the address and the browser's history, whatever comes of it.
  history.replaceState(null, "", location.pathname);
  try {
    await signIn({ code: found[1] });
    return null;
  } catch (error) {
    return error.message;
  }
}

/** Whether the backend answers, in words. */
async function look(key, state, message) {
  const port = document.querySelector("meta[name=stack-backend-port]").content;
  // The name the page was opened by: localhost may mean ::1 only, or 127.0.0.1 only.
  const host = location.hostname === "localhost" ? "localhost" : "127.0.0.1";
  const backend = `${host}:${port}`;
  fill(message, "Connecting to the backend…");
  state.dataset.state = "connecting";
  try {
    const response = await fetch(`http://${backend}/api/v1/projects/current`, {
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(TIME_LIMIT_MS),
      headers: {
        "x-stack-project-id": "internal",
        "x-stack-access-type": "client",
        "x-stack-publishable-client-key": key,
      },
    });
    state.dataset.state = response.ok ? "connected" : "failed";
    fill(message, response.ok ? "Backend connected at " : "The backend refuses the key of this page, at ", h("code", {}, backend));
  } catch {
    state.dataset.state = "failed";
    fill(message, "No answer from the backend at ", h("code", {}, backend), ". Is the emulator running?");
  }
}

/** The page for who is not signed in. `message` says why one is here. */
export function signInView({ key, message, signedIn }) {
  const said = h("span", {});
  const again = button("Check again", () => look(key, state, said), "plain");
  const state = h("p", { class: "state", role: "status" }, h("span", { class: "dot", "aria-hidden": "true" }), said, again);
  look(key, state, said);
  const fields = [
    field({
      name: "key",
      label: "Secret server key",
      type: "password",
      required: true,
      spellcheck: "false",
      hint: "Printed by stack-emulator secrets show ssk.",
    }),
  ];
  const submit = async (given) => {
    try {
      await signIn({ key: given.key });
    } catch (error) {
      if (error.code !== "INVALID_SECRET_SERVER_KEY") {
        throw error;
      }
      throw new Error("This is not the emulator's secret server key. Each start of the emulator makes a new one.");
    }
    signedIn();
  };
  return h(
    "main",
    { class: "sign-in" },
    h("div", { class: "brand" }, h("img", { src: "/assets/icon.svg", alt: "", width: 32, height: 32 }), "Stack Emulator"),
    h("h1", {}, "Sign in to the dashboard"),
    message && h("p", { class: "problem", role: "alert" }, message),
    h("p", {}, "Run this to open the dashboard signed in:"),
    h("pre", {}, h("code", {}, COMMAND)),
    h("p", { class: "or" }, h("span", {}, "or")),
    form(fields, "Sign in", submit),
    state,
  );
}
