// How values look to people.

const DATE_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const UNITS = [
  ["year", 365 * 24 * 3600],
  ["month", 30 * 24 * 3600],
  ["day", 24 * 3600],
  ["hour", 3600],
  ["minute", 60],
];

/** A moment, such as “Nov 30, 2026, 9:12 AM”. */
export function dateTime(millis) {
  return DATE_TIME.format(new Date(millis));
}

/** How long ago a moment is, or how soon. */
export function relative(millis, now = Date.now()) {
  const seconds = (millis - now) / 1000;
  for (const [unit, length] of UNITS) {
    if (Math.abs(seconds) >= length) {
      return RELATIVE.format(Math.trunc(seconds / length), unit);
    }
  }
  return "just now";
}

/** `3 users`, `1 user`. */
export function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** What a user is called: their name, else their address, else the beginning of their ID. */
export function nameOf(user) {
  return user.display_name || user.primary_email || `User ${user.id.slice(0, 8)}`;
}

/** Up to two letters for a picture. */
export function initials(name) {
  const words = name.trim().split(/[\s@._-]+/u).filter(Boolean);
  const letters = words.slice(0, 2).map((word) => [...word][0]);
  return letters.join("").toLocaleUpperCase() || "?";
}

/** The folder of a config file, with the part that tells it from others. */
export function projectName(project) {
  const path = project.absolute_file_path;
  if (!path) {
    return project.display_name;
  }
  const parts = path.split("/");
  return parts.at(-2) || path;
}
