//! `cargo xtask release publish`: hands a folder to GitHub by its own command line, `gh`.
//!
//! Programs are a release of their version, `v<version>`. Images are two: the dated one stays, the rolling one is
//! replaced; both are pre-releases, so that what is called the newest release is always one of programs. What `gh` is
//! asked is decided by [`plan`], a pure function; `--dry-run` prints it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use images::github::Repo;
use images::source::{DEFAULT_BRANCH, rolling_tag};

use super::{VERSION, sums};
use crate::command::output_of;
use crate::setup::find_program;
use crate::stages::run as run_command;
use crate::workspace;

/// Names, in GitHub's workflows, the tag or branch that they run for.
const TAG: &str = "GITHUB_REF_NAME";
/// Digits of a commit in the name of a dated release.
const SHORT: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// The command line and the app, as the release of this version
    Programs,
    /// Guest images, as a dated pre-release and the rolling one
    Images,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// What is in the folder
    #[arg(value_enum)]
    kind: Kind,
    #[command(flatten)]
    into: super::Into,
    /// Repository to publish in
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Repo,
    /// Branch in the tags of the images: a pull without a tag gets the rolling release of the default one
    #[arg(long, default_value = DEFAULT_BRANCH)]
    branch: String,
    /// Print what would be asked of `gh`, and ask nothing
    #[arg(long)]
    dry_run: bool,
}

/// `cargo xtask release publish`.
pub(super) fn run(args: &Args) -> Result<()> {
    let root = workspace::root()?;
    let folder = args.into.ready()?;
    // Everything is published with a digest, and that is the file's.
    let stated = sums::read(&folder)?;
    ensure!(
        stated == sums::take(&folder)?,
        "SHA256SUMS is not that of the files in {}; run `cargo xtask release sums` last",
        folder.display()
    );
    if args.kind == Kind::Programs
        && let Ok(tag) = std::env::var(TAG)
    {
        fits(&tag)?;
    }
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        output_of(
            command.args(arguments).current_dir(&root),
            "asking git for the commit",
        )
        .map(|text| text.trim().to_owned())
    };
    let commit = Commit {
        id: git(&["rev-parse", "HEAD"])?,
        date: git(&[
            "show",
            "-s",
            "--format=%cd",
            "--date=format-local:%Y%m%d",
            "HEAD",
        ])?,
    };
    let files: Vec<PathBuf> = super::files_in(&folder)?
        .iter()
        .map(|name| folder.join(name))
        .collect();
    let plan = plan(args.kind, &args.repository, &args.branch, &commit);
    if args.dry_run {
        for request in &plan {
            println!("{}", shown(&request.words(&files)));
        }
        return Ok(());
    }
    let gh = find_program("gh").context("there is no gh here; install GitHub's command line")?;
    for request in &plan {
        request.make(&gh, &files)?;
    }
    Ok(())
}

/// Fails if `name` is another version's tag.
fn fits(name: &str) -> Result<()> {
    let is_version = name
        .strip_prefix('v')
        .is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()));
    ensure!(
        !is_version || name == format!("v{VERSION}"),
        "the tag is {name}, and the version in Cargo.toml is {VERSION}; change one of them"
    );
    Ok(())
}

/// Words as a shell would take them.
fn shown(words: &[String]) -> String {
    let quoted = |word: &String| {
        if word.contains(' ') {
            format!("'{word}'")
        } else {
            word.clone()
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// What a release is made of.
struct Commit {
    id: String,
    /// Year, month and day as eight digits.
    date: String,
}

/// One call of `gh`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    arguments: Vec<String>,
    /// Whether the files follow.
    with_files: bool,
    /// Whether it may fail, since what it removes need not be there.
    may_fail: bool,
}

impl Request {
    fn words(&self, files: &[PathBuf]) -> Vec<String> {
        let mut words = vec!["gh".to_owned()];
        words.extend(self.arguments.iter().cloned());
        if self.with_files {
            words.extend(files.iter().map(|file| file.display().to_string()));
        }
        words
    }

    fn make(&self, gh: &Path, files: &[PathBuf]) -> Result<()> {
        let mut command = Command::new(gh);
        command.args(&self.arguments);
        if self.with_files {
            command.args(files);
        }
        match run_command(&mut command) {
            Err(error) if self.may_fail => {
                eprintln!("publish: {error:#}; going on");
                Ok(())
            }
            other => other,
        }
    }
}

/// What `gh` is asked, in this order.
fn plan(kind: Kind, repository: &Repo, branch: &str, commit: &Commit) -> Vec<Request> {
    let request = |arguments: &[&str]| {
        let repository = repository.to_string();
        let of_repository = ["--repo", &repository];
        let arguments = arguments.iter().chain(&of_repository);
        Request {
            arguments: arguments.map(|word| (*word).to_owned()).collect(),
            with_files: false,
            may_fail: false,
        }
    };
    let create = |tag: &str, title: &str, more: &[&str]| {
        let words = [
            "release", "create", tag, "--title", title, "--target", &commit.id,
        ];
        Request {
            with_files: true,
            ..request(&[&words, more].concat())
        }
    };
    match kind {
        Kind::Programs => {
            let (tag, title) = (format!("v{VERSION}"), format!("Stack Emulator {VERSION}"));
            // Seen by nobody until all files are there.
            vec![
                create(&tag, &title, &["--draft", "--generate-notes"]),
                request(&["release", "edit", &tag, "--draft=false", "--latest"]),
            ]
        }
        Kind::Images => {
            let short = &commit.id[..commit.id.len().min(SHORT)];
            let dated = format!("emulator-{branch}-{}-{short}", commit.date);
            let rolling = rolling_tag(branch);
            let notes = format!("Guest images of {}.", commit.id);
            let image = ["--prerelease", "--latest=false", "--notes", &notes];
            let removed = |tag: &str| Request {
                may_fail: true,
                ..request(&["release", "delete", tag, "--yes", "--cleanup-tag"])
            };
            vec![
                // Of a run that was begun again.
                removed(&dated),
                create(&dated, &dated, &image),
                removed(&rolling),
                create(&rolling, &rolling, &image),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(kind: Kind) -> Vec<String> {
        let commit = Commit {
            id: "d0202eee4b825dc642cb6eb9a060e54bf8d69288".into(),
            date: "20260516".into(),
        };
        let repository = "owner/name".parse().unwrap();
        let files = [PathBuf::from("FILE")];
        plan(kind, &repository, "main", &commit)
            .iter()
            .map(|request| request.words(&files).join(" "))
            .collect()
    }

    #[test]
    fn images_have_the_tags_of_the_contract_and_are_never_the_latest() {
        let plan = planned(Kind::Images);
        let created: Vec<_> = plan
            .iter()
            .filter(|line| line.contains(" create "))
            .collect();
        assert!(
            created[0].contains(" emulator-main-20260516-d0202eee "),
            "{plan:?}"
        );
        assert!(created[1].contains(" emulator-main-latest "), "{plan:?}");
        for line in created {
            assert!(line.contains("--prerelease --latest=false"), "{line}");
            assert!(line.ends_with("--repo owner/name FILE"), "{line}");
        }
        let at = |text: &str| plan.iter().position(|line| line.contains(text)).unwrap();
        assert!(
            at("create emulator-main-2026") < at("delete emulator-main-latest"),
            "the dated one is there before the rolling one goes"
        );
    }

    /// Or `pull --repo` of this project's own repository would find nothing.
    #[test]
    fn images_are_released_where_a_pull_without_a_tag_looks() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let words = ["publish", "images", "--repository", "owner/name"];
        let line = <Line as clap::Parser>::try_parse_from(words).unwrap();
        let looked_for = images::source::Source::default();
        assert_eq!(
            looked_for,
            images::source::Source::Rolling {
                branch: line.args.branch
            }
        );
    }

    #[test]
    fn a_tag_of_another_version_is_refused() {
        fits(&format!("v{VERSION}")).unwrap();
        fits("main").unwrap();
        let error = fits("v99.0.0").unwrap_err();
        assert!(error.to_string().contains(VERSION), "{error}");
    }

    #[test]
    fn a_version_is_seen_once_all_its_files_are_there() {
        let plan = planned(Kind::Programs);
        assert_eq!(plan.len(), 2);
        assert!(plan[0].contains(&format!("create v{VERSION} ")) && plan[0].contains("--draft "));
        assert!(plan[1].contains("--draft=false --latest"), "{plan:?}");
    }
}
