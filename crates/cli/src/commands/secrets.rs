//! `secrets`: the values in force, one at a time and only when asked for by name.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use emulator::secret::SecretName;
use emulator::store::StoreKind;
use serde::Serialize;

use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Detail, Render};
use crate::render::status::place;
use crate::render::style::FAINT;
use crate::render::text::{pad, paint, widest};

/// What `secrets list` reports: never a value.
#[derive(Debug, Serialize)]
struct SecretList {
    /// Where the values are kept.
    store: StoreKind,
    /// Whether there are any.
    stored: bool,
    secrets: Vec<SecretEntry>,
}

#[derive(Debug, Serialize)]
struct SecretEntry {
    /// The name for `secrets show`.
    name: &'static str,
    /// The variable's name inside the guest.
    variable: &'static str,
}

pub(super) fn list(context: &Context<'_>) -> Result<Exit, Failure> {
    let entry = |name: SecretName| SecretEntry {
        name: name.short(),
        variable: name.variable(),
    };
    let list = SecretList {
        store: context.emulator.secret_store()?,
        stored: context.emulator.secrets()?.is_some(),
        secrets: SecretName::ALL.into_iter().map(entry).collect(),
    };
    context.output.report(&list)?;
    Ok(Exit::Success)
}

pub(super) fn show(context: &Context<'_>, name: SecretName) -> Result<Exit, Failure> {
    let Some(set) = context.emulator.secrets()? else {
        return Err(Failure::NoSecrets);
    };
    // Standard output, at the user's explicit request, and nowhere else.
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(set.get(name).expose().as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .map_err(Failure::Print)?;
    Ok(Exit::Success)
}

impl Render for SecretList {
    fn render(&self, _: Detail) -> String {
        let width = widest(self.secrets.iter().map(|secret| secret.name));
        let mut text = if self.stored {
            format!(
                "Kept in {}; `stack-emulator secrets show NAME` prints one.\n\n",
                place(self.store)
            )
        } else {
            "None are kept: the emulator has not been started, or its secrets were dropped.\n\n"
                .to_owned()
        };
        for SecretEntry { name, variable } in &self.secrets {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {}  {}", pad(name, width), paint(FAINT, variable));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::text::plain;

    #[test]
    fn the_list_has_names_and_a_place() {
        let list = SecretList {
            store: StoreKind::KernelKeyring,
            stored: true,
            secrets: vec![SecretEntry {
                name: "cron",
                variable: "CRON_SECRET",
            }],
        };
        let text = plain(&list.render(Detail::Brief));
        assert!(text.starts_with("Kept in the kernel's keyring;"), "{text}");
        assert!(text.ends_with("\n  cron  CRON_SECRET\n"), "{text}");
    }
}
