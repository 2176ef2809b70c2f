//! The phases of each way to start, drawn as stacked bars.
//!
//! Plain SVG without script or font files; colours by `prefers-color-scheme`,
//! so that it reads on light and dark pages alike.

use std::fmt::Write as _;

use super::program::Sample;
use super::{THEIRS, median, own_share};

/// One bar: a way to start, and its phases in milliseconds.
pub(super) struct Bar {
    label: String,
    total_ms: f64,
    phases: Vec<(&'static str, f64)>,
}

impl Bar {
    /// Medians over `samples`.
    pub(super) fn new(label: &str, samples: &[Sample]) -> Self {
        let mut phases = vec![("own", median(samples.iter().map(own_share)))];
        for phase in THEIRS {
            let ms = median(samples.iter().map(|sample| sample.phase(phase)));
            if ms > 0.0 {
                phases.push((phase, ms));
            }
        }
        let total_ms = median(samples.iter().map(|sample| sample.wall_ms));
        Self {
            label: label.to_owned(),
            total_ms,
            phases,
        }
    }

    /// What is drawn: medians of parts do not add up to the median of the whole.
    fn length_ms(&self) -> f64 {
        let parts: f64 = self.phases.iter().map(|(_, ms)| ms).sum();
        parts.max(self.total_ms)
    }
}

/// Colour and words of a phase, light and dark alike.
fn legend(phase: &str) -> (&'static str, &'static str) {
    match phase {
        "own" => ("#8b8f98", "our own work"),
        "qemu" => ("#5b7fde", "QEMU starts"),
        "load" => ("#4aa3df", "state loads"),
        "boot" => ("#c9893a", "guest boots"),
        "agent" => ("#3fae8c", "guest wakes"),
        "clock" => ("#8cb84a", "clock is set"),
        "rotate" => ("#a06bd0", "secrets rotate"),
        "ready" => ("#d0678f", "services are proved"),
        _ => ("#888888", "other"),
    }
}

const WIDTH: f64 = 860.0;
const LEFT: f64 = 24.0;
const BAR_WIDTH: f64 = WIDTH - 2.0 * LEFT;

/// Draws `bars`: all on one scale first, then the fast ones enlarged. `about` is for who cannot see it.
pub(super) fn draw(bars: &[Bar], about: &str) -> String {
    let longest = bars.iter().map(Bar::length_ms).fold(1.0, f64::max);
    let fast: Vec<&Bar> = bars
        .iter()
        .filter(|bar| bar.total_ms * 4.0 < longest)
        .collect();
    let enlarged = fast.iter().map(|bar| bar.length_ms()).fold(1.0, f64::max);
    let mut body = String::new();
    let mut y = 34.0;
    heading(&mut body, y, "From the command to proved, healthy services");
    y += 20.0;
    for bar in bars {
        y = draw_bar(&mut body, bar, y, longest);
    }
    if !fast.is_empty() {
        y += 18.0;
        heading(&mut body, y, "The fast ones, enlarged");
        y += 20.0;
        for bar in &fast {
            y = draw_bar(&mut body, bar, y, enlarged);
        }
    }
    y = draw_legend(&mut body, bars, y + 10.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y:.0}\" role=\"img\" \
         aria-label=\"{about}\">\n\
         <style>text{{font:13px system-ui,sans-serif;fill:#1d1f23}}.h{{font-weight:600}}.d{{fill:#5d6169}}\
         .n{{font-variant-numeric:tabular-nums}}.bg{{fill:#fbfbfc}}\
         @media(prefers-color-scheme:dark){{text{{fill:#e8e9ec}}.d{{fill:#a5a9b2}}.bg{{fill:#17181b}}}}</style>\n\
         <rect class=\"bg\" width=\"{WIDTH}\" height=\"{y:.0}\" rx=\"10\"/>\n{body}</svg>\n"
    )
}

fn heading(out: &mut String, y: f64, text: &str) {
    put(
        out,
        format_args!("<text class=\"h\" x=\"{LEFT}\" y=\"{y}\">{text}</text>\n"),
    );
}

fn draw_bar(out: &mut String, bar: &Bar, y: f64, scale_ms: f64) -> f64 {
    let (label, total) = (&bar.label, bar.total_ms / 1e3);
    put(
        out,
        format_args!(
            "<text class=\"d\" x=\"{LEFT}\" y=\"{:.1}\">{label}</text>\n",
            y + 10.0
        ),
    );
    let right = LEFT + BAR_WIDTH;
    put(
        out,
        format_args!(
            "<text class=\"n\" x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">{total:.2} s</text>\n",
            y + 10.0
        ),
    );
    let mut x = LEFT;
    for (phase, ms) in &bar.phases {
        let width = ms / scale_ms * BAR_WIDTH;
        let (colour, words) = legend(phase);
        put(
            out,
            format_args!(
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"16\" fill=\"{colour}\"><title>{words}: {ms:.0} ms</title></rect>\n",
                y + 17.0,
                width.max(0.5)
            ),
        );
        x += width;
    }
    y + 50.0
}

fn draw_legend(out: &mut String, bars: &[Bar], y: f64) -> f64 {
    let mut shown: Vec<&str> = Vec::new();
    for (phase, _) in bars.iter().flat_map(|bar| &bar.phases) {
        if !shown.contains(phase) {
            shown.push(phase);
        }
    }
    let column = BAR_WIDTH / 4.0;
    let (mut x, mut y) = (LEFT, y);
    for (index, phase) in shown.iter().enumerate() {
        let (colour, words) = legend(phase);
        put(
            out,
            format_args!(
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"11\" height=\"11\" rx=\"2\" fill=\"{colour}\"/>\
                 <text class=\"d\" x=\"{:.1}\" y=\"{:.1}\">{words}</text>\n",
                y - 10.0,
                x + 18.0,
                y
            ),
        );
        x += column;
        if index % 4 == 3 && index + 1 < shown.len() {
            (x, y) = (LEFT, y + 22.0);
        }
    }
    y + 20.0
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    out.write_fmt(text).unwrap_or_default();
}
