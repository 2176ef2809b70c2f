//! What is typed and what it means.

use super::*;

fn meant(line: &str) -> Result<Invocation, Refused> {
    read(line.split_ascii_whitespace().map(OsString::from))
}

fn operation(line: &str) -> Operation {
    match meant(line).unwrap().request {
        Request::Operate { operation, .. } => operation,
        Request::Document(document) => panic!("{document:?}"),
    }
}

#[test]
fn credentials_have_one_form() {
    let form = |line: &str| match operation(line) {
        Operation::Credentials { form, .. } => form,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        form("x credentials"),
        CredentialsForm::Dotenv(AppKind::Plain)
    );
    assert_eq!(
        form("x credentials --format vite"),
        CredentialsForm::Dotenv(AppKind::Vite)
    );
    assert_eq!(form("x credentials --format env"), CredentialsForm::Shell);
    assert_eq!(
        form("x credentials --format next --json"),
        CredentialsForm::Json
    );
    assert_eq!(
        form("x credentials --format next --write .env.local"),
        CredentialsForm::Write {
            file: ".env.local".into(),
            kind: AppKind::Next
        }
    );
    assert!(meant("x credentials --format json --write .env").is_err());
}

#[test]
fn what_follows_two_dashes_is_the_program_s() {
    assert_eq!(
        operation("x run --config-file a.ts -- npm run dev -- --json"),
        Operation::Run {
            config_file: "a.ts".into(),
            program: "npm".into(),
            arguments: ["run", "dev", "--", "--json"].map(Into::into).to_vec(),
        }
    );
    assert!(meant("x run").is_err() && meant("x run npm").is_err());
}

#[test]
fn the_definition_is_sound() {
    command().debug_assert();
}

#[test]
fn flags_become_wishes() {
    assert_eq!(
        operation("x stop"),
        Operation::Stop {
            session: SessionWish::Keep
        }
    );
    assert_eq!(
        operation("x stop --discard"),
        Operation::Stop {
            session: SessionWish::Discard
        }
    );
    assert_eq!(
        operation("x reset"),
        Operation::Reset {
            consent: Consent::Ask
        }
    );
    assert_eq!(
        operation("x reset -y"),
        Operation::Reset {
            consent: Consent::Given
        }
    );
    assert_eq!(
        operation("x doctor --probe-again"),
        Operation::Doctor {
            probe: ProbeWish::Again
        }
    );
    assert_eq!(
        operation("x secrets show sak"),
        Operation::SecretsShow {
            name: SecretName::Sak
        }
    );
    assert_eq!(
        operation("x archive"),
        Operation::Archive { to: ".".into() }
    );
    assert_eq!(
        operation("x restore a.zst"),
        Operation::Restore {
            from: "a.zst".into()
        }
    );
    assert_eq!(operation("x bench"), Operation::Bench { runs: 10 });
    assert_eq!(
        operation("x logs --qemu -f -n 5"),
        Operation::Logs {
            source: LogSource::Qemu,
            follow: true,
            lines: 5
        }
    );
}

#[test]
fn a_pull_has_one_source_at_most() {
    let source = |line: &str| match operation(line) {
        Operation::Pull(request) => request.source,
        other => panic!("{other:?}"),
    };
    assert_eq!(source("x pull"), None);
    let rolling = |branch: &str| Source::Rolling {
        branch: branch.to_owned(),
    };
    assert_eq!(source("x pull --branch main"), Some(rolling("main")));
    assert_eq!(source("x pull --tag t-1"), Some(Source::Tag("t-1".into())));
    assert_eq!(source("x pull --pr 12"), Some(Source::PullRequest(12)));
    assert_eq!(source("x pull --run 99"), Some(Source::Run(99)));
    let here = std::env::current_dir().unwrap().join("a.qcow2");
    assert_eq!(source("x pull --file a.qcow2"), Some(Source::File(here)));
}

#[test]
fn images_and_settings_are_listed_unless_something_else_is_asked() {
    assert_eq!(operation("x images"), Operation::ImagesList);
    assert_eq!(operation("x images list"), Operation::ImagesList);
    assert_eq!(operation("x settings"), Operation::SettingsList);
    assert_eq!(
        operation("x images use --none"),
        Operation::ImagesUse { image: None }
    );
    let (image, used) = ("t-1".to_owned(), Some("t-1".to_owned()));
    assert_eq!(
        operation("x images use t-1"),
        Operation::ImagesUse { image: used }
    );
    assert_eq!(
        operation("x images remove t-1"),
        Operation::ImagesRemove { image }
    );
    assert_eq!(
        operation("x images prune --all --limit 20GB --archive-after 0"),
        Operation::ImagesPrune(PruneRequest {
            all: true,
            limit_bytes: Some(20_000_000_000),
            archive_after_days: Some(0),
        })
    );
    assert_eq!(
        operation("x settings set archive-after 14"),
        Operation::SettingsSet {
            name: Preference::ArchiveAfter,
            value: Some("14".into())
        }
    );
    assert_eq!(
        operation("x settings unset branch"),
        Operation::SettingsSet {
            name: Preference::Branch,
            value: None
        }
    );
}

#[test]
fn global_options_stand_before_and_after_the_command() {
    for line in [
        "x --json --instance ci status",
        "x status --instance ci --json",
    ] {
        let invocation = meant(line).unwrap();
        assert_eq!(invocation.format, Format::Json, "{line}");
        let Request::Operate { target, .. } = invocation.request else {
            panic!("{line}")
        };
        assert_eq!(target.instance.as_str(), "ci", "{line}");
    }
}

#[test]
fn an_image_is_absolute_from_here_on() {
    let Request::Operate { target, .. } = meant("x start --image a.qcow2").unwrap().request else {
        panic!("start is an operation")
    };
    assert_eq!(
        target.image.unwrap(),
        std::env::current_dir().unwrap().join("a.qcow2")
    );
}

#[test]
fn mistakes_are_usage_errors() {
    for line in [
        "x fly",
        "x start --instance Über",
        "x start --instance ../other",
        "x bench --runs 0",
        "x restore",
        "x logs -n many",
        "x logs --json",
        "x man --json",
        "x completions --json bash",
        "x completions tcsh",
        "x secrets show all",
        "x secrets show --json pck",
        "x start --color sometimes",
        "x start --image",
        "x pull --tag a --branch b",
        "x pull --pr 0",
        "x pull --pr many",
        "x pull --arch mips",
        "x pull --repo nothing",
        "x images use",
        "x images use a --none",
        "x images remove",
        "x images prune --limit 20",
        "x settings set colour red",
    ] {
        assert!(meant(line).unwrap_err().error.use_stderr(), "{line}");
    }
}

#[test]
fn the_format_of_a_refused_line_is_the_one_asked_for() {
    assert_eq!(meant("x --json fly").unwrap_err().format, Format::Json);
    assert_eq!(meant("x fly").unwrap_err().format, Format::Human);
    assert_eq!(meant("x fly -- --json").unwrap_err().format, Format::Human);
}
