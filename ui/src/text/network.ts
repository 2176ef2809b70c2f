// Whom the virtual machine can connect to.
import type { NetworkChoice } from "../bindings";

/** What can be chosen. */
export const NETWORKS: readonly { value: NetworkChoice; text: string }[] = [
  { value: "by_image", text: "By image" },
  { value: "closed", text: "Closed" },
  { value: "open", text: "Open" },
];

/** What a choice means. */
export function aboutNetwork(choice: NetworkChoice): string {
  switch (choice) {
    case "by_image":
      return "The virtual machine connects to others if its image needs that; published images do.";
    case "closed":
      return "The virtual machine connects to nothing; its services can be used all the same.";
    case "open":
      return "The virtual machine connects to the internet and to servers on this computer.";
  }
}
