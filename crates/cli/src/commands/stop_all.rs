//! `stop --all`: every instance of the home that is not stopped, one after the other.

use std::fmt::Write as _;

use emulator::paths::InstanceName;
use emulator::{Emulator, State, StopReport};
use serde::Serialize;

use super::{Context, ahead};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Detail, ErrorReport, Render};
use crate::render::style::STRONG;
use crate::render::text::paint;

/// What `stop --all` reports.
#[derive(Debug, Serialize)]
struct StopAllReport {
    instances: Vec<Outcome>,
}

/// What became of one instance: the report of its stop, or the error.
#[derive(Debug, Serialize)]
struct Outcome {
    instance: InstanceName,
    stop: Option<StopReport>,
    error: Option<ErrorReport>,
}

/// Stops what runs. One that cannot be stopped does not keep the others from it.
pub(super) async fn run(context: &Context<'_>, discard: bool) -> Result<Exit, Failure> {
    let mut instances = Vec::new();
    for name in context.emulator.instance_names()? {
        let emulator = context.emulator.sibling(name);
        let stopped = match wants_stop(&emulator) {
            Ok(false) => continue,
            Ok(true) => stop(context, &emulator, discard).await,
            Err(failure) => Err(failure),
        };
        let instance = emulator.name().clone();
        instances.push(match stopped {
            Ok(report) => Outcome {
                instance,
                stop: Some(report),
                error: None,
            },
            // The user wants all of it to end.
            Err(interrupted @ Failure::Interrupted(_)) => return Err(interrupted),
            Err(failure) => {
                let subject = format!("instance {instance}");
                Outcome {
                    error: Some(context.output.report_error(&subject, &failure)),
                    instance,
                    stop: None,
                }
            }
        });
    }
    let failed = instances.iter().any(|outcome| outcome.error.is_some());
    context.output.report(&StopAllReport { instances })?;
    Ok(if failed { Exit::Failed } else { Exit::Success })
}

/// Whether there is a machine, or a command that may be about to start one.
fn wants_stop(emulator: &Emulator) -> Result<bool, Failure> {
    let glance = emulator.glance()?;
    Ok(glance.state != State::Stopped || glance.busy.is_some())
}

async fn stop(
    context: &Context<'_>,
    emulator: &Emulator,
    discard: bool,
) -> Result<StopReport, Failure> {
    let progress = &context.progress;
    let worker = ahead::worker(emulator);
    let worker = worker.as_ref();
    let work = async {
        Ok(if discard {
            let command = "stop --all --discard";
            emulator.discard(command, worker, progress).await?
        } else {
            emulator.stop(worker, progress).await?
        })
    };
    let recover = async || emulator.recover_interrupted(progress).await;
    context.guarded_with(Box::pin(work), recover).await
}

impl Render for StopAllReport {
    fn render(&self, detail: Detail) -> String {
        if self.instances.is_empty() {
            return "No instance is running.\n".to_owned();
        }
        let mut text = String::new();
        for outcome in &self.instances {
            let name = paint(STRONG, outcome.instance.as_str());
            // Writing to a string cannot fail.
            let _ = match &outcome.stop {
                Some(report) => write!(text, "{name}: {}", report.render(detail)),
                None => writeln!(text, "{name}: not stopped."),
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use emulator::SessionFate;

    use super::*;
    use crate::render::text::plain;

    #[test]
    fn each_instance_has_its_line() {
        let outcome = |name: &str, stop, error| Outcome {
            instance: name.parse().unwrap(),
            stop,
            error,
        };
        let stopped = StopReport {
            state: "stopped",
            already_stopped: false,
            session: Some(SessionFate::Saved),
            reason: None,
            total_ms: 650.0,
            phases: vec![],
        };
        let failed = ErrorReport {
            code: "busy",
            message: "no".into(),
            hint: None,
        };
        let report = StopAllReport {
            instances: vec![
                outcome("default", Some(stopped), None),
                outcome("work", None, Some(failed)),
            ],
        };
        assert_eq!(
            plain(&report.render(Detail::Brief)),
            "default: Stopped in 0.65 s; the next start continues this session.\nwork: not stopped.\n"
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["instances"][1]["error"]["code"], "busy");
        assert_eq!(json["instances"][0]["stop"]["session"], "saved");
    }
}
