//! Text that is safe to print and lines that stand under each other.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;

use super::style::{FAINT, Style};

/// `text` without what a terminal would act on.
///
/// Names and messages can come from an image, a guest or another process.
pub(crate) fn printable(text: &str) -> String {
    printable::lines(text).into_owned()
}

/// The same on one line.
pub(crate) fn one_line(text: &str) -> String {
    printable::line(text).into_owned()
}

/// `text` and spaces up to `width` columns.
pub(crate) fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.width());
    format!("{text}{:missing$}", "")
}

/// The columns that the widest of `texts` takes.
pub(crate) fn widest<'a>(texts: impl IntoIterator<Item = &'a str>) -> usize {
    texts
        .into_iter()
        .map(UnicodeWidthStr::width)
        .max()
        .unwrap_or(0)
}

/// Lines with a label each, the labels in one column.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    facts: Vec<(&'static str, Vec<String>)>,
}

impl Facts {
    /// Adds a line. Its text may hold styles.
    pub(crate) fn add(&mut self, label: &'static str, text: impl Into<String>) {
        self.add_lines(label, vec![text.into()]);
    }

    /// Adds lines under one label; nothing if there are none.
    pub(crate) fn add_lines(&mut self, label: &'static str, lines: Vec<String>) {
        if !lines.is_empty() {
            self.facts.push((label, lines));
        }
    }

    /// All lines, indented by two columns.
    pub(crate) fn render(&self) -> String {
        let width = widest(self.facts.iter().map(|(label, _)| *label));
        let mut text = String::new();
        for (label, lines) in &self.facts {
            for (index, line) in lines.iter().enumerate() {
                let label = pad(if index == 0 { label } else { "" }, width);
                // Writing to a string cannot fail.
                let _ = writeln!(text, "  {}  {line}", paint(FAINT, &label));
            }
        }
        text
    }
}

/// `text` in `style`.
pub(crate) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// `text` without styles, for tests.
#[cfg(test)]
pub(crate) fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_aligned_by_columns_and_not_by_bytes() {
        let mut facts = Facts::default();
        facts.add("Größe", "1");
        facts.add_lines("Dienste", vec!["2".into(), "3".into()]);
        facts.add_lines("none", vec![]);
        assert_eq!(
            plain(&facts.render()),
            "  Größe    1\n  Dienste  2\n           3\n"
        );
        assert_eq!(pad("日本", 6), "日本  ");
    }
}
