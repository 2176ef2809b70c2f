// What a person types into a port field, before Rust is asked whether the port is free.

/** A port as typed: a number between 1024 and 65535, or why it is none. */
export function typedPort(text: string): { port: number } | { problem: string } {
  if (!/^\d{1,5}$/.test(text.trim())) return { problem: "A number is needed." };
  const port = Number(text);
  return port >= 1024 && port <= 65_535 ? { port } : { problem: "Between 1024 and 65535." };
}

/** The services that would have the same port as another. */
export function twice(ports: readonly { service: string; port: number }[]): Set<string> {
  const clashing = ports.filter(({ port }, index) =>
    ports.some((other, at) => at !== index && other.port === port),
  );
  return new Set(clashing.map(({ service }) => service));
}
