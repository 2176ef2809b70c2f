#!/usr/bin/env node
// Runs the program of this system, which npm has installed as an optional package: with the same
// arguments, standard streams and signals, and the same end.
"use strict";

const { spawn } = require("node:child_process");
const { constants } = require("node:os");

/** The path of the program, from the package for this system. */
function program() {
  const name = `@stack-emulator/${process.platform}-${process.arch}`;
  try {
    return require.resolve(`${name}/bin/stack-emulator`);
  } catch {
    const { optionalDependencies } = require("./package.json");
    const reason =
      name in optionalDependencies
        ? `the package ${name} is not installed. Install again without --omit=optional; ` +
          "a package-lock.json from another system may leave it out, too."
        : `there is no Stack Emulator for ${process.platform} on ${process.arch}.`;
    process.stderr.write(`stack-emulator: ${reason}\n`);
    process.exit(1);
  }
}

const path = program();
const words = process.argv.slice(2);

// The program takes this process's place where Node can do that (22.15 and later): nothing is in between.
if (typeof process.execve === "function") {
  // Its warning that this is experimental is for us, not for the user.
  process.removeAllListeners("warning");
  process.execve(path, [path, ...words], process.env);
}

const child = spawn(path, words, { stdio: "inherit" });
child.on("error", (error) => {
  process.stderr.write(`stack-emulator: cannot run ${path}: ${error.message}\n`);
  process.exit(1);
});

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    // A terminal sends Ctrl-C to both, and the program takes a second one as a wish to end at once.
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  });
}

child.on("exit", (code, signal) => {
  if (signal === null) process.exit(code);
  // Ends as the program did, so that the parent process learns of the signal.
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.removeAllListeners(name);
  process.kill(process.pid, signal);
  // Where that signal is ignored: as shells count.
  setTimeout(() => process.exit(128 + constants.signals[signal]), 1000);
});
