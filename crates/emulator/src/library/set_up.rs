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
    /// Whether a start needs nothing more from the user: there is an image for it, and no set-up that was broken
    /// off.
    ///
    /// # Errors
    ///
    /// The records that say so cannot be read.
    pub fn is_set_up(&self) -> Result<bool, Error> {
        let remembered = self.remembered_before()?.unwrap_or_default();
        Ok(!self.lacks_image(&remembered) && SetUp::read(&self.home)?.is_none())
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::paths::InstanceName;
    use crate::config::variables::Settings;

    #[test]
    fn it_is_set_up_once_there_is_an_image_and_nothing_is_left_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let home = [("STACK_EMULATOR_HOME".into(), dir.path().into())];
        let settings = Settings::from_variables(home).unwrap();
        let emulator = Emulator::new(settings, InstanceName::default(), None);
        assert!(!emulator.is_set_up().unwrap());
        let image = emulator.home().default_image(emulator.settings().arch);
        std::fs::create_dir_all(image.parent().unwrap()).unwrap();
        std::fs::write(&image, "").unwrap();
        assert!(emulator.is_set_up().unwrap());
        emulator.begin_set_up(Some(&Source::Run(7))).unwrap();
        assert!(
            !emulator.is_set_up().unwrap(),
            "its snapshot is to be taken"
        );
        emulator.finish_set_up().unwrap();
        assert!(emulator.is_set_up().unwrap());
    }
}
