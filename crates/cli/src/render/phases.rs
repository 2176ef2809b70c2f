//! Phases as a chart: one line each, the bars one after the other as on a
//! time line.

use std::fmt::Write as _;

use progress::PhaseTime;

use super::style::{ADDRESS, FAINT};
use super::text::{pad, paint, printable, widest};
use emulator::quantity::seconds;

/// Columns of the time line.
const WIDTH: usize = 40;

/// The chart, indented by two columns; nothing if there are no phases.
pub(crate) fn chart(phases: &[PhaseTime]) -> String {
    let total: f64 = phases.iter().map(|phase| phase.ms).sum();
    let times: Vec<String> = phases.iter().map(|phase| seconds(phase.ms)).collect();
    let names: Vec<String> = phases.iter().map(|phase| printable(&phase.name)).collect();
    let name_width = widest(names.iter().map(String::as_str));
    let time_width = widest(times.iter().map(String::as_str));
    let mut text = String::new();
    let mut begun = 0.0;
    for ((phase, name), time) in phases.iter().zip(&names).zip(&times) {
        let bar = bar(begun, phase.ms, total);
        begun += phase.ms;
        let label = paint(FAINT, &pad(name, name_width));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {label}  {time:>time_width$}  {}",
            paint(ADDRESS, &bar)
        );
    }
    text
}

/// The bar of a phase that begins at `begun` and takes `ms` of `total`.
///
/// Each phase is seen, however short: a bar is never narrower than its mark.
fn bar(begun: f64, ms: f64, total: f64) -> String {
    if total <= 0.0 {
        return String::new();
    }
    let (from, to) = (column(begun / total), column((begun + ms) / total));
    if to > from {
        format!("{}{}", " ".repeat(from), "█".repeat(to - from))
    } else {
        format!("{}▏", " ".repeat(from.min(WIDTH - 1)))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share between 0 and 1 of a few columns"
)]
fn column(share: f64) -> usize {
    (share.clamp(0.0, 1.0) * WIDTH as f64).round() as usize
}

#[cfg(test)]
mod tests {
    use super::super::text::plain;
    use super::*;

    fn phase(name: &str, ms: f64) -> PhaseTime {
        PhaseTime {
            name: name.into(),
            ms,
        }
    }

    #[test]
    fn bars_follow_one_another() {
        let chart = plain(&chart(&[
            phase("qemu", 250.0),
            phase("load", 1.0),
            phase("rotate", 749.0),
        ]));
        let lines: Vec<&str> = chart.lines().collect();
        assert_eq!(lines[0], format!("  qemu    0.25 s  {}", "█".repeat(10)));
        assert_eq!(lines[1], format!("  load    0.00 s  {}▏", " ".repeat(10)));
        assert_eq!(
            lines[2],
            format!("  rotate  0.75 s  {}{}", " ".repeat(10), "█".repeat(30))
        );
    }

    #[test]
    fn a_last_short_phase_stays_within_the_line() {
        assert_eq!(
            bar(1000.0, 0.0, 1000.0),
            format!("{}▏", " ".repeat(WIDTH - 1))
        );
    }

    #[test]
    fn no_phases_make_no_chart() {
        assert_eq!(chart(&[]), "");
        assert_eq!(plain(&chart(&[phase("stop", 0.0)])).trim(), "stop  0.00 s");
    }
}
