//! A terminal session as SVG: plain text without script or font files, colors by `prefers-color-scheme`.

use std::fmt::Write as _;

use serde::Deserialize;

/// A command and what came of it.
#[derive(Deserialize)]
pub(super) struct Entry {
    typed: String,
    /// With a terminal's styles (SGR sequences).
    printed: String,
}

/// Columns; what is longer is cut, as in a terminal that does not wrap.
const COLUMNS: usize = 92;
/// Size of a character cell. Widths are said in the SVG as well, so that another font fits too.
const CELL: (f64, f64) = (7.8, 19.0);
const MARGIN: f64 = 20.0;

/// The whole session, from top to bottom.
pub(super) fn draw(session: &[Entry]) -> String {
    let mut lines: Vec<Vec<Span>> = vec![];
    for Entry { typed, printed } in session {
        if !lines.is_empty() {
            lines.push(vec![]);
        }
        lines.push(vec![Span::new("d", "$ "), Span::new("b", typed)]);
        lines.extend(printed.lines().map(spans));
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "columns and lines of one picture"
    )]
    let size = |cells: usize, cell: f64| (cells as f64).mul_add(cell, 2.0 * MARGIN);
    let (width, height) = (size(COLUMNS, CELL.0), size(lines.len(), CELL.1));
    let mut body = String::new();
    let mut y = MARGIN + 14.0;
    for line in &lines {
        draw_line(&mut body, line, y);
        y += CELL.1;
    }
    let typed: Vec<&str> = session.iter().map(|entry| entry.typed.as_str()).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
         aria-label=\"A terminal: {}\">\n\
         <style>text{{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;\
         fill:#1d1f23;white-space:pre}}.b{{font-weight:700}}.d{{fill:#5d6169}}.g{{fill:#1a7f43;font-weight:700}}\
         .y{{fill:#8a5a00;font-weight:700}}.r{{fill:#b3261e;font-weight:700}}.c{{fill:#0b6e8f}}\
         .bg{{fill:#fbfbfc;stroke:#d9dade}}@media(prefers-color-scheme:dark){{text{{fill:#e8e9ec}}\
         .d{{fill:#a5a9b2}}.g{{fill:#6fd08f}}.y{{fill:#e5b567}}.r{{fill:#f28b82}}.c{{fill:#6cc7e0}}\
         .bg{{fill:#17181b;stroke:#33353a}}}}</style>\n\
         <rect class=\"bg\" x=\"0.5\" y=\"0.5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"10\"/>\n{body}</svg>\n",
        escape(&typed.join(", ")),
        width - 1.0,
        height - 1.0,
    )
}

/// Text in one style, which is a class of the SVG; empty for the plain one.
#[derive(Debug, PartialEq, Eq)]
struct Span {
    class: &'static str,
    text: String,
}

impl Span {
    fn new(class: &'static str, text: &str) -> Self {
        let text = text.to_owned();
        Self { class, text }
    }
}

/// The parts of a line by their style.
fn spans(line: &str) -> Vec<Span> {
    let mut spans = vec![];
    let mut class = "";
    for (index, part) in line.split("\u{1b}[").enumerate() {
        let text = match part.split_once('m') {
            Some((codes, text)) if index > 0 => {
                class = codes.split(';').fold(class, styled);
                text
            }
            _ => part,
        };
        if !text.is_empty() {
            spans.push(Span::new(class, text));
        }
    }
    spans
}

/// The class after one more code. Bold comes before a color and is part of those that are always bold.
fn styled(class: &'static str, code: &str) -> &'static str {
    match code {
        "0" | "" => "",
        "1" => "b",
        "2" => "d",
        "31" => "r",
        "32" => "g",
        "33" => "y",
        "36" => "c",
        _ => class,
    }
}

fn draw_line(out: &mut String, line: &[Span], y: f64) {
    let mut column = 0;
    for Span { class, text } in line {
        let mut text: String = text.chars().take(COLUMNS.saturating_sub(column)).collect();
        let length = text.chars().count();
        if column + length == COLUMNS {
            text.pop();
            text.push('…');
        }
        // Blanks are skipped, not drawn: what is between them keeps its column in every font.
        for (begin, word) in words(&text) {
            #[expect(clippy::cast_precision_loss, reason = "columns")]
            let x = ((column + begin) as f64).mul_add(CELL.0, MARGIN);
            #[expect(clippy::cast_precision_loss, reason = "columns")]
            let width = word.chars().count() as f64 * CELL.0;
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.0}\" textLength=\"{width:.1}\">{}</text>",
                escape(word)
            );
        }
        column += length;
    }
}

/// Runs of text without two blanks in a row, each with the column where it begins.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut column = 0;
    let mut found = vec![];
    for part in text.split("  ") {
        let word = part.trim();
        if !word.is_empty() {
            let blanks = part.len() - part.trim_start().len();
            found.push((column + blanks, word));
        }
        column += part.chars().count() + 2;
    }
    found
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_become_classes() {
        let line = "\u{1b}[1m\u{1b}[32mRunning\u{1b}[0m, at \u{1b}[36mhttp://x\u{1b}[0m";
        assert_eq!(
            spans(line),
            [
                Span::new("g", "Running"),
                Span::new("", ", at "),
                Span::new("c", "http://x"),
            ]
        );
        assert_eq!(spans("10 m[1m"), [Span::new("", "10 m[1m")]);
    }

    #[test]
    fn words_keep_their_columns() {
        assert_eq!(words("  a b   c"), [(2, "a b"), (8, "c")]);
        assert_eq!(words("   "), []);
    }

    #[test]
    fn a_session_is_drawn_and_cut_at_its_width() {
        let svg = draw(&[Entry {
            typed: "cat <file>".to_owned(),
            printed: "x".repeat(200) + "\nend\n",
        }]);
        assert!(svg.contains("cat &lt;file&gt;"), "{svg}");
        let cut = format!(">{}…<", "x".repeat(COLUMNS - 1));
        assert!(svg.contains(&cut), "{svg}");
        assert!(svg.contains(">end<"), "{svg}");
        assert!(!svg.contains('\u{1b}'), "{svg}");
    }
}
