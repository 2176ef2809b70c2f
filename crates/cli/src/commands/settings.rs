//! `settings`: the values in `settings.json`.

use emulator::preferences::{NO_ROTATION_WARNING, Preference, Preferences, size_text};
use emulator::variables;
use emulator::{Error, UsualRam};
use serde::Serialize;

use super::{Context, ahead, github_token};
use crate::arguments::{SettingsArguments, TokenArguments};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Detail, Render, tell};
use crate::render::style::{CAUTION, FAINT};
use crate::render::text::{pad, paint, printable, widest};

/// What `settings` reports.
#[derive(Debug, Serialize)]
struct SettingList {
    settings: Vec<Setting>,
}

#[derive(Debug, Serialize)]
struct Setting {
    name: String,
    /// As users write it; `null` if it is not set.
    value: Option<String>,
    /// What holds while it is not set, for people.
    default: String,
    /// The environment variable that is set and overrides the value.
    overridden_by: Option<String>,
}

pub(super) async fn run(
    context: &Context<'_>,
    command: SettingsArguments,
) -> Result<Exit, Failure> {
    match command {
        SettingsArguments::List => list(context),
        SettingsArguments::Set { name, value } => set(context, &name, Some(&value)),
        SettingsArguments::Unset { name } => set(context, &name, None),
        SettingsArguments::GithubToken { command } => {
            github_token::run(context, command.unwrap_or(TokenArguments::Show)).await
        }
    }
}

fn list(context: &Context<'_>) -> Result<Exit, Failure> {
    report(context, &Preferences::read(context.emulator.home())?)
}

fn set(context: &Context<'_>, name: &Preference, value: Option<&str>) -> Result<Exit, Failure> {
    let emulator = context.emulator;
    let preferences = Preferences::update(emulator.home(), |preferences| {
        preferences.set(name, value)?;
        // To unset is always possible: it may be what sets things right.
        if value.is_some() {
            emulator.check_preferences(preferences)?;
        }
        Ok::<_, Error>(())
    })?;
    if *name == Preference::NoRotation && preferences.no_rotation {
        let label = paint(CAUTION, "warning:");
        tell(&format!("{label} {NO_ROTATION_WARNING}\n"));
    }
    if *name == Preference::StopWhenIdle {
        // What runs already was started without.
        for name in emulator.instance_names()? {
            ahead::begin_idle_watch(&emulator.sibling(name));
        }
    }
    report(context, &preferences)
}

fn report(context: &Context<'_>, preferences: &Preferences) -> Result<Exit, Failure> {
    let overrides = &context.emulator.settings().overrides;
    let ram = usual_ram(context.emulator.usual_ram()?);
    let fixed = Preference::FIXED.into_iter().map(|name| {
        let (default, variable) = match name {
            Preference::CacheLimit => ("no limit", None),
            Preference::ArchiveAfter | Preference::StopWhenIdle => ("never", None),
            Preference::Repository => ("stack-auth/stack-auth", None),
            Preference::Branch => ("dev", None),
            Preference::Ram => (ram.as_str(), Some(variables::RAM)),
            Preference::Vcpus => ("host cores, at most 4", Some(variables::CPUS)),
            Preference::NoRotation => ("off", Some(variables::NO_ROTATION)),
            Preference::Ahead => ("disk, in CI off", Some(variables::AHEAD)),
            Preference::Network => ("by-image", Some(variables::NETWORK)),
            Preference::Updates => ("on, in CI off", Some(variables::UPDATES)),
            Preference::InstancePer => ("none", None),
            Preference::Port(_) => ("the image's", None),
        };
        Setting {
            name: name.name().into_owned(),
            value: preferences.get(&name),
            default: default.to_owned(),
            overridden_by: variable
                .filter(|variable| overrides.contains(*variable))
                .map(str::to_owned),
        }
    });
    let ports = context.emulator.port_settings()?.into_iter().map(|port| {
        let name = Preference::Port(port.service);
        Setting {
            name: name.name().into_owned(),
            value: preferences.get(&name),
            default: port.default.to_string(),
            overridden_by: port.variable.filter(|_| port.overridden),
        }
    });
    let settings = fixed.chain(ports).collect();
    context.output.report(&SettingList { settings })?;
    Ok(Exit::Success)
}

fn usual_ram(usual: UsualRam) -> String {
    let size = size_text(u64::from(usual.mib) << 20);
    if usual.by_image {
        format!("{size}, set by the image")
    } else {
        size
    }
}

impl Render for SettingList {
    fn render(&self, _: Detail) -> String {
        let width = widest(self.settings.iter().map(|setting| setting.name.as_str()));
        let line = |setting: &Setting| {
            let value = match &setting.value {
                Some(value) => printable(value),
                None => paint(FAINT, &format!("{} (default)", setting.default)),
            };
            let overridden = setting.overridden_by.as_ref().map_or(String::new(), |by| {
                format!("  {}", paint(CAUTION, &format!("overridden by {by}")))
            });
            format!("{}  {value}{overridden}\n", pad(&setting.name, width))
        };
        self.settings.iter().map(line).collect()
    }
}
