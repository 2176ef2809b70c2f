//! Development commands: up, test, lint, image, bench.

fn main() {}
