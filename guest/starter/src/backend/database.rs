//! The pool of database connections.
//!
//! No limit on a connection's age or idle time, on purpose: when the machine is resumed from a snapshot
//! the wall clock jumps, by months perhaps, and no connection must be thought dead for that. All limits
//! here count on the monotonic clock, which stands still while the machine does.
//!
//! Never ask a pooled connection for a random value (`gen_random_uuid()` and the like): its server
//! process may have seeded itself before the snapshot was taken, and would give the same value in every
//! resumed copy. A fresh connection is a fresh process and seeds itself anew ([`Database::fresh_uuid`]).

use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts,
};
use tokio_postgres::{Config, NoTls, Row, types::ToSql};

use super::access::{self, Access};
use crate::report;

/// Open connections. Requests are short; four keep both processors of the guest busy.
const CONNECTIONS: usize = 4;
/// How long one query may take.
const QUERY_LIMIT: Duration = Duration::from_secs(10);
/// How long getting a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The pool, and how to connect outside of it. A clone has the same pool.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool,
    config: Config,
}

/// What failed at the database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The connection string is wrong.
    #[error("STACK_DATABASE is not a connection string")]
    Config(#[source] tokio_postgres::Error),
    /// The pool could not be built.
    #[error("cannot set up the connection pool")]
    Build(#[source] deadpool_postgres::BuildError),
    /// No connection to be had.
    #[error("cannot connect to the database; is stack-postgres running?")]
    Connect(#[source] PoolError),
    /// No connection outside the pool to be had.
    #[error("cannot open a new connection to the database; is stack-postgres running?")]
    ConnectFresh(#[source] tokio_postgres::Error),
    /// A query failed.
    #[error("the database refused to {action}")]
    Query {
        /// What was asked.
        action: &'static str,
        /// Why not.
        source: QueryError,
    },
    /// A query took longer than 10 s.
    #[error("the database took too long to {action}")]
    Slow {
        /// What was asked.
        action: &'static str,
    },
}

/// Why a query failed, in the server's words but without its DETAIL: that quotes values, and the
/// values here are keys.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct QueryError {
    text: String,
    /// Whether the server said so itself, rather than the connection failing.
    pub from_server: bool,
}

impl From<tokio_postgres::Error> for QueryError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(answer) => Self {
                text: format!("{} ({})", answer.message(), answer.code().code()),
                from_server: true,
            },
            None => Self {
                text: error.to_string(),
                from_server: false,
            },
        }
    }
}

impl Database {
    /// Sets up the pool; connects to nothing yet.
    ///
    /// # Errors
    /// [`DatabaseError::Config`] and [`DatabaseError::Build`].
    pub fn new(connection_string: &str) -> Result<Self, DatabaseError> {
        let mut config: Config = connection_string.parse().map_err(DatabaseError::Config)?;
        config.application_name("stack-backend");
        config.connect_timeout(CONNECT_LIMIT);
        // Each statement is prepared once and has one plan that fits: planning it again for its parameters
        // costs more than it could save on tables of this size.
        config.options("-c plan_cache_mode=force_generic_plan");
        let manager = Manager::from_config(
            config.clone(),
            NoTls,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(CONNECT_LIMIT),
                create: Some(CONNECT_LIMIT),
                recycle: Some(CONNECT_LIMIT),
            })
            .build()
            .map_err(DatabaseError::Build)?;
        Ok(Self { pool, config })
    }

    /// How to connect.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Borrows a connection.
    ///
    /// # Errors
    /// [`DatabaseError::Connect`].
    pub async fn connection(&self) -> Result<Object, DatabaseError> {
        self.pool.get().await.map_err(DatabaseError::Connect)
    }

    /// Runs a prepared query that gives at most one row.
    ///
    /// # Errors
    /// [`DatabaseError`], with `action` in it.
    pub async fn query_opt(
        &self,
        action: &'static str,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, DatabaseError> {
        let connection = self.connection().await?;
        limited(action, async {
            let statement = connection.prepare_cached(sql).await?;
            connection.query_opt(&statement, parameters).await
        })
        .await
    }

    /// Runs a prepared statement and tells how many rows it changed.
    ///
    /// # Errors
    /// [`DatabaseError`], with `action` in it.
    pub async fn execute(
        &self,
        action: &'static str,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, DatabaseError> {
        let connection = self.connection().await?;
        limited(action, async {
            let statement = connection.prepare_cached(sql).await?;
            connection.execute(&statement, parameters).await
        })
        .await
    }

    /// A UUID made by Postgres, on a connection opened for it.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn fresh_uuid(&self) -> Result<String, DatabaseError> {
        let (client, connection) = self
            .config
            .connect(NoTls)
            .await
            .map_err(DatabaseError::ConnectFresh)?;
        let driver = tokio::spawn(connection);
        let row = limited(
            "make a UUID",
            client.query_one("SELECT gen_random_uuid()::text", &[]),
        )
        .await?;
        drop(client);
        // The driver ends with its client; its outcome tells nothing that the query did not.
        let _ = driver.await;
        Ok(row.get(0))
    }

    /// Opens all connections and prepares what most requests need, so that a snapshot holds them
    /// ready. A database that is not there yet is met again by the first request.
    pub async fn warm(&self) {
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            match self.connection().await {
                Ok(connection) => held.push(connection),
                Err(error) => return report::log("cannot warm up", &error),
            }
        }
        for connection in &held {
            for access in [Access::Client, Access::Server, Access::Admin] {
                // Running it, not only preparing it, is what fills the server process's caches.
                let action = "look up the internal project";
                let lookup = limited(action, async {
                    let statement = connection
                        .prepare_cached(access::lookup_sql(access))
                        .await?;
                    connection
                        .query_opt(&statement, &[&access::INTERNAL, &""])
                        .await
                });
                if let Err(error) = lookup.await {
                    return report::log("cannot warm up", &error);
                }
            }
        }
    }
}

/// Puts a limit and a name on a query.
pub(super) async fn limited<T>(
    action: &'static str,
    query: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, DatabaseError> {
    match tokio::time::timeout(QUERY_LIMIT, query).await {
        Ok(result) => result.map_err(|error| DatabaseError::Query {
            action,
            source: error.into(),
        }),
        Err(_) => Err(DatabaseError::Slow { action }),
    }
}
