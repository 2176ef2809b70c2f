//! What is typed and what it means.

use emulator::preferences::Preference;
use emulator::secrets::SecretName;
use images::source::Source;

use super::*;
use crate::arguments::{ImagesArguments, MailArguments, RunArguments, SettingsArguments};

fn meant(line: &str) -> Result<Invocation, Refused> {
    read(line.split_ascii_whitespace().map(OsString::from))
}

fn operation(line: &str) -> Operation {
    match meant(line).unwrap().request {
        Request::Operate(operation) => operation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn credentials_have_a_form_and_maybe_a_file() {
    let form = |line: &str| match operation(line) {
        Operation::Credentials(CredentialsArguments { format, write, .. }) => (format, write),
        other => panic!("{other:?}"),
    };
    assert_eq!(form("x credentials"), (CredentialsFormat::Dotenv, None));
    assert_eq!(
        form("x credentials --format next --write .env.local"),
        (CredentialsFormat::Next, Some(".env.local".into()))
    );
    assert_eq!(
        form("x credentials --format env --json"),
        (CredentialsFormat::Env, None)
    );
    assert!(meant("x credentials --format json --write .env").is_err());
}

#[test]
fn what_follows_two_dashes_is_the_program_s() {
    let Operation::Run(RunArguments {
        config, command, ..
    }) = operation("x run --config-file a.ts -- npm run dev -- --json")
    else {
        panic!("run is an operation")
    };
    assert_eq!(config.config_file, Some(PathBuf::from("a.ts")));
    assert_eq!(command, ["npm", "run", "dev", "--", "--json"]);
    assert!(meant("x run").is_err() && meant("x run npm").is_err());
}

#[test]
fn waiting_for_a_mail_has_a_usual_limit() {
    let waits = |line: &str| match operation(line) {
        Operation::Mail(MailArguments::Latest {
            wait,
            part,
            recipient,
        }) => (wait, part.code, recipient.to),
        other => panic!("{other:?}"),
    };
    assert_eq!(waits("x mail latest"), (None, false, None));
    assert_eq!(
        waits("x mail latest --to a@b.c --wait --code"),
        (Some(30), true, Some("a@b.c".into()))
    );
    assert_eq!(waits("x mail latest --wait=5").0, Some(5));
    for wrong in ["--wait 5", "--wait=0", "--wait=x", "--wait="] {
        assert!(meant(&format!("x mail latest {wrong}")).is_err(), "{wrong}");
    }
    assert!(meant("x mail show").is_err() && meant("x mail list --limit 0").is_err());
}

#[test]
fn the_dashboard_is_opened_or_its_link_printed() {
    let print = |line: &str| match operation(line) {
        Operation::Dashboard { print } => print,
        other => panic!("{other:?}"),
    };
    assert!(!print("x dashboard") && print("x dashboard --print"));
    assert!(meant("x dashboard http://evil.test").is_err());
}

#[test]
fn the_definition_is_sound() {
    command().debug_assert();
}

#[test]
fn options_have_their_defaults() {
    let stop = |discard, all| Operation::Stop { discard, all };
    assert_eq!(operation("x stop"), stop(false, false));
    assert_eq!(operation("x stop --all --discard"), stop(true, true));
    assert_eq!(operation("x stop --discard"), stop(true, false));
    assert_eq!(operation("x reset"), Operation::Reset { yes: false });
    assert_eq!(operation("x reset -y"), Operation::Reset { yes: true });
    assert_eq!(
        operation("x doctor --probe-again"),
        Operation::Doctor {
            probe_again: true,
            fix: false
        }
    );
    assert_eq!(
        operation("x secrets show sak"),
        Operation::Secrets(SecretsArguments::Show {
            name: SecretName::Sak
        })
    );
    assert_eq!(
        operation("x archive"),
        Operation::Archive { file: ".".into() }
    );
    assert_eq!(
        operation("x restore a.zst"),
        Operation::Restore {
            file: "a.zst".into()
        }
    );
    assert_eq!(operation("x bench"), Operation::Bench { runs: 10 });
    assert_eq!(
        operation("x logs --qemu -f -n 5"),
        Operation::Logs {
            qemu: true,
            ahead: false,
            app: false,
            follow: true,
            lines: 5
        }
    );
    let ahead = operation("x logs --ahead");
    assert!(matches!(ahead, Operation::Logs { ahead: true, .. }));
    for two in ["--qemu --ahead", "--qemu --app", "--ahead --app"] {
        assert!(meant(&format!("x logs {two}")).is_err(), "{two}");
    }
}

#[test]
fn a_pull_has_one_source_at_most() {
    let source = |line: &str| match operation(line) {
        Operation::Pull(arguments) => arguments.request().source,
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
fn images_and_settings_need_no_command() {
    assert_eq!(operation("x images"), Operation::Images { command: None });
    assert_eq!(
        operation("x settings"),
        Operation::Settings { command: None }
    );
    let images = |line: &str| match operation(line) {
        Operation::Images { command } => command.unwrap(),
        other => panic!("{other:?}"),
    };
    let using = |name: Option<&str>| ImagesArguments::Use {
        name: name.map(ToOwned::to_owned),
        none: name.is_none(),
    };
    assert_eq!(images("x images list"), ImagesArguments::List);
    assert_eq!(images("x images use --none"), using(None));
    assert_eq!(images("x images use t-1"), using(Some("t-1")));
    assert_eq!(
        images("x images prune --all --limit 20GB --archive-after 0"),
        ImagesArguments::Prune {
            all: true,
            limit: Some(20_000_000_000),
            archive_after: Some(0),
        }
    );
    let settings = |line: &str| match operation(line) {
        Operation::Settings { command } => command.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        settings("x settings set archive-after 14"),
        SettingsArguments::Set {
            name: Preference::ArchiveAfter,
            value: "14".into()
        }
    );
    assert_eq!(
        settings("x settings unset branch"),
        SettingsArguments::Unset {
            name: Preference::Branch
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
        assert_eq!(
            invocation.target.instance.as_ref().unwrap().as_str(),
            "ci",
            "{line}"
        );
    }
}

#[test]
fn an_instance_is_named_or_that_of_the_folder() {
    let target = |line: &str| meant(line).unwrap().target;
    assert_eq!(target("x status").instance, None);
    assert!(!target("x status").here && target("x start --here").here);
    assert!(target("x --here run -- npm start").here);
    assert!(meant("x start --here --instance ci").is_err());
}

#[test]
fn an_image_is_absolute_from_here_on() {
    let target = meant("x start --image a.qcow2").unwrap().target;
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
