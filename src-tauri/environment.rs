//! The environment: what is in it for this program alone, and a start of other programs without that.
//!
//! - `WebKit` reads variables that [`again`] sets. It reads them whenever it starts a process, so they stay there
//!   for as long as the app runs, and a browser on the same engine would take them for its user's.
//! - The start script of an `AppImage` points many programs' variables to files of the image, which are of
//!   other versions than those that a program of the system expects, and gone once the app has ended.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode};

use crate::updater;

/// Names the variables that [`again`] has set, with colons between them.
#[cfg(target_os = "linux")]
const SET: &str = "STACK_EMULATOR_DESKTOP_SET";
/// The folder that an `AppImage` is mounted at; its runtime sets it.
const APP_DIR: &str = "APPDIR";
/// What the runtime of an `AppImage` sets beside it.
const OF_APP_IMAGE: [&str; 4] = [APP_DIR, "APPIMAGE", "ARGV0", "OWD"];

/// Starts this program anew with the variables that `WebKit` and Tauri's updater read, unless they are set.
///
/// - Its DMABUF renderer is known to show nothing without a render node and with NVIDIA's own driver.
/// - Its monitor of the host's memory reads files of `/proc` every five seconds, a byte at a time, for as long as
///   the program lives: more than all else that it does while hidden, and for a page that has little to give back.
/// - The updater sets what [`updater::certificates`] tells of.
///
/// A variable is to be set before the first thread begins, and that in this very process is `unsafe`; a new program
/// image in its place is not.
#[cfg(target_os = "linux")]
pub(crate) fn again() -> Option<ExitCode> {
    use std::os::unix::process::CommandExt as _;

    const NO_DMABUF: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";
    const NO_MONITOR: &str = "WEBKIT_DISABLE_MEMORY_PRESSURE_MONITOR";
    let chosen = |name| std::env::var_os(name).is_some();
    let render_node = std::fs::read_dir("/dev/dri").is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("renderD"))
    });
    let nvidia = host::graphics::has_nvidia_driver();
    let mut missing: Vec<(&str, OsString)> = vec![];
    if is_without_dmabuf(chosen(NO_DMABUF), render_node, nvidia) {
        missing.push((NO_DMABUF, "1".into()));
    }
    if !chosen(NO_MONITOR) {
        missing.push((NO_MONITOR, "1".into()));
    }
    missing.extend(updater::certificates());
    if missing.is_empty() {
        return None;
    }
    let program = std::env::current_exe().ok()?;
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let error = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(SET, names.join(":"))
        .envs(missing)
        .exec();
    eprintln!("error: the program could not be started again with WebKit's variables: {error}");
    Some(ExitCode::FAILURE)
}

/// Whether to do without it. Who has chosen already, either way, is not overruled; and it ends the round.
#[cfg(target_os = "linux")]
const fn is_without_dmabuf(chosen: bool, render_node: bool, nvidia: bool) -> bool {
    !chosen && (!render_node || nvidia)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn again() -> Option<ExitCode> {
    None
}

/// Has `command` start without what is in the environment for this program alone.
pub(crate) fn keep_to_itself(command: &mut Command) {
    let variables = std::env::vars_os().collect();
    for (name, value) in for_others(&variables) {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}

type Variables = BTreeMap<OsString, OsString>;

/// What other programs are to find instead of `variables`; nothing for those that they are not to find.
fn for_others(variables: &Variables) -> Vec<(OsString, Option<OsString>)> {
    let mut changed: Vec<(OsString, Option<OsString>)> = Vec::new();
    #[cfg(target_os = "linux")]
    if let Some(set) = variables.get(OsStr::new(SET)).and_then(|set| set.to_str()) {
        let names = set.split(':').chain([SET]);
        changed.extend(names.map(|name| (name.into(), None)));
    }
    if let Some(folder) = variables
        .get(OsStr::new(APP_DIR))
        .filter(|folder| !folder.is_empty())
    {
        changed.extend(OF_APP_IMAGE.map(|name| (name.into(), None)));
        let rest = variables.iter();
        let rest = rest.filter(|(name, _)| !OF_APP_IMAGE.iter().any(|known| name == known));
        let pointed = rest
            .filter(|(_, value)| std::env::split_paths(value).any(|part| part.starts_with(folder)));
        changed.extend(pointed.map(|(name, value)| (name.clone(), outside(folder, value))));
    }
    changed
}

/// The paths of `value` that do not lie in `folder`, if there are any.
fn outside(folder: &OsStr, value: &OsStr) -> Option<OsString> {
    let paths = std::env::split_paths(value).filter(|path| !path.starts_with(folder));
    let joined = std::env::join_paths(paths).ok();
    joined.filter(|joined| !joined.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(of: &[(&str, &str)]) -> Variables {
        let pairs = of.iter().map(|(name, value)| (name.into(), value.into()));
        pairs.collect()
    }

    fn changed(of: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
        let text = |text: OsString| text.into_string().unwrap();
        let changed = for_others(&variables(of)).into_iter();
        changed
            .map(|(name, value)| (text(name), value.map(text)))
            .collect()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_dmabuf_renderer_is_left_out_where_it_fails_unless_the_user_has_chosen() {
        for (chosen, render_node, nvidia, without) in [
            (false, true, false, false),
            (false, false, false, true),
            (false, true, true, true),
            (true, false, false, false),
            (true, true, true, false),
        ] {
            assert_eq!(
                is_without_dmabuf(chosen, render_node, nvidia),
                without,
                "{chosen} {render_node} {nvidia}"
            );
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_was_set_for_webkit_is_for_nobody_else_and_what_the_user_has_set_is() {
        let of = [
            (SET, "WEBKIT_A:WEBKIT_B"),
            ("WEBKIT_A", "1"),
            ("WEBKIT_B", "1"),
            ("WEBKIT_C", "1"),
            ("PATH", "/usr/bin:/bin"),
        ];
        let gone = ["WEBKIT_A", "WEBKIT_B", SET].map(|name| (name.to_owned(), None));
        assert_eq!(changed(&of), gone);
        assert_eq!(changed(&of[3..]), []);
    }

    #[test]
    fn what_lies_in_an_app_image_is_for_nobody_else() {
        let of = [
            ("APPDIR", "/tmp/.mount_x"),
            ("APPIMAGE", "/home/ada/x.AppImage"),
            ("GTK_PATH", "/tmp/.mount_x/usr/lib/gtk-3.0"),
            ("HOME", "/home/ada"),
            ("LD_LIBRARY_PATH", "/tmp/.mount_x/usr/lib:/opt/lib"),
            ("OTHER", "/tmp/.mount_xy/usr"),
            (
                "XDG_DATA_DIRS",
                "/tmp/.mount_x/usr/share:/usr/local/share:/usr/share",
            ),
        ];
        let of_image = OF_APP_IMAGE.map(|name| (name.to_owned(), None));
        let pointed = [
            ("GTK_PATH", None),
            ("LD_LIBRARY_PATH", Some("/opt/lib")),
            ("XDG_DATA_DIRS", Some("/usr/local/share:/usr/share")),
        ];
        let pointed = pointed.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
        assert_eq!(changed(&of), [&of_image[..], &pointed[..]].concat());
    }
}
