//! Paths and times as the page shows them.

use std::path::Path;

use jiff::Timestamp;

/// `path` with `~` for the user's own folder.
pub(crate) fn shown_path(path: &Path, user_home: Option<&Path>) -> String {
    let below = user_home.and_then(|home| path.strip_prefix(home).ok());
    match below {
        Some(below) if below.as_os_str().is_empty() => "~".to_owned(),
        Some(below) => format!("~/{}", below.display()),
        None => path.display().to_string(),
    }
}

/// A time that GitHub gives, in milliseconds since the Unix epoch; `None` if it is not a time.
pub(crate) fn unix_ms(rfc3339: &str) -> Option<u64> {
    let moment: Timestamp = rfc3339.parse().ok()?;
    u64::try_from(moment.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_s_own_folder_is_a_tilde() {
        let shown = |path: &str| shown_path(Path::new(path), Some(Path::new("/home/ada")));
        assert_eq!(shown("/home/ada/app/.env"), "~/app/.env");
        assert_eq!(shown("/home/ada"), "~");
        assert_eq!(shown("/home/adam/app"), "/home/adam/app");
        assert_eq!(shown_path(Path::new("/srv/app"), None), "/srv/app");
    }

    #[test]
    fn times_are_understood_with_any_offset_or_not_at_all() {
        assert_eq!(unix_ms("1970-01-01T00:00:01Z"), Some(1000));
        assert_eq!(unix_ms("1970-01-01T01:00:01.5+01:00"), Some(1500));
        assert_eq!(unix_ms("yesterday"), None);
        assert_eq!(unix_ms("1969-12-31T23:59:59Z"), None);
    }
}
