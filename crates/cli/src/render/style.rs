//! The few styles there are. What they paint says the same without them.

use anstyle::AnsiColor;
pub(crate) use anstyle::Style;

/// As it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Worth a look.
pub(crate) const CAUTION: Style = AnsiColor::Yellow.on_default().bold();
/// Not as it should be.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Addresses.
pub(crate) const ADDRESS: Style = AnsiColor::Cyan.on_default();
/// Labels and other words between the lines.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// Neither good nor bad, but what the line is about.
pub(crate) const STRONG: Style = Style::new().bold();
