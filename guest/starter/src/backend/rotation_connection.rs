//! The database connection that rotations use, kept open with its statements prepared.

use std::{ops::ControlFlow, time::Duration};

use tokio_postgres::{Client, Config, NoTls, Statement, types::ToSql};

use super::database::{DatabaseError, limited};
use crate::{control::NewKeys, key::Key};

/// How long the update may wait for somebody else's lock on the row.
const LOCK_LIMIT: Duration = Duration::from_secs(5);

/// The row whose keys are rotated, the same in every image.
const KEY_SET_ID: &str = "3142e763-b230-44b5-8636-aa62f7489c26";

/// Opened when first needed, and again when it was lost.
#[derive(Debug)]
pub(super) struct RotationConnection {
    config: Config,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    client: Client,
    update: Statement,
    current: Statement,
}

/// Why a rotation could not be prepared or a key not be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum RotationError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The row is not there, or there is more than one.
    #[error("{0} rows of \"ApiKeySet\" are the internal key set, but there must be exactly one")]
    Rows(usize),
    /// The row's key is not one that a rotation wrote.
    #[error("the publishable client key in the database is not 64 hex characters")]
    Foreign,
}

impl RotationConnection {
    pub(super) fn new(mut config: Config) -> Self {
        config.application_name("stack-rotation");
        config.options(format!("-c lock_timeout={}", LOCK_LIMIT.as_millis()));
        Self { config, open: None }
    }

    /// Opens the connection and goes through a rotation that changes nothing, so that the first real
    /// one finds all caches filled.
    pub(super) async fn warm(&mut self) -> Result<(), RotationError> {
        let key = self.current().await?;
        let keys = NewKeys {
            pck: key.clone(),
            ssk: key.clone(),
            sak: key,
        };
        self.prepare(&keys).await?;
        self.roll_back().await;
        Ok(())
    }

    /// The publishable client key in force.
    pub(super) async fn current(&mut self) -> Result<Key, RotationError> {
        let open = self.open().await?;
        let query = open.client.query(&open.current, &[]);
        let rows = match limited("tell the key in force", query).await {
            Ok(rows) => rows,
            Err(error) => return Err(self.lost(error)),
        };
        match rows.as_slice() {
            [row] => key_of(row.get(0)),
            rows => Err(RotationError::Rows(rows.len())),
        }
    }

    /// Begins a transaction and updates the row; gives the publishable client key it had.
    pub(super) async fn prepare(&mut self, keys: &NewKeys) -> Result<Key, RotationError> {
        let previous = self.begin_and_update(keys).await;
        if previous.is_err() {
            self.roll_back().await;
        }
        previous
    }

    async fn begin_and_update(&mut self, keys: &NewKeys) -> Result<Key, RotationError> {
        let open = self.open().await?;
        let (pck, ssk, sak) = (keys.pck.expose(), keys.ssk.expose(), keys.sak.expose());
        // Both are sent at once and answered in order: one round trip instead of two.
        let action = "update the internal key set";
        let parameters: [&(dyn ToSql + Sync); 3] = [&pck, &ssk, &sak];
        let result = limited(action, async {
            let (begun, rows) = tokio::join!(
                open.client.batch_execute("BEGIN"),
                open.client.query(&open.update, &parameters),
            );
            begun.and(rows)
        })
        .await;
        let rows = match result {
            Ok(rows) => rows,
            Err(error) => return Err(self.lost(error)),
        };
        match rows.as_slice() {
            [row] => key_of(row.get(0)),
            rows => Err(RotationError::Rows(rows.len())),
        }
    }

    /// Commits. `Break` means that the answer never came, so that nobody here knows.
    pub(super) async fn commit(&mut self) -> ControlFlow<DatabaseError, Result<(), DatabaseError>> {
        let Some(open) = &self.open else {
            return ControlFlow::Continue(Ok(()));
        };
        match limited("commit the rotation", open.client.batch_execute("COMMIT")).await {
            Ok(()) => ControlFlow::Continue(Ok(())),
            // An answer from the server means: not committed. Anything else means: no answer.
            Err(error @ DatabaseError::Query { .. }) if is_answer(&error) => {
                ControlFlow::Continue(Err(error))
            }
            Err(error) => {
                self.open = None;
                ControlFlow::Break(error)
            }
        }
    }

    /// Ends the transaction without a trace; closing the connection does it where asking does not.
    pub(super) async fn roll_back(&mut self) {
        if let Some(open) = &self.open {
            let asked = limited("roll back", open.client.batch_execute("ROLLBACK")).await;
            if asked.is_err() {
                self.open = None;
            }
        }
    }

    async fn open(&mut self) -> Result<&Open, DatabaseError> {
        let usable = self.open.take().filter(|open| !open.client.is_closed());
        let open = match usable {
            Some(open) => open,
            None => self.connect().await?,
        };
        Ok(self.open.insert(open))
    }

    async fn connect(&self) -> Result<Open, DatabaseError> {
        let (client, connection) = self
            .config
            .connect(NoTls)
            .await
            .map_err(DatabaseError::ConnectFresh)?;
        // Ends with the client; what breaks it also shows in the next query.
        tokio::spawn(connection);
        let update = format!(
            r#"WITH previous AS (
                 SELECT "projectId", "id", "publishableClientKey" FROM "ApiKeySet"
                 WHERE "projectId" = 'internal' AND "id" = '{KEY_SET_ID}' FOR UPDATE
               )
               UPDATE "ApiKeySet" k SET "publishableClientKey" = $1, "secretServerKey" = $2,
                 "superSecretAdminKey" = $3, "updatedAt" = now()
               FROM previous WHERE k."projectId" = previous."projectId" AND k."id" = previous."id"
               RETURNING previous."publishableClientKey""#
        );
        let current = format!(
            r#"SELECT "publishableClientKey" FROM "ApiKeySet"
               WHERE "projectId" = 'internal' AND "id" = '{KEY_SET_ID}'"#
        );
        let (update, current) = limited("prepare the statements of a rotation", async {
            tokio::try_join!(client.prepare(&update), client.prepare(&current))
        })
        .await?;
        Ok(Open {
            client,
            update,
            current,
        })
    }

    /// Drops a connection on which a query was not answered in time: what is still under way on it
    /// must not mix with what comes next.
    fn lost(&mut self, error: DatabaseError) -> RotationError {
        if !is_answer(&error) {
            self.open = None;
        }
        error.into()
    }
}

fn is_answer(error: &DatabaseError) -> bool {
    matches!(error, DatabaseError::Query { source, .. } if source.from_server)
}

fn key_of(text: Option<&str>) -> Result<Key, RotationError> {
    Key::parse(text.unwrap_or_default().as_bytes()).map_err(|_| RotationError::Foreign)
}
