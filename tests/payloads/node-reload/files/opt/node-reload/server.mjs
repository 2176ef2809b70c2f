/**
 * A backend and a dashboard, as far as readiness, key checks and a project's credentials go.
 *
 * Secrets are read at the start and at each SIGHUP. Only this process knows them, so all requests after a reload are
 * judged by the new ones.
 */
import { execFile } from "node:child_process";
import { createHash, timingSafeEqual } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync, renameSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";

const SECRETS = "/etc/stack/secrets.env";
const ANSWER = "/run/node-reload/reloaded";
const PROJECTS = "/var/lib/node-reload/projects.json";
const LONGEST_BODY = 64 * 1024;
const PREFIX = process.env.STACK_EMULATOR_PORT_PREFIX ?? "81";

/** For each access type: the header without its prefix, the variable, and the codes of a key that is missing or wrong. */
const ACCESS = {
  client: {
    header: "publishable-client-key",
    variable: "STACK_SEED_INTERNAL_PROJECT_PUBLISHABLE_CLIENT_KEY",
    missing: "CLIENT_AUTHENTICATION_REQUIRED",
    wrong: "INVALID_PUBLISHABLE_CLIENT_KEY",
  },
  server: {
    header: "secret-server-key",
    variable: "STACK_SEED_INTERNAL_PROJECT_SECRET_SERVER_KEY",
    missing: "SERVER_AUTHENTICATION_REQUIRED",
    wrong: "INVALID_SECRET_SERVER_KEY",
  },
  admin: {
    header: "super-secret-admin-key",
    variable: "STACK_SEED_INTERNAL_PROJECT_SUPER_SECRET_ADMIN_KEY",
    missing: "ADMIN_AUTHENTICATION_REQUIRED",
    wrong: "INVALID_SUPER_SECRET_ADMIN_KEY",
  },
};

/** The secrets by name; an error says which one is missing. */
function readSecrets() {
  const lines = readFileSync(SECRETS, "utf8").split("\n");
  const found = new Map(lines.filter((line) => line.includes("=")).map((line) => line.split("=", 2)));
  for (const { variable } of Object.values(ACCESS)) {
    if (!found.has(variable)) throw new Error(`${SECRETS} has no ${variable}`);
  }
  return found;
}

/**
 * 32 bytes from the kernel, as hexadecimal digits.
 *
 * Not `crypto.randomBytes` or `crypto.randomUUID`: their generator is in this process's memory, which every start from
 * the snapshot begins with, so two starts would draw the same values. The kernel's is seeded anew at each resume.
 */
function random() {
  const bytes = Buffer.alloc(32);
  const file = openSync("/dev/urandom", "r");
  try {
    if (readSync(file, bytes) !== bytes.length) throw new Error("the kernel gave fewer random bytes than asked for");
  } finally {
    closeSync(file);
  }
  return bytes.toString("hex");
}

let secrets = readSecrets();

process.on("SIGHUP", () => {
  let said = "ok";
  try {
    secrets = readSecrets();
  } catch (error) {
    said = error.message;
  }
  // Renamed, so that who waits for it finds it whole.
  writeFileSync(`${ANSWER}.new`, `${said}\n`);
  renameSync(`${ANSWER}.new`, ANSWER);
});

const digest = (text) => createHash("sha256").update(text).digest();

/** What a request says under either name of the product. */
const header = (request, name) => request.headers[`x-hexclave-${name}`] ?? request.headers[`x-stack-${name}`];

/** Undefined if the request may; otherwise what to answer. */
function refusal(request) {
  const access = ACCESS[header(request, "access-type")];
  if (!access) return [400, "ACCESS_TYPE_REQUIRED", "You must specify an access level for this project."];
  if (header(request, "project-id") !== "internal") {
    return [400, "CURRENT_PROJECT_NOT_FOUND", "There is only the project `internal` here."];
  }
  const given = header(request, access.header);
  if (given === undefined) return [401, access.missing, `x-stack-${access.header} must be provided.`];
  if (!timingSafeEqual(digest(given), digest(secrets.get(access.variable)))) {
    return [401, access.wrong, 'The key is not valid for the project "internal".'];
  }
  return undefined;
}

function answer(response, status, body, headers = {}) {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

function refuse(request, response, [status, code, error]) {
  const headers = { "x-stack-known-error": code, "x-hexclave-known-error": code };
  const hidden = header(request, "override-error-status") === "true";
  if (hidden) headers["x-stack-actual-status"] = headers["x-hexclave-actual-status"] = String(status);
  answer(response, hidden ? 200 : status, { code, error }, headers);
}

async function bodyOf(request) {
  let text = "";
  for await (const part of request.setEncoding("utf8")) {
    text += part;
    if (text.length > LONGEST_BODY) throw new Error("the body is too long");
  }
  return JSON.parse(text);
}

/** The credentials of the project that belongs to a config file: the same ones each time that it is asked for. */
function project(path) {
  let known = {};
  try {
    known = JSON.parse(readFileSync(PROJECTS, "utf8"));
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
  if (!Object.hasOwn(known, path)) {
    known[path] = {
      project_id: random().slice(0, 32),
      publishable_client_key: random(),
      secret_server_key: random(),
      super_secret_admin_key: random(),
    };
    writeFileSync(`${PROJECTS}.new`, JSON.stringify(known));
    renameSync(`${PROJECTS}.new`, PROJECTS);
  }
  return { ...known[path], branch_config_override_string: "{}" };
}

async function backend(request, response) {
  const path = request.url.split("?", 1)[0];
  if (request.method === "GET" && path === "/health") return answer(response, 200, { status: "ok" });
  if (request.method === "GET" && path === "/api/v1/projects/current") {
    const refused = refusal(request);
    if (refused) return refuse(request, response, refused);
    return answer(response, 200, { id: "internal", display_name: "Node", config: {} });
  }
  if (request.method === "POST" && path === "/api/v1/internal/local-emulator/project") {
    // The client key is in the dashboard, which everybody can read: this takes the server's.
    if (header(request, "access-type") === "client") {
      return refuse(request, response, [401, "INSUFFICIENT_ACCESS_TYPE", "This takes server access."]);
    }
    const refused = refusal(request);
    if (refused) return refuse(request, response, refused);
    const { absolute_file_path: file } = await bodyOf(request);
    if (typeof file !== "string" || !file.startsWith("/")) {
      return answer(response, 400, { code: "SCHEMA_ERROR", error: "absolute_file_path must be an absolute path." });
    }
    if (!statSync(`/host${file}`, { throwIfNoEntry: false })?.isFile()) {
      return answer(response, 400, { code: "SCHEMA_ERROR", error: `There is no file ${file} below /host.` });
    }
    return answer(response, 200, project(file));
  }
  return answer(response, 404, { error: "not found" });
}

function dashboard(request, response) {
  if (request.url.split("?", 1)[0] !== "/handler/sign-in") return answer(response, 404, { error: "not found" });
  const key = secrets.get(ACCESS.client.variable);
  response.writeHead(200, { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" });
  response.end(`<!doctype html><title>Sign in</title><script>const key = "${key}";</script>`);
}

/** Serves on all addresses: the host's connections come in by the network card. */
function serve(port, handler) {
  const server = createServer((request, response) => {
    Promise.resolve(handler(request, response)).catch((error) => {
      console.error(error);
      if (!response.headersSent) answer(response, 500, { error: "internal error" });
    });
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(Number(port), "0.0.0.0", resolve);
  });
}

await Promise.all([serve(`${PREFIX}01`, dashboard), serve(`${PREFIX}02`, backend)]);
if (process.env.NOTIFY_SOCKET) {
  execFile("systemd-notify", ["--ready"], (error) => {
    if (error) throw error;
  });
}
