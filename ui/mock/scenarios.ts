// The states in which pages are tested, by subject.
import type { Scenario } from "./bridge";
import { images } from "./scenarios/images";
import { mail } from "./scenarios/mail";
import { pages } from "./scenarios/pages";
import { status } from "./scenarios/status";
import { troubles } from "./scenarios/troubles";
import { welcome } from "./scenarios/welcome";

/** Every scenario by its name. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  ...status,
  ...troubles,
  ...images,
  ...mail,
  ...pages,
  ...welcome,
};

/** The scenario called `name`. */
export function scenario(name: string): Scenario {
  const found = SCENARIOS[name];
  if (!found) throw new Error(`there is no scenario ${name}`);
  return found;
}
