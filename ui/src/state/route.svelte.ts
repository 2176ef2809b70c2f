// The page that is shown: the address's fragment, so that Back works and a reload stays on the page.
import type { Page } from "../bindings";

/** Pages in the order of the side bar. */
export const PAGES = [
  "status",
  "images",
  "credentials",
  "mail",
  "logs",
  "settings",
] as const satisfies readonly Page[];

function fromFragment(): Page {
  const name = location.hash.replace(/^#\/?/, "");
  return [...PAGES, "welcome" as const].find((page) => page === name) ?? "status";
}

class Route {
  #page = $state<Page>(fromFragment());

  constructor() {
    window.addEventListener("hashchange", () => (this.#page = fromFragment()));
  }

  get page(): Page {
    return this.#page;
  }

  /** Shows a page. */
  go(page: Page): void {
    this.#page = page;
    location.hash = `/${page}`;
  }
}

/** The page that is shown. */
export const route = new Route();
