import { StackClientApp } from "@stackframe/js";

/** `stack-emulator run` sets these for the dev server, which puts them into the page. */
export const auth = new StackClientApp({
  baseUrl: import.meta.env.VITE_STACK_API_URL,
  projectId: import.meta.env.VITE_STACK_PROJECT_ID,
  publishableClientKey: import.meta.env.VITE_STACK_PUBLISHABLE_CLIENT_KEY,
  tokenStore: "cookie",
  redirectMethod: "none",
});

/** Where the links in mails lead. */
export const pages = {
  verify: new URL("/verify", location.origin).href,
  signIn: new URL("/sign-in", location.origin).href,
};
