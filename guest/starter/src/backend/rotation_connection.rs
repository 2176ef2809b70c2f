//! The database connection that rotations use, kept open with its statements prepared.

use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls, Statement, types::ToSql};

use super::database::{DatabaseError, limited};
use crate::{
    key::Key,
    secrets::{CRON, Secrets},
};

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

/// What became of a commit.
#[derive(Debug)]
pub(super) enum Commit {
    /// It is safe on the disk.
    Done,
    /// The server said no.
    Refused(DatabaseError),
    /// No answer came; it may have happened.
    Unknown(DatabaseError),
}

/// Why a rotation could not be prepared or a key not be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum RotationError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A row is not there, or there is more than one.
    #[error("{0} rows hold the secrets of the internal project, but there must be exactly one")]
    Rows(usize),
    /// A value is not one that a rotation wrote.
    #[error("a secret in the database is not 64 hex characters")]
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
        let secrets = self.current().await?;
        self.prepare(&secrets).await?.roll_back().await;
        Ok(())
    }

    /// The secrets in force.
    pub(super) async fn current(&mut self) -> Result<Secrets, RotationError> {
        let open = self.take().await?;
        let query = open.client.query(&open.current, &[]);
        let rows = limited("tell the secrets in force", query).await?;
        self.open = Some(open);
        let [row] = rows.as_slice() else {
            return Err(RotationError::Rows(rows.len()));
        };
        let key = |column| {
            let text: Option<&str> = row.get(column);
            Key::parse(text.unwrap_or_default().as_bytes()).map_err(|_| RotationError::Foreign)
        };
        Ok(Secrets {
            pck: key(0)?,
            ssk: key(1)?,
            sak: key(2)?,
            cron: key(3)?,
        })
    }

    /// Begins a transaction and updates the secrets.
    pub(super) async fn prepare(&mut self, new: &Secrets) -> Result<Prepared<'_>, RotationError> {
        let open = self.take().await?;
        let [pck, ssk, sak, cron] = [&new.pck, &new.ssk, &new.sak, &new.cron].map(Key::expose);
        let parameters: [&(dyn ToSql + Sync); 4] = [&pck, &ssk, &sak, &cron];
        // Both are sent at once and answered in order: one round trip instead of two.
        let rows = limited("update the secrets", async {
            let (begun, rows) = tokio::join!(
                open.client.batch_execute("BEGIN"),
                open.client.query(&open.update, &parameters),
            );
            begun.and(rows)
        })
        .await?;
        if rows.len() != 1 {
            return Err(RotationError::Rows(rows.len()));
        }
        Ok(Prepared {
            open,
            home: &mut self.open,
        })
    }

    /// The connection, opened if need be. It is put back only by what went well: whatever else may be
    /// under way on it ends with it.
    async fn take(&mut self) -> Result<Open, DatabaseError> {
        match self.open.take().filter(|open| !open.client.is_closed()) {
            Some(open) => Ok(open),
            None => self.connect().await,
        }
    }

    async fn connect(&self) -> Result<Open, DatabaseError> {
        let (client, connection) = self
            .config
            .connect(NoTls)
            .await
            .map_err(DatabaseError::ConnectFresh)?;
        // Ends with the client; what breaks it also shows in the next query.
        tokio::spawn(connection);
        // One statement, which gives a row for each key set that it changed, so one. The cron secret
        // is joined in: without its row there is none.
        let update = format!(
            r#"WITH "cron" AS (
                 UPDATE "EmulatorSecret" SET "value" = $4, "updatedAt" = now()
                 WHERE "name" = '{CRON}' RETURNING 1
               )
               UPDATE "ApiKeySet" SET "publishableClientKey" = $1, "secretServerKey" = $2,
                 "superSecretAdminKey" = $3, "updatedAt" = now()
               FROM "cron" WHERE "projectId" = 'internal' AND "id" = '{KEY_SET_ID}'
               RETURNING 1"#
        );
        let current = format!(
            r#"SELECT "publishableClientKey", "secretServerKey", "superSecretAdminKey", "value"
               FROM "ApiKeySet", "EmulatorSecret"
               WHERE "projectId" = 'internal' AND "id" = '{KEY_SET_ID}' AND "name" = '{CRON}'"#
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
}

/// A transaction in which the secrets are updated. Dropping it closes its connection, which rolls back.
#[derive(Debug)]
pub(super) struct Prepared<'a> {
    open: Open,
    home: &'a mut Option<Open>,
}

impl Prepared<'_> {
    pub(super) async fn commit(self) -> Commit {
        let commit = self.open.client.batch_execute("COMMIT");
        match limited("commit the rotation", commit).await {
            Ok(()) => {
                *self.home = Some(self.open);
                Commit::Done
            }
            Err(error) if is_answer(&error) => Commit::Refused(error),
            Err(error) => Commit::Unknown(error),
        }
    }

    pub(super) async fn roll_back(self) {
        let roll_back = self.open.client.batch_execute("ROLLBACK");
        if limited("roll back", roll_back).await.is_ok() {
            *self.home = Some(self.open);
        }
    }
}

fn is_answer(error: &DatabaseError) -> bool {
    matches!(error, DatabaseError::Query { source, .. } if source.from_server)
}
