// Renders `icons/` from the drawings in `icons/sources`. With `--check`, only says whether what is committed is
// what would be rendered.
//
//   npm run icons [-- --check]
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { Resvg } from "@resvg/resvg-js";

const ICONS = join(dirname(fileURLToPath(import.meta.url)), "../../icons");

/** Below this many pixels the detailed drawing turns to mud. */
const SMALL = 32;
/** What Linux desktops look for in the icon theme. */
const HICOLOR = [16, 22, 24, 32, 48, 64, 128, 256, 512];
const ICO = [16, 24, 32, 48, 64, 256];
/**
 * Apple's four-letter types by their size in pixels; the second of a size is for dense screens.
 * @type {readonly [string, number][]}
 */
const ICNS = [
  ["icp4", 16],
  ["ic11", 32],
  ["icp5", 32],
  ["ic12", 64],
  ["ic07", 128],
  ["ic13", 256],
  ["ic08", 256],
  ["ic14", 512],
  ["ic09", 512],
  ["ic10", 1024],
];
/** Tray icons are 22 px high; twice that is sharp on every screen and scales down cleanly. */
const TRAY = 44;
const STATES = ["stopped", "busy", "running", "failed"];
/** What the panel is, and the colour that shows on it. macOS colours a template itself. */
const PANELS = { light: "#1d1d1f", dark: "#f5f5f7", template: "#000000" };

/**
 * @param {string} drawing
 * @param {number} size
 * @param {string} [colour]
 */
function render(drawing, size, colour) {
  const source = readFileSync(join(ICONS, "sources", drawing), "utf8");
  const svg = colour === undefined ? source : source.replaceAll("currentColor", colour);
  return new Resvg(svg, { fitTo: { mode: "width", value: size } }).render().asPng();
}

/** @param {number} size */
const app = (size) => render(size <= SMALL ? "app-small.svg" : "app.svg", size);

/**
 * An ICO file: a directory of 16 bytes an entry, then PNG files as they are.
 * @param {readonly number[]} sizes
 */
function ico(sizes) {
  const pictures = sizes.map(app);
  const head = Buffer.alloc(6 + 16 * sizes.length);
  head.writeUInt16LE(1, 2);
  head.writeUInt16LE(sizes.length, 4);
  let offset = head.length;
  sizes.forEach((size, index) => {
    const entry = 6 + 16 * index;
    const { length } = pictures[index] ?? Buffer.alloc(0);
    // 0 stands for 256.
    head.writeUInt8(size % 256, entry);
    head.writeUInt8(size % 256, entry + 1);
    head.writeUInt16LE(1, entry + 4);
    head.writeUInt16LE(32, entry + 6);
    head.writeUInt32LE(length, entry + 8);
    head.writeUInt32LE(offset, entry + 12);
    offset += length;
  });
  return Buffer.concat([head, ...pictures]);
}

/**
 * An ICNS file: chunks of a four-letter type, their length with its own eight bytes, and a PNG file.
 * @param {readonly [string, number][]} types
 */
function icns(types) {
  /** @type {(type: string, content: Buffer) => Buffer} */
  const chunk = (type, content) => {
    const head = Buffer.alloc(8);
    head.write(type, "ascii");
    head.writeUInt32BE(8 + content.length, 4);
    return Buffer.concat([head, content]);
  };
  return chunk("icns", Buffer.concat(types.map(([type, size]) => chunk(type, app(size)))));
}

const made = new Map([
  ["icon.png", app(512)],
  ["icon.ico", ico(ICO)],
  ["icon.icns", icns(ICNS)],
  ["32x32.png", app(32)],
  ["128x128.png", app(128)],
  ["128x128@2x.png", app(256)],
]);
// The window's own, which browsers ask for whether or not a page has one.
made.set("../ui/public/favicon.png", app(32));
for (const size of HICOLOR) made.set(`hicolor/${size}x${size}.png`, app(size));
for (const state of STATES) {
  for (const [panel, colour] of Object.entries(PANELS)) {
    made.set(`tray/${state}-${panel}.png`, render(`tray-${state}.svg`, TRAY, colour));
  }
}

const check = process.argv.includes("--check");
/** @type {string[]} */
const stale = [];
for (const [name, content] of made) {
  const path = join(ICONS, name);
  if (existsSync(path) && readFileSync(path).equals(content)) continue;
  stale.push(name);
  if (check) continue;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}
if (check && stale.length > 0) {
  console.error(`not what icons/sources gives: ${stale.join(", ")}; run \`npm run icons\` in ui/`);
  process.exitCode = 1;
}
