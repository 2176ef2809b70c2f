// Ports: what is typed into a field, before Rust checks whether the port is free, and what is done about a taken one.
import type { Activity, PortSetting, ServicePort, ServiceStatus, Task } from "../bindings";

/** What can be done on other ports. */
const STARTS: ReadonlySet<Task> = new Set(["start", "restart", "set_up"]);

/** A port as typed: a number from 1024 to 65535, or what is wrong with it. */
export function typedPort(text: string): { port: number } | { problem: string } {
  const port = /^\d{1,5}$/.test(text.trim()) ? Number(text) : 0;
  return port >= 1024 && port <= 65_535 ? { port } : { problem: "Enter a number from 1024 to 65535." };
}

/** The services whose port is also that of another. */
export function twice(ports: readonly { service: string; port: number }[]): Set<string> {
  const clashing = ports.filter(({ port }, index) =>
    ports.some((other, at) => at !== index && other.port === port),
  );
  return new Set(clashing.map(({ service }) => service));
}

/** Whether what failed would work on other ports: it was a start, and no variable sets a port of `services`. */
export const canUseOtherPorts = (
  activity: Pick<Activity, "task"> | null,
  ports: readonly Pick<PortSetting, "service" | "overridden">[],
  services: readonly string[],
): boolean =>
  activity !== null &&
  STARTS.has(activity.task) &&
  !ports.some(({ service, overridden }) => overridden && services.includes(service));

/** The addresses of services as one text, to tell whether they have changed. */
export const addresses = (services: readonly Pick<ServiceStatus, "url">[]): string =>
  services.map(({ url }) => url).join(" ");

/** Ports with the names of their services: `Dashboard 26700, Backend API 26701`. */
export const named = (
  ports: readonly ServicePort[],
  services: readonly Pick<ServiceStatus, "id" | "name">[],
): string =>
  ports
    .map(({ service, port }) => `${services.find(({ id }) => id === service)?.name ?? service} ${port}`)
    .join(", ");
