//! Seeing that a config file has changed, without being asked for the project's keys again.
//!
//! A request first has its project's file looked at, unless that was done in the last half second. A file that
//! cannot be read or understood changes nothing: the settings that were last understood stay in force, and the
//! project-credentials call tells what is wrong with it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Shared, access, config_file, error::ApiError, store};

/// How long what was seen is taken for true.
const FRESH: Duration = Duration::from_millis(500);
/// How long a request waits for a look. The folder may be on a slow drive; then a later request sees it.
const PATIENCE: Duration = Duration::from_millis(500);

/// When each project's file was last looked at. Only of projects that have one.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<HashMap<String, Look>>);

#[derive(Debug, Clone, Copy)]
enum Look {
    UnderWay,
    Done(Instant),
}

impl Looks {
    /// Whether it is time; then it counts as under way.
    fn begin(&self, project_id: &str) -> bool {
        // What the map holds is whole at any time, even if a thread has panicked meanwhile.
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = match looks.get(project_id) {
            None => true,
            Some(Look::UnderWay) => false,
            Some(Look::Done(at)) => at.elapsed() >= FRESH,
        };
        if is_due {
            looks.insert(project_id.to_owned(), Look::UnderWay);
        }
        is_due
    }

    fn end(&self, project_id: &str, has_file: bool) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if has_file {
            looks.insert(project_id.to_owned(), Look::Done(Instant::now()));
        } else {
            looks.remove(project_id);
        }
    }
}

/// Looks at the file of the project that a request is about.
pub(super) async fn look(shared: &Arc<Shared>, headers: &axum::http::HeaderMap) {
    let Some(project_id) = access::text(headers, "x-stack-project-id") else {
        return;
    };
    if project_id == access::INTERNAL || !shared.looks.begin(project_id) {
        return;
    }
    let (shared, project_id) = (shared.clone(), project_id.to_owned());
    // A task of its own: it goes on when the request does not wait for it.
    let look = tokio::spawn(async move {
        let looked = update(&shared, &project_id).await;
        shared.looks.end(&project_id, matches!(looked, Ok(true)));
    });
    // Late or failed, the request goes on with the settings that the database has.
    let _ = tokio::time::timeout(PATIENCE, look).await;
}

/// Takes over what the file says; whether the project has a file.
async fn update(shared: &Shared, project_id: &str) -> Result<bool, ApiError> {
    let db = shared.database.connection().await?;
    let row = store::row(
        &db,
        "look up a project's config file",
        r#"SELECT l."absoluteFilePath", p."configOverride" FROM "LocalEmulatorProject" l
           JOIN "Project" p ON p."id" = l."projectId" WHERE l."projectId" = $1"#,
        &[&project_id],
    )
    .await?;
    let Some(row) = row else {
        return Ok(false);
    };
    let (path, known): (String, String) = (row.get(0), row.get(1));
    drop(db);
    let Ok(config) = config_file::read(&shared.host_root, &path).await else {
        return Ok(true);
    };
    let config = config.to_string();
    if config != known {
        // Only in the place of what was read: the project-credentials call may have been quicker.
        shared
            .database
            .execute(
                "take over a config file",
                r#"UPDATE "Project" SET "configOverride" = $2, "updatedAt" = now()
                   WHERE "id" = $1 AND "configOverride" = $3"#,
                &[&project_id, &config, &known],
            )
            .await?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_look_at_a_time_and_none_too_soon() {
        let looks = Looks::default();
        assert!(looks.begin("a"));
        assert!(!looks.begin("a"));
        assert!(looks.begin("b"));
        looks.end("a", true);
        assert!(!looks.begin("a"));
        // Of projects that have no file nothing is kept.
        looks.end("b", false);
        assert!(looks.begin("b"));
    }
}
