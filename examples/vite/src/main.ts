import { auth, pages } from "./auth";

type Outcome = { status: "ok" } | { status: "error"; error: Error };

const find = <T extends Element>(selector: string) => document.querySelector<T>(selector)!;
const signIn = find<HTMLFormElement>("#sign-in");
const profile = find<HTMLFormElement>("#profile");

/** Does what the button says; its name is in `deed`. */
function handle(form: HTMLFormElement, deeds: Record<string, (fields: FormData) => Promise<string>>) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = new FormData(form, event.submitter);
    form.inert = true;
    try {
      say(await deeds[String(fields.get("deed"))](fields));
      await show();
    } catch (error) {
      say(error instanceof Error ? error.message : String(error));
    } finally {
      form.inert = false;
    }
  });
}

function say(text: string) {
  find("#message").textContent = text;
}

function need(outcome: Outcome) {
  if (outcome.status === "error") throw outcome.error;
}

handle(signIn, {
  async "sign-in"(fields) {
    need(await auth.signInWithCredential({ ...credentials(fields), noRedirect: true }));
    return "";
  },
  async "sign-up"(fields) {
    const options = { noRedirect: true, verificationCallbackUrl: pages.verify } as const;
    need(await auth.signUpWithCredential({ ...credentials(fields), ...options }));
    return "Welcome! Verify your address: a mail is on its way.";
  },
  async link(fields) {
    need(await auth.sendMagicLinkEmail(String(fields.get("email")), { callbackUrl: pages.signIn }));
    return "A mail with a link is on its way.";
  },
});

handle(profile, {
  async save(fields) {
    const user = await auth.getUser({ or: "throw" });
    await user.setDisplayName(String(fields.get("name")));
    return "Saved.";
  },
  async "sign-out"() {
    const user = await auth.getUser();
    await user?.signOut();
    return "Signed out.";
  },
});

function credentials(fields: FormData) {
  return { email: String(fields.get("email")), password: String(fields.get("password")) };
}

/** A link of a mail leads here, with a code that is good once. */
async function arrive() {
  const here = new URL(location.href);
  const code = here.searchParams.get("code");
  if (!code) return;
  history.replaceState(null, "", "/");
  if (here.pathname === "/verify") {
    need(await auth.verifyEmail(code));
    say("Your address is verified.");
  } else {
    need(await auth.signInWithMagicLink(code, { noRedirect: true }));
  }
}

async function show() {
  const user = await auth.getUser();
  signIn.hidden = user !== null;
  profile.hidden = user === null;
  if (!user) return;
  find("#email").textContent = user.primaryEmail;
  find("#verified").textContent = user.primaryEmailVerified ? "(verified)" : "(not verified yet)";
  find<HTMLInputElement>("[name=name]").value = user.displayName ?? "";
  signIn.reset();
}

try {
  await arrive();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
}
await show();
