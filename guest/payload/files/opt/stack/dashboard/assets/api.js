// Calls to the dashboard's own origin, which passes those of `/api/v1` on to the backend for who is signed in.
//
// The browser has one part of the session as a cookie that this code cannot read. The other is kept here.
const STORED = "stack-dashboard-session";
const TIME_LIMIT_MS = 40_000;
const ENDED = new Set(["NOT_SIGNED_IN", "ADMIN_ACCESS_TOKEN_EXPIRED"]);

/** A call that gave no answer, or one that is an error. */
export class CallError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** Whether one has to sign in again. */
  get hasEnded() {
    return this.status === 401 && ENDED.has(this.code);
  }
}

export function isSignedIn() {
  return localStorage.getItem(STORED) !== null;
}

/** Forgets the session; for one that has ended. */
export function forget() {
  localStorage.removeItem(STORED);
}

async function send(method, path, headers, body) {
  const init = { method, headers: { ...headers }, cache: "no-store", signal: AbortSignal.timeout(TIME_LIMIT_MS) };
  if (body !== undefined) {
    init.headers["content-type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  let response;
  let text;
  try {
    response = await fetch(path, init);
    text = await response.text();
  } catch {
    throw new CallError(
      0,
      "UNREACHABLE",
      "The dashboard does not answer. Is the emulator running? `stack-emulator status` tells, `stack-emulator start` starts it.",
    );
  }
  let parsed = null;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Some errors are plain text.
  }
  if (!response.ok) {
    const message = parsed?.error ?? (text.trim() || `The answer has status ${response.status}.`);
    throw new CallError(response.status, parsed?.code ?? "", message);
  }
  return parsed;
}

/** Signs in with `{ code }` of a link, or with `{ key }`. */
export async function signIn(proof) {
  const session = await send("POST", "/session", {}, proof);
  localStorage.setItem(STORED, session.page_part);
}

/** Ends the session. */
export async function signOut() {
  const headers = { "x-dashboard-session": localStorage.getItem(STORED) ?? "" };
  await send("DELETE", "/session", headers);
  forget();
}

/** Calls the backend's API for a project. `query` leaves out what is empty. */
export async function call(project, method, path, { query = {}, body } = {}) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") {
      parameters.set(name, String(value));
    }
  }
  const search = parameters.size > 0 ? `?${parameters}` : "";
  const headers = {
    "x-dashboard-session": localStorage.getItem(STORED) ?? "",
    "x-stack-project-id": project,
  };
  return send(method, `/api/v1${path}${search}`, headers, body);
}

/** Calls an endpoint that only an emulator has. */
export function own(path, query) {
  return call("internal", "GET", `/internal/local-emulator${path}`, { query });
}

/** A path of the API with IDs in it. */
export function at(strings, ...ids) {
  return String.raw({ raw: strings }, ...ids.map(encodeURIComponent));
}
