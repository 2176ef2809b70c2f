//! Tests of what the tray shows.

use emulator::Code;
use emulator::lock::Holder;
use emulator::{Health, PausedBy, ServiceStatus, StartKind, StartSummary};

use super::*;
use crate::wire::failure::Failure;
use crate::wire::status::ImageInUse;

fn status(state: State) -> ShownStatus {
    let mut status = ShownStatus::unknown("default");
    status.report.state = state;
    status.image_in_use = Some(ImageInUse {
        name: "starter".into(),
        digest: None,
        built_at_ms: None,
    });
    status
}

fn running() -> ShownStatus {
    let mut status = status(State::Running);
    status.report.start = Some(StartSummary {
        kind: StartKind::Resumed,
        checkpoint: None,
        fallback_reason: None,
        total_ms: 561.0,
        phases: vec![],
        started_at_ms: 1_700_000_000_000,
        uptime_ms: 1_000,
        rotated: true,
        secrets_kept: false,
    });
    status.report.services = vec![ServiceStatus {
        id: "dashboard".into(),
        name: "Dashboard".into(),
        url: "http://127.0.0.1:26700".into(),
        healthy: true,
        health: Health::Healthy,
        answer_ms: None,
        browsable: true,
    }];
    status
}

fn activity(task: Task, outcome: Outcome) -> Activity {
    Activity {
        id: 7,
        task,
        subject: None,
        source: None,
        stages: vec![],
        phases: vec![],
        notices: vec![],
        began_at_ms: 0,
        limit: None,
        outcome,
    }
}

fn project(name: &str, format: Format) -> Project {
    Project {
        config_file: format!("/home/me/{name}/stack.config.ts"),
        shown_path: format!("~/{name}/stack.config.ts"),
        name: name.into(),
        exists: true,
        last_used_at_ms: 0,
        format,
        env_files: Vec::new(),
        written_files: 0,
    }
}

fn items(entries: &[Entry]) -> Vec<(&str, bool)> {
    let found = entries.iter().filter_map(|entry| match entry {
        Entry::Item { text, enabled, .. } => Some((text.as_str(), *enabled)),
        Entry::Text(_) | Entry::Submenu { .. } | Entry::Separator => None,
    });
    found.collect()
}

fn line(model: &Model) -> &str {
    match &model.entries[0] {
        Entry::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_toggle_is_what_the_state_allows() {
    let toggle = |status: &ShownStatus| {
        items(&Model::of(Some(status), None, &[], &[]).entries)[0]
            .0
            .to_owned()
    };
    assert_eq!(toggle(&status(State::Stopped)), "Start");
    assert_eq!(toggle(&status(State::Died)), "Start");
    assert_eq!(toggle(&running()), "Stop");
    assert_eq!(toggle(&ShownStatus::unknown("default")), "Set up…");
    let mut busy = status(State::Starting);
    busy.report.busy = Some(Holder {
        pid: 1,
        command: "start".into(),
    });
    let model = Model::of(Some(&busy), None, &[], &[]);
    assert_eq!((line(&model), model.icon), ("Starting…", Icon::Busy));
    assert_eq!(items(&model.entries)[0], ("Start", false));
}

#[test]
fn a_paused_emulator_can_be_continued_or_stopped() {
    let mut paused = status(State::Paused);
    paused.report.paused_by = Some(PausedBy::Signal);
    let model = Model::of(Some(&paused), None, &[], &[]);
    assert_eq!(line(&model), "Paused by another program");
    paused.report.paused_by = Some(PausedBy::Disk);
    let model = Model::of(Some(&paused), None, &[], &[]);
    assert_eq!(line(&model), "Paused: disk not writable");
    assert_eq!(model.icon, Icon::Failed);
    assert_eq!(
        items(&model.entries)[..2],
        [("Continue", true), ("Stop", true)]
    );
}

#[test]
fn an_activity_of_ours_can_be_cancelled_and_its_failure_read() {
    let open = activity(Task::Start, Outcome::Running);
    let model = Model::of(Some(&status(State::Stopped)), Some(&open), &[], &[]);
    assert_eq!(items(&model.entries)[0], ("Cancel", true));
    let failure = Failure::new(Code::PortTaken, "port 26701 (backend) is in use by node");
    let failed = activity(Task::Start, Outcome::Failed { failure });
    let model = Model::of(Some(&status(State::Stopped)), Some(&failed), &[], &[]);
    assert_eq!(model.icon, Icon::Failed);
    assert_eq!(
        model.entries[1],
        Entry::Text("Start failed: port 26701 (backend) is in use by node".into())
    );
    assert_eq!(items(&model.entries)[0], ("Start", true));
}

#[test]
fn a_running_emulator_says_since_when_and_opens_its_dashboard() {
    let model = Model::of(Some(&running()), None, &[], &[]);
    let line = line(&model);
    assert!(
        line.starts_with("Running since ") && line.ends_with(", started in 0.56 s"),
        "{line}"
    );
    assert_eq!(items(&model.entries)[1], ("Open dashboard", true));
    let stopped = Model::of(Some(&status(State::Stopped)), None, &[], &[]);
    assert_eq!(items(&stopped.entries)[1], ("Open dashboard", false));
}

#[test]
fn the_project_chosen_last_is_one_click_away() {
    let projects = [project("shop", Format::Next), project("blog", Format::Vite)];
    let model = Model::of(Some(&running()), None, &projects, &[]);
    let Some(Entry::Submenu { entries, .. }) = model
        .entries
        .iter()
        .find(|entry| matches!(entry, Entry::Submenu { .. }))
    else {
        panic!("{model:?}")
    };
    assert_eq!(items(entries)[0], ("shop (Next.js)", true));
    let submenus = entries
        .iter()
        .filter(|entry| matches!(entry, Entry::Submenu { .. }));
    assert_eq!(submenus.count(), 2);
}

#[test]
fn an_item_s_id_says_all_of_its_action() {
    let copy = Action::Copy {
        config_file: "/home/me/a/b c/stack.config.ts".into(),
        format: Format::Expo,
    };
    let actions = [
        Action::Start,
        Action::Stop,
        Action::StartOther("shop-1a2b3c".parse().unwrap()),
        Action::StopOther("shop".parse().unwrap()),
        Action::Cancel(12),
        Action::OpenDashboard,
        copy,
        Action::Show(None),
        Action::Show(Some(Page::Welcome)),
        Action::Quit,
    ];
    for action in actions {
        assert_eq!(Action::of(&action.id()), Some(action));
    }
    for id in [
        "",
        "start/",
        "cancel/x",
        "start-other",
        "stop-other/../x",
        "copy/next",
        "copy/none/x",
        "window/none",
    ] {
        assert_eq!(Action::of(id), None, "{id}");
    }
}

#[test]
fn other_instances_are_listed_with_what_may_be_done() {
    let other = |name: &str, state, busy| Other {
        name: name.parse().unwrap(),
        state,
        busy,
    };
    let others = [
        other("blog", Some(State::Running), false),
        other("ci", Some(State::Starting), true),
        other("docs", None, false),
        other("shop", Some(State::Stopped), true),
    ];
    let listed = |others: &[Other]| {
        let model = Model::of(Some(&running()), None, &[], others);
        let submenu = model.entries.into_iter().find_map(|entry| match entry {
            Entry::Submenu { text, entries } if text == "Other instances" => Some(entries),
            Entry::Text(_) | Entry::Item { .. } | Entry::Submenu { .. } | Entry::Separator => None,
        });
        submenu.unwrap_or_default()
    };
    assert_eq!(listed(&[]), []);
    let submenu = |text: &str, action, label, enabled| Entry::Submenu {
        text: text.to_owned(),
        entries: vec![item(action, label, enabled)],
    };
    assert_eq!(
        listed(&others),
        [
            submenu(
                "blog: running",
                Action::StopOther("blog".parse().unwrap()),
                "Stop",
                true
            ),
            Entry::Text("ci: starting…".to_owned()),
            Entry::Text("docs: damaged".to_owned()),
            submenu(
                "shop: stopped",
                Action::StartOther("shop".parse().unwrap()),
                "Start",
                false
            ),
        ]
    );
    let many: Vec<_> = (0..MOST_INSTANCES + 2)
        .map(|n| other(&format!("i{n}"), Some(State::Stopped), false))
        .collect();
    let listed = listed(&many);
    assert_eq!(listed.len(), MOST_INSTANCES + 1);
    assert_eq!(listed.last(), Some(&Entry::Text("2 more".to_owned())));
}

#[test]
fn a_long_reason_is_cut_at_a_letter() {
    let long = "ä".repeat(200);
    assert_eq!(short(&long).chars().count(), MOST_LETTERS);
    assert_eq!(short("kurz"), "kurz");
}
