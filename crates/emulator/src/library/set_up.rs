//! Setting an emulator up for the first time: that it was begun, until it is done.
//!
//! It is a pull, a capture and a start, each of which goes on after a kill by
//! itself. What none of them knows is that the others are to follow; that is
//! noted here.

use images::source::{Source, rolling_tag};
use serde::{Deserialize, Serialize};

use crate::config::paths::{Home, make_private_folder};
use crate::config::preferences::Preferences;
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::library::pull::source_of;
use record::{self, Durability, Record};

/// `set-up.json`: there while it is under way or was broken off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetUp {
    /// What was chosen.
    pub(crate) source: Source,
}

impl Record for SetUp {
    const FORMAT: &'static str = "stack-emulator-set-up";
    const VERSION: u32 = 1;
}

impl SetUp {
    pub(crate) fn read(home: &Home) -> Result<Option<Self>, Error> {
        Ok(record::read_optional(&home.set_up())?)
    }

    /// A short name, as an image that came from there has it.
    pub(crate) fn label(&self) -> String {
        match &self.source {
            Source::Rolling { branch } => rolling_tag(branch),
            Source::Tag(tag) => tag.clone(),
            Source::PullRequest(number) => format!("pr-{number}"),
            Source::Run(id) => format!("run-{id}"),
            Source::File(path) => path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned(),
        }
    }
}

impl Emulator {
    /// Notes that the emulator is being set up with `source`; with what the
    /// settings have if `None`.
    pub fn begin_set_up(&self, source: Option<&Source>) -> Result<(), Error> {
        let source = source_of(&Preferences::read(&self.home)?, source);
        make_private_folder(self.home.path())?;
        Ok(record::write(
            &self.home.set_up(),
            &SetUp { source },
            Durability::PowerCut,
        )?)
    }

    /// Notes that the emulator is set up.
    pub fn finish_set_up(&self) -> Result<(), Error> {
        let path = self.home.set_up();
        record::remove_file(&path).map_err(Error::file("remove", &path))
    }
}
