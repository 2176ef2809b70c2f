//! Texts about the program itself: completion scripts and manual pages.

use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::command;
use crate::manual::VARIABLES;
use crate::output::print;

pub(super) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    let mut command = command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}

/// The manual, to standard output or as one page a command into a folder.
pub(super) fn manual(folder: Option<&Path>) -> Result<Exit, Failure> {
    match folder {
        None => {
            let page = page(&built(), Contents::Main).map_err(Failure::Print)?;
            print(&String::from_utf8_lossy(&page))?;
        }
        Some(folder) => write_pages(&built(), Contents::Main, folder)?,
    }
    Ok(Exit::Success)
}

/// Whether a page is the program's own, with the sections that hold for all commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contents {
    Main,
    Subcommand,
}

/// The command with the names and global options that its pages show.
fn built() -> Command {
    let mut command = command().disable_help_subcommand(true);
    command.build();
    command
}

fn page(command: &Command, contents: Contents) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    // The sections below say the same in the manual's form.
    let command = command.clone().after_long_help("").after_help("");
    let man = Man::new(command.clone());
    match contents {
        Contents::Subcommand => man.render(&mut text)?,
        Contents::Main => {
            man.render_title(&mut text)?;
            man.render_name_section(&mut text)?;
            man.render_synopsis_section(&mut text)?;
            man.render_description_section(&mut text)?;
            man.render_options_section(&mut text)?;
            man.render_subcommands_section(&mut text)?;
            sections().to_writer(&mut text)?;
        }
    }
    Ok(text)
}

/// ENVIRONMENT and EXIT STATUS.
fn sections() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["ENVIRONMENT"]);
    roff.text([roman("An invalid value is an error.")]);
    for variable in VARIABLES {
        roff.control("TP", []);
        roff.text([bold(variable.name)]);
        roff.text([roman(format!(
            "{} [default: {}]",
            variable.meaning, variable.default
        ))]);
    }
    roff.control("SH", ["EXIT STATUS"]);
    for exit in crate::exit::Exit::ALL {
        roff.control("TP", []);
        roff.text([bold(exit.code().to_string())]);
        roff.text([roman(exit.meaning())]);
    }
    roff
}

/// Writes the page of `command` and those of its commands into `folder`.
fn write_pages(command: &Command, contents: Contents, folder: &Path) -> Result<(), Failure> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Failure::WritePage { path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let path = folder.join(format!("{name}.1"));
    let text = page(command, contents).map_err(failed(&path))?;
    std::fs::write(&path, text).map_err(failed(&path))?;
    command
        .get_subcommands()
        .filter(|subcommand| !subcommand.is_hide_set())
        .try_for_each(|subcommand| write_pages(subcommand, Contents::Subcommand, folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_page_has_the_sections_that_a_reader_looks_for() {
        let page = String::from_utf8(page(&built(), Contents::Main).unwrap()).unwrap();
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "ENVIRONMENT",
            "\"EXIT STATUS\"",
        ] {
            assert!(
                page.contains(&format!(".SH {section}\n")),
                "{section} in {page}"
            );
        }
        assert!(
            !page.contains("Exit codes:"),
            "the help's form of it is left out"
        );
    }
}
