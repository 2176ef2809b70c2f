// What is typed into a port field, before Rust checks whether the port is free.

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
