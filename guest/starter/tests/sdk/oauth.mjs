// What people do in a browser with the official SDK and a provider: sign up, come back, connect an account, say no. Run
// by `tests/stack/sdk.rs`:
//
//   node oauth.mjs SDK BACKEND_URL PROJECT_ID PUBLISHABLE_CLIENT_KEY SECRET_SERVER_KEY
//
// Prints a line for each step; the first that fails ends it with status 1.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import { delimiter, join } from "node:path";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const [sdk, baseUrl, projectId, publishableClientKey, secretServerKey] = process.argv.slice(2);
const { StackServerApp } = await import(sdk);

/** The app: every page of it is the SDK, which finishes a sign-in where the address says so. */
const SCRIPT = `
  import { StackClientApp } from ${JSON.stringify(sdk)};
  window.stackApp = new StackClientApp(${JSON.stringify({
    baseUrl,
    projectId,
    publishableClientKey,
    tokenStore: "cookie",
    noAutomaticPrefetch: true,
    redirectMethod: "window",
    urls: {
      oauthCallback: "/handler/oauth-callback",
      error: "/handler/error",
      afterSignUp: "/signed-up",
      afterSignIn: "/signed-in",
      afterSignOut: "/signed-out",
    },
  })});
  if (location.pathname === "/handler/oauth-callback") {
    window.stackApp.callOAuthCallback().catch((error) => document.body.append("Failed: " + error.stack));
  }
`;

async function step(name, deed) {
  try {
    await deed();
  } catch (error) {
    const text = await page.evaluate(() => document.body.innerText);
    console.error([`${sdk}: ${name}: ${error.stack}`, `at ${page.url()}`, text, ...said].join("\n"));
    process.exit(1);
  }
  console.log(`${sdk}: OAuth: ${name}`);
}

/** The browser in PATH, by the names that distributions give it. */
function findBrowser() {
  for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
    for (const folder of (process.env.PATH ?? "").split(delimiter)) {
      if (existsSync(join(folder, name))) return join(folder, name);
    }
  }
  throw new Error("there is no Chromium in PATH");
}

async function serveApp() {
  const bundle = await build({
    stdin: { contents: SCRIPT, resolveDir: import.meta.dirname },
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    define: { "process.env.NODE_ENV": '"production"', "process.env": "{}", global: "globalThis" },
    logLevel: "error",
  });
  const server = createServer((request, response) => {
    const isScript = request.url === "/app.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html; charset=utf-8");
    response.end(
      isScript ? bundle.outputFiles[0].contents : '<!doctype html><title>App</title><body><script type="module" src="/app.js"></script>',
    );
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://localhost:${server.address().port}`;
}

const origin = await serveApp();
const browser = await chromium.launch({
  executablePath: findBrowser(),
  // The sandbox does not start as root, as in containers.
  args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
});
const page = await browser.newPage();
let ada;
let provider;

/** What the pages have written to the console. */
const said = [];
page.on("console", (message) => said.push(message.text()));
page.on("pageerror", (error) => said.push(error.stack));
page.setDefaultTimeout(30_000);

/** Runs something in the app's page; the answer has to be plain data. */
const inApp = (deed, argument) => page.evaluate(deed, argument);

/** Opens a page of the app. */
async function open(path) {
  await page.goto(origin + path);
  await page.waitForFunction(() => window.stackApp);
}

/** Begins something that leaves the page, and waits for the provider's. */
async function leaveFor(begin, argument) {
  await inApp(begin, argument);
  await page.getByRole("button", { name: "Deny access" }).waitFor();
  provider = new URL(page.url()).origin;
}

/** Goes on as somebody who is typed in, and waits for a page of the app. */
async function enter(email, name, path) {
  await page.getByLabel("Email address").fill(email);
  await page.getByLabel("Display name").fill(name);
  await page.getByRole("button", { name: "Continue", exact: true }).click();
  await arrive(path);
}

async function arrive(path) {
  await page.waitForURL((url) => url.origin === origin && url.pathname === path);
  await page.waitForFunction(() => window.stackApp);
}

async function signOut() {
  await inApp(() => void window.stackApp.signOut());
  await arrive("/signed-out");
}

const signIn = (provider) => {
  void window.stackApp.signInWithOAuth(provider);
};

const me = () =>
  inApp(async () => {
    const user = await window.stackApp.getUser();
    return user && { id: user.id, email: user.primaryEmail, isVerified: user.primaryEmailVerified, name: user.displayName };
  });

await step("the providers of the config file", async () => {
  await open("/");
  const ids = await inApp(async () => (await window.stackApp.getProject()).config.oauthProviders.map(({ id }) => id));
  assert.deepEqual(ids, ["github", "google"]);
});
await step("sign up", async () => {
  await leaveFor(signIn, "github");
  await enter("ada@example.com", "Ada", "/signed-up");
  ada = await me();
  assert.deepEqual(ada, { id: ada.id, email: "ada@example.com", isVerified: true, name: "Ada" });
});
await step("sign out, and come back as a person that the page remembers", async () => {
  await signOut();
  assert.equal(await me(), null);
  await leaveFor(signIn, "github");
  await page.getByRole("button", { name: "Ada ada@example.com" }).click();
  await arrive("/signed-in");
  assert.equal((await me()).id, ada.id);
});
await step("connect an account of another provider, with a scope", async () => {
  await open("/settings");
  assert.equal(await inApp(async () => await (await window.stackApp.getUser()).getConnectedAccount("google")), null);
  await leaveFor(async () => {
    const user = await window.stackApp.getUser();
    void user.getConnectedAccount("google", { or: "redirect", scopes: ["calendar"] });
  });
  await enter("ada@work.test", "Ada at work", "/settings");
  assert.equal((await me()).id, ada.id);
});
await step("call the provider", async () => {
  const token = await inApp(async () => {
    const user = await window.stackApp.getUser();
    const account = await user.getConnectedAccount("google", { scopes: ["calendar"] });
    return (await account.getAccessToken()).accessToken;
  });
  const person = await (await fetch(`${provider}/userinfo`, { headers: { authorization: `Bearer ${token}` } })).json();
  assert.deepEqual([person.email, person.name], ["ada@work.test", "Ada at work"]);
  const none = await inApp(async () => {
    const user = await window.stackApp.getUser();
    return await user.getConnectedAccount("google", { scopes: ["mail"] });
  });
  assert.equal(none, null);
});
await step("accounts of a user", async () => {
  const accounts = await inApp(async () => {
    const user = await window.stackApp.getUser();
    return (await user.listOAuthProviders()).map(({ type, email, allowSignIn }) => ({ type, email, allowSignIn }));
  });
  assert.deepEqual(accounts, [
    { type: "github", email: "ada@example.com", allowSignIn: true },
    { type: "google", email: "ada@work.test", allowSignIn: true },
  ]);
  const left = await inApp(async () => {
    const user = await window.stackApp.getUser();
    const google = (await user.listOAuthProviders()).find(({ type }) => type === "google");
    const changed = await google.update({ allowSignIn: false });
    if (changed.status !== "ok") throw changed.error;
    await google.delete();
    return (await user.listOAuthProviders()).length;
  });
  assert.equal(left, 1);
});
await step("say no", async () => {
  await signOut();
  await leaveFor(signIn, "github");
  await page.getByRole("button", { name: "Deny access" }).click();
  await arrive("/handler/error");
  assert.equal(new URL(page.url()).searchParams.get("errorCode"), "OAUTH_PROVIDER_ACCESS_DENIED");
  assert.equal(await me(), null);
});
await step("a provider that the config file does not have", async () => {
  await open("/");
  // The newest SDK asks for the address and is told; older ones lead the browser to the answer.
  await inApp(() => {
    window.stackApp.signInWithOAuth("discord").catch((error) => document.body.append(error.errorCode ?? error.message));
  });
  await page.getByText("OAUTH_PROVIDER_NOT_FOUND_OR_NOT_ENABLED").waitFor();
});
await step("the server's accounts", async () => {
  const server = new StackServerApp({ baseUrl, projectId, publishableClientKey, secretServerKey, tokenStore: "memory" });
  const made = await server.createOAuthProvider({
    userId: ada.id,
    accountId: "g1",
    providerConfigId: "google",
    email: "g1@example.com",
    allowSignIn: true,
    allowConnectedAccounts: true,
  });
  assert.equal(made.status, "ok");
  const accounts = await (await server.getUser(ada.id)).listOAuthProviders();
  assert.deepEqual(accounts.map(({ type, accountId }) => [type, typeof accountId]), [["github", "string"], ["google", "string"]]);
});
process.exit(0);
