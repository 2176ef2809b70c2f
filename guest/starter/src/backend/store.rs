//! Asking the database, each statement prepared once for each connection, with a limit and a name.
//!
//! Every function that reads or writes an account's rows takes a client: a pooled connection where one
//! statement is all, a transaction where several belong together. A transaction that is dropped without
//! [`commit`] is rolled back.

use deadpool_postgres::{GenericClient, Object, Transaction};
use tokio_postgres::{Row, types::ToSql};

use super::database::{DatabaseError, limited};

/// What a statement is given.
pub(crate) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// All rows of a query.
pub(crate) async fn rows(
    db: &impl GenericClient,
    action: &'static str,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, DatabaseError> {
    limited(action, async {
        let statement = db.prepare_cached(sql).await?;
        db.query(&statement, parameters).await
    })
    .await
}

/// The row of a query that gives at most one.
pub(crate) async fn row(
    db: &impl GenericClient,
    action: &'static str,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Option<Row>, DatabaseError> {
    limited(action, async {
        let statement = db.prepare_cached(sql).await?;
        db.query_opt(&statement, parameters).await
    })
    .await
}

/// Runs a statement; tells how many rows it changed.
pub(crate) async fn execute(
    db: &impl GenericClient,
    action: &'static str,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<u64, DatabaseError> {
    limited(action, async {
        let statement = db.prepare_cached(sql).await?;
        db.execute(&statement, parameters).await
    })
    .await
}

/// Begins a transaction.
pub(crate) async fn begin(connection: &mut Object) -> Result<Transaction<'_>, DatabaseError> {
    limited("begin a transaction", connection.transaction()).await
}

/// Begins a transaction that does not wait for the disk when it ends: a power cut may undo it. For notes that
/// nobody misses, such as when a session was last used; waiting is most of what such a request costs.
pub(crate) async fn begin_unsynced(
    connection: &mut Object,
) -> Result<Transaction<'_>, DatabaseError> {
    let transaction = begin(connection).await?;
    let sql = "SET LOCAL synchronous_commit = off";
    limited("begin a transaction", transaction.batch_execute(sql)).await?;
    Ok(transaction)
}

/// Makes what a transaction did last.
pub(crate) async fn commit(transaction: Transaction<'_>) -> Result<(), DatabaseError> {
    limited("commit a transaction", transaction.commit()).await
}
