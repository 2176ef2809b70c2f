//! `settings`: what is kept in `settings.json`.

use emulator::preferences::{Preference, Preferences};
use serde::Serialize;

use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Detail, Render};
use crate::render::style::FAINT;
use crate::render::text::{pad, paint, printable, widest};

/// What `settings` reports.
#[derive(Debug, Serialize)]
struct SettingList {
    settings: Vec<Setting>,
}

#[derive(Debug, Serialize)]
struct Setting {
    name: &'static str,
    /// As users write it; `null` if it is not set.
    value: Option<String>,
    /// What holds while it is not set, for people.
    default: &'static str,
}

const fn default(name: Preference) -> &'static str {
    match name {
        Preference::CacheLimit => "no limit",
        Preference::ArchiveAfter => "never",
        Preference::Repository => "stack-auth/stack-auth",
        Preference::Branch => "dev",
    }
}

pub(super) fn list(context: &Context<'_>) -> Result<Exit, Failure> {
    report(context, &Preferences::read(context.emulator.home())?)
}

pub(super) fn set(
    context: &Context<'_>,
    name: Preference,
    value: Option<&str>,
) -> Result<Exit, Failure> {
    let mut preferences = Preferences::read(context.emulator.home())?;
    preferences
        .set(name, value)
        .map_err(emulator::Error::from)?;
    preferences.write(context.emulator.home())?;
    report(context, &preferences)
}

fn report(context: &Context<'_>, preferences: &Preferences) -> Result<Exit, Failure> {
    let setting = |name: Preference| Setting {
        name: name.name(),
        value: preferences.get(name),
        default: default(name),
    };
    let settings = Preference::ALL.map(setting).into();
    context.output.report(&SettingList { settings })?;
    Ok(Exit::Success)
}

impl Render for SettingList {
    fn render(&self, _: Detail) -> String {
        let width = widest(self.settings.iter().map(|setting| setting.name));
        let line = |setting: &Setting| {
            let value = match &setting.value {
                Some(value) => printable(value),
                None => paint(FAINT, &format!("{} (not set)", setting.default)),
            };
            format!("{}  {value}\n", pad(setting.name, width))
        };
        self.settings.iter().map(line).collect()
    }
}
