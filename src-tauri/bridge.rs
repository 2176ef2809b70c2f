//! What the page and the app have in common: every command and event, from which `ui/src/bindings.ts` is made.
//!
//! `cargo xtask lint` makes it anew and compares; `STACK_EMULATOR_WRITE_BINDINGS=1` before that command writes it.

use tauri::Wry;
use tauri_specta::{Builder, ErrorHandlingMode, collect_commands, collect_events};

use crate::commands::{
    checkpoints, checks, desktop, images, lifecycle, logs, mails, projects, settings,
};
use crate::wire::app::ConfigFileDrag;

/// The commands and events.
pub(crate) fn builder() -> Builder<Wry> {
    Builder::<Wry>::new()
        .error_handling(ErrorHandlingMode::Result)
        // Each type goes one way, or has the same shape both ways.
        .disable_serde_phases()
        .commands(collect_commands![
            lifecycle::observe,
            lifecycle::start,
            lifecycle::stop,
            lifecycle::restart,
            lifecycle::reset,
            lifecycle::capture,
            images::set_up,
            lifecycle::rotate_secrets,
            lifecycle::cancel,
            lifecycle::dismiss,
            checkpoints::list_checkpoints,
            checkpoints::create_checkpoint,
            checkpoints::restore_checkpoint,
            checkpoints::delete_checkpoint,
            checks::examine,
            images::list_releases,
            images::resolve_image,
            images::check_for_update,
            images::pull,
            images::use_image,
            images::remove_image,
            images::prune_images,
            images::choose_image_file,
            projects::choose_config_file,
            projects::add_project,
            projects::forget_project,
            projects::project_credentials,
            projects::reveal_credential,
            projects::copy_credential,
            projects::copy_credentials,
            projects::write_env,
            projects::refresh_env_files,
            projects::stale_env_files,
            projects::reveal_secret,
            projects::copy_secret,
            projects::list_folders,
            projects::remove_folder,
            mails::follow_mails,
            mails::unfollow_mails,
            mails::read_mail,
            logs::follow_log,
            logs::unfollow_log,
            logs::save_diagnostics,
            settings::change_settings,
            settings::check_ports,
            settings::save_github_token,
            settings::forget_github_token,
            desktop::copy_text,
            desktop::open_link,
            desktop::show_in_folder,
            desktop::dismiss_release,
            desktop::install_release,
            desktop::cancel_install,
            desktop::restart_app,
            settings::finish_first_run,
            desktop::quit,
            desktop::stay,
        ])
        .events(collect_events![ConfigFileDrag])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use specta_typescript::Typescript;

    /// The page is compiled against this file, so a difference would be one between the two sides.
    #[test]
    fn the_page_s_bindings_are_up_to_date() {
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui/src/bindings.ts");
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("bindings.ts");
        super::builder()
            .export(Typescript::default(), &made)
            .unwrap();
        let made = std::fs::read_to_string(made).unwrap();
        if std::env::var_os("STACK_EMULATOR_WRITE_BINDINGS").is_some() {
            std::fs::write(&committed, &made).unwrap();
        }
        let committed = std::fs::read_to_string(committed).unwrap();
        assert!(
            made == committed,
            "ui/src/bindings.ts is not what the app's commands give; write it anew with \
             STACK_EMULATOR_WRITE_BINDINGS=1 cargo test --package stack-emulator-desktop bindings"
        );
    }
}
