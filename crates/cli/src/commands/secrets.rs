//! `secrets`: the values in force, one at a time and only when asked for by name;
//! all of them replaced, or forgotten.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use emulator::SecretPlace;
use emulator::secrets::SecretName;
use serde::Serialize;

use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Detail, Render};
use crate::render::style::{CAUTION, FAINT};
use crate::render::text::{pad, paint, printable, widest};

/// What `secrets list` reports: never a value.
#[derive(Debug, Serialize)]
struct SecretList {
    /// Where the values are; `null` if there are none.
    place: Option<SecretPlace>,
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
        place: context.emulator.secret_place()?,
        secrets: SecretName::ALL.into_iter().map(entry).collect(),
    };
    context.output.report(&list)?;
    Ok(Exit::Success)
}

pub(super) async fn show(context: &Context<'_>, name: SecretName) -> Result<Exit, Failure> {
    let work = Box::pin(context.emulator.secrets(&context.progress));
    let Some(set) = context.guarded(work).await? else {
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

pub(super) async fn rotate(context: &Context<'_>) -> Result<Exit, Failure> {
    let work = Box::pin(context.emulator.rotate(&context.progress));
    let report = context.guarded(work).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

/// What `secrets forget` reports.
#[derive(Debug, Serialize)]
struct Forgotten {
    /// Always true: anything else is an error.
    forgotten: bool,
}

pub(super) async fn forget(context: &Context<'_>) -> Result<Exit, Failure> {
    let work = Box::pin(context.emulator.forget_secrets(&context.progress));
    context.guarded(work).await?;
    context.output.report(&Forgotten { forgotten: true })?;
    Ok(Exit::Success)
}

impl Render for Forgotten {
    fn render(&self, _: Detail) -> String {
        "Removed the secrets. The next start creates new ones.\n".to_owned()
    }
}

impl Render for SecretList {
    fn render(&self, _: Detail) -> String {
        let width = widest(self.secrets.iter().map(|secret| secret.name));
        let mut text = match &self.place {
            Some(place) => format!(
                "Stored in {}. Print a value with `stack-emulator secrets show NAME`. Names:\n\n",
                place.store.describe()
            ),
            None => "No secrets are stored. Names:\n\n".to_owned(),
        };
        for SecretEntry { name, variable } in &self.secrets {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {}  {}", pad(name, width), paint(FAINT, variable));
        }
        if let Some(warning) = self.place.as_ref().and_then(|place| place.warning.as_ref()) {
            let _ = writeln!(
                text,
                "\n{} {}",
                paint(CAUTION, "warning:"),
                printable(warning)
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use emulator::secrets::StoreKind;

    use super::*;
    use crate::render::text::plain;

    #[test]
    fn the_list_has_names_and_a_place() {
        let list = SecretList {
            place: Some(SecretPlace {
                store: StoreKind::KernelKeyring,
                warning: Some("it hangs".into()),
            }),
            secrets: vec![SecretEntry {
                name: "cron",
                variable: "CRON_SECRET",
            }],
        };
        let text = plain(&list.render(Detail::Brief));
        assert!(text.starts_with("Stored in the kernel keyring."), "{text}");
        let end = "\n  cron  CRON_SECRET\n\nwarning: it hangs\n";
        assert!(text.ends_with(end), "{text}");
    }
}
