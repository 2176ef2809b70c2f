// Which pages show how a long operation ended.
import type { Page, Task } from "../bindings";

/** Whether a page itself shows the outcome of a task. */
export function shows(page: Page, task: Task): boolean {
  switch (page) {
    case "status":
      return true;
    case "images":
      return task === "pull" || task === "capture" || task === "set_up";
    case "welcome":
      return task === "set_up";
    case "credentials":
    case "mail":
    case "logs":
    case "settings":
      return false;
  }
}
