// The dashboard of the starter stack: asks the backend for its project and shows what came back.
// A plain ES module, served as it is. The key below is a placeholder; each start of the emulator
// replaces it in this very file.
const PUBLISHABLE_CLIENT_KEY = "00000000000000000000000000000000ffffffffffffffffffffffffffffffff";
const TIME_LIMIT_MS = 10_000;

const element = (id) => document.getElementById(id);
const port = document.querySelector("meta[name=stack-backend-port]").content;
// The name the page was opened by: localhost may mean ::1 only, or 127.0.0.1 only.
const host = location.hostname === "localhost" ? "localhost" : "127.0.0.1";
const backend = `http://${host}:${port}`;

const METHODS = [
  ["credential_enabled", "password"],
  ["magic_link_enabled", "magic link"],
  ["passkey_enabled", "passkey"],
];

function show(state, message) {
  element("state").dataset.state = state;
  element("message").textContent = message;
}

async function currentProject() {
  const response = await fetch(`${backend}/api/v1/projects/current`, {
    cache: "no-store",
    credentials: "omit",
    signal: AbortSignal.timeout(TIME_LIMIT_MS),
    headers: {
      "x-stack-project-id": "internal",
      "x-stack-access-type": "client",
      "x-stack-publishable-client-key": PUBLISHABLE_CLIENT_KEY,
    },
  });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Error(body.error ?? `The backend answered with status ${response.status}.`);
  }
  return body;
}

async function check() {
  element("retry").disabled = true;
  show("connecting", "Connecting to the backend…");
  const started = performance.now();
  try {
    const project = await currentProject();
    const methods = METHODS.filter(([flag]) => project.config[flag]).map(([, name]) => name);
    methods.push(...project.config.enabled_oauth_providers.map((provider) => provider.id));
    element("project").textContent = project.display_name;
    element("project-id").textContent = project.id;
    element("duration").textContent = `${Math.round(performance.now() - started)} ms`;
    element("methods").textContent = methods.join(", ") || "none";
    document.title = project.display_name;
    show("connected", "Connected");
  } catch (error) {
    const unreachable = error instanceof TypeError || error.name === "TimeoutError";
    show(
      "failed",
      unreachable
        ? `No answer from ${backend}. Is the emulator running? See “stack-emulator status”.`
        : error.message,
    );
  } finally {
    element("retry").disabled = false;
  }
}

element("backend").textContent = backend;
element("retry").addEventListener("click", check);
check();
