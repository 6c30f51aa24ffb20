//! Queries, connections and transactions through sqlx: an executor that is used in place of the pool; what a query is
//! called is worked out in `summary`, how it runs in `executor`.
//!
//! sqlx's own tracing events do not say whether a query failed, so this integration wraps the executor instead. It works
//! with every driver of sqlx. What is seen and what is not:
//!
//! - Time and outcome of every query, from sending it to its last row. A stream that is dropped after its first row
//!   counts as done with the rows it gave; before the first row, as `cancelled`.
//! - Rows returned, where the agent records them ([`AgentBuilder::returned_rows`](crate::AgentBuilder::returned_rows)).
//! - Errors by type ([`QueryError`] for [`sqlx::Error`]): a constraint by its kind, otherwise a word for the class of the
//!   code. Decoding rows into the types of the service happens outside of the executor and is not seen.
//! - Waiting for a connection apart from running the query; time-outs of the pool; how long connections are held.
//!   A query that never got a connection is a time-out of the pool, not a failed query.
//! - `BEGIN`, `COMMIT`, `ROLLBACK`, `SAVEPOINT` as queries of their own; the roll-back of a transaction that is dropped
//!   happens later, inside sqlx, and is not.
//! - Preparing and describing statements is not counted.
//!
//! ```no_run
//! # async fn run(pool: sqlx::Pool<sqlx::Sqlite>) -> Result<(), Box<dyn std::error::Error>> {
//! let agent = heartline::Agent::builder("shop").start()?;
//! let database = agent.sqlx("primary", pool);
//!
//! let rows = sqlx::query("SELECT id, name FROM products WHERE price < ?").bind(500).fetch_all(&database).await?;
//!
//! let mut transaction = database.begin().await?;
//! sqlx::query("UPDATE stock SET held = held + 1 WHERE product = ?").bind(7).execute(transaction.observed()).await?;
//! transaction.commit().await?;
//! # Ok(()) }
//! ```

mod executor;
mod summary;
mod tokens;

use std::fmt;
use std::sync::Arc;

use sqlx::error::ErrorKind;
use sqlx::pool::PoolConnection;
use sqlx::{Connection, Database, Error, Transaction};

pub use self::executor::Observed;
use self::summary::{OTHER, summary};
use self::tokens::Dialect;
use crate::clock::Stamp;
use crate::registry::AppendMap;
use crate::{Agent, Pool, PoolStatus, Query, QueryError};

/// Texts of queries that are remembered with their summary. Further ones are summarised each time, about a microsecond.
const TEXTS_REMEMBERED_MAX: usize = 1_024;
/// Longest text that is remembered.
const TEXT_BYTES_MAX: usize = 4 * 1_024;
/// Summaries of one pool. Further ones are counted together as `OTHER`.
const SUMMARIES_MAX: usize = 256;

impl Agent {
    /// Observes the queries of a pool and the pool itself: use the result in its place. The pool is called `name`.
    pub fn sqlx<DB: Database>(&self, name: &str, pool: sqlx::Pool<DB>) -> ObservedPool<DB> {
        let probed = PoolProbe(Arc::new(pool.clone()));
        let watched = Arc::downgrade(&probed.0);
        let signal = self.pool(name, move || watched.upgrade().map_or_else(PoolStatus::default, |pool| status(&pool)));
        let queries = Queries::new(self.clone(), DB::NAME);
        ObservedPool { shared: Arc::new(Shared { pool, signal, queries: Arc::new(queries), _probed: probed }) }
    }
}

/// What the probe reads; it lives as long as the observed pool, so that the agent does not keep the pool open.
struct PoolProbe<DB: Database>(Arc<sqlx::Pool<DB>>);

fn status<DB: Database>(pool: &sqlx::Pool<DB>) -> PoolStatus {
    if pool.is_closed() {
        return PoolStatus::default();
    }
    PoolStatus {
        max: u64::from(pool.options().get_max_connections()),
        size: u64::from(pool.size()),
        idle: u64::try_from(pool.num_idle()).unwrap_or(u64::MAX),
        pending: None,
    }
}

/// A pool whose queries, waits and connections are recorded; an [`sqlx::Executor`] by reference. Clones are the same
/// pool. See [`Agent::sqlx`].
pub struct ObservedPool<DB: Database> {
    shared: Arc<Shared<DB>>,
}

struct Shared<DB: Database> {
    pool: sqlx::Pool<DB>,
    signal: Pool,
    queries: Arc<Queries>,
    _probed: PoolProbe<DB>,
}

impl<DB: Database> Clone for ObservedPool<DB> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<DB: Database> fmt::Debug for ObservedPool<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservedPool").field("pool", &self.shared.pool).finish_non_exhaustive()
    }
}

impl<DB: Database> ObservedPool<DB> {
    /// The pool itself, for migrations and for libraries that need it. What goes through it is not recorded.
    pub fn pool(&self) -> &sqlx::Pool<DB> {
        &self.shared.pool
    }

    /// Waits for a connection. Run queries on it through [`ObservedConnection::observed`].
    ///
    /// # Errors
    /// Those of [`sqlx::Pool::acquire`], unchanged.
    pub async fn acquire(&self) -> Result<ObservedConnection<DB>, Error> {
        let lease = self.shared.lease().await?;
        Ok(ObservedConnection { lease, queries: Arc::clone(&self.shared.queries) })
    }

    /// Waits for a connection and begins a transaction on it.
    ///
    /// # Errors
    /// Those of [`sqlx::Pool::begin`], unchanged.
    pub async fn begin(&self) -> Result<ObservedTransaction<'static, DB>, Error> {
        let Lease { connection, held } = self.shared.lease().await?;
        let queries = Arc::clone(&self.shared.queries);
        // what `Pool::begin` calls once it has its connection; calling that would count the wait as part of BEGIN
        let transaction = queries.run("BEGIN", Transaction::begin(connection, None)).await?;
        Ok(ObservedTransaction { transaction, queries, is_nested: false, _held: Some(held) })
    }

    /// Records the queries of any other executor under this pool: a connection or a transaction that sqlx made.
    pub fn observe<E>(&self, executor: E) -> Observed<E> {
        Observed::new(executor, Arc::clone(&self.shared.queries))
    }
}

impl<DB: Database> Shared<DB> {
    async fn lease(&self) -> Result<Lease<DB>, Error> {
        let waiting = self.signal.wait();
        match self.pool.acquire().await {
            Ok(connection) => {
                waiting.acquired();
                Ok(Lease { connection, held: Held { pool: self.signal.clone(), since: Stamp::now() } })
            }
            Err(error) => {
                if matches!(error, Error::PoolTimedOut) {
                    waiting.timed_out();
                }
                Err(error)
            }
        }
    }
}

/// A connection on loan from the pool; it goes back before the time it was held is recorded.
struct Lease<DB: Database> {
    connection: PoolConnection<DB>,
    held: Held,
}

/// Records how long a connection was held when it is dropped.
#[derive(Debug)]
struct Held {
    pool: Pool,
    since: Stamp,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pool.held(self.since.elapsed());
    }
}

/// A connection of an [`ObservedPool`]. It goes back to the pool when dropped.
pub struct ObservedConnection<DB: Database> {
    lease: Lease<DB>,
    queries: Arc<Queries>,
}

impl<DB: Database> fmt::Debug for ObservedConnection<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservedConnection").field("connection", &self.lease.connection).finish_non_exhaustive()
    }
}

impl<DB: Database> ObservedConnection<DB> {
    /// The executor to run queries with: `query.fetch_all(connection.observed())`.
    pub fn observed(&mut self) -> Observed<&mut DB::Connection> {
        Observed::new(&mut *self.lease.connection, Arc::clone(&self.queries))
    }

    /// The connection itself. What goes through it is not recorded.
    pub fn connection(&mut self) -> &mut DB::Connection {
        &mut self.lease.connection
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// Those of [`sqlx::Connection::begin`], unchanged.
    pub async fn begin(&mut self) -> Result<ObservedTransaction<'_, DB>, Error> {
        let queries = Arc::clone(&self.queries);
        let transaction = queries.run("BEGIN", self.lease.connection.begin()).await?;
        Ok(ObservedTransaction { transaction, queries, is_nested: false, _held: None })
    }
}

/// A transaction on an [`ObservedPool`]; rolled back when dropped before [`commit`](Self::commit).
pub struct ObservedTransaction<'c, DB: Database> {
    transaction: Transaction<'c, DB>,
    queries: Arc<Queries>,
    is_nested: bool,
    _held: Option<Held>,
}

impl<DB: Database> fmt::Debug for ObservedTransaction<'_, DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservedTransaction").field("is_nested", &self.is_nested).finish_non_exhaustive()
    }
}

impl<DB: Database> ObservedTransaction<'_, DB> {
    /// The executor to run queries with: `query.execute(transaction.observed())`.
    pub fn observed(&mut self) -> Observed<&mut DB::Connection> {
        Observed::new(&mut *self.transaction, Arc::clone(&self.queries))
    }

    /// The connection itself. What goes through it is not recorded.
    pub fn connection(&mut self) -> &mut DB::Connection {
        &mut self.transaction
    }

    /// Begins a transaction inside this one: a savepoint.
    ///
    /// # Errors
    /// Those of [`sqlx::Connection::begin`], unchanged.
    pub async fn begin(&mut self) -> Result<ObservedTransaction<'_, DB>, Error> {
        let queries = Arc::clone(&self.queries);
        let transaction = queries.run("SAVEPOINT", self.transaction.begin()).await?;
        Ok(ObservedTransaction { transaction, queries, is_nested: true, _held: None })
    }

    /// Makes the changes last.
    ///
    /// # Errors
    /// Those of [`sqlx::Transaction::commit`], unchanged.
    pub async fn commit(self) -> Result<(), Error> {
        let summary = if self.is_nested { "RELEASE" } else { "COMMIT" };
        self.queries.run(summary, self.transaction.commit()).await
    }

    /// Undoes the changes.
    ///
    /// # Errors
    /// Those of [`sqlx::Transaction::rollback`], unchanged.
    pub async fn rollback(self) -> Result<(), Error> {
        self.queries.run("ROLLBACK", self.transaction.rollback()).await
    }
}

/// The handles of one pool's queries, found by text without a lock.
#[derive(Debug)]
struct Queries {
    agent: Agent,
    system: String,
    dialect: Dialect,
    by_text: AppendMap<String, Query>,
    by_summary: AppendMap<String, Query>,
}

impl Queries {
    fn new(agent: Agent, database: &str) -> Self {
        let (by_text, by_summary) = (AppendMap::for_about(256), AppendMap::for_about(64));
        Self { agent, system: system_name(database), dialect: Dialect::named(database), by_text, by_summary }
    }

    /// The handle for a text.
    fn of_text(&self, sql: &str) -> Query {
        if let Some(query) = self.by_text.get(sql) {
            return query.clone();
        }
        let query = self.of_summary(&summary(sql, self.dialect));
        if sql.len() <= TEXT_BYTES_MAX && self.by_text.len() < TEXTS_REMEMBERED_MAX {
            return self.by_text.get_or_insert_with(sql, || query).clone();
        }
        query
    }

    fn of_summary(&self, summary: &str) -> Query {
        let known = self.by_summary.get(summary).is_some() || self.by_summary.len() < SUMMARIES_MAX;
        let summary = if known { summary } else { OTHER };
        self.by_summary.get_or_insert_with(summary, || self.agent.query(&self.system, summary)).clone()
    }

    /// Runs something that is not a text under a summary.
    async fn run<T>(&self, summary: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.of_summary(summary).time(work).await
    }
}

/// The value of `db.system.name` for the name that sqlx gives the database.
fn system_name(database: &str) -> String {
    match database {
        "Microsoft SQL Server" => "microsoft.sql_server".to_owned(),
        // the driver that is chosen at run time does not say which one it is
        "Any" => "other_sql".to_owned(),
        other => other.to_lowercase(),
    }
}

impl QueryError for Error {
    /// A constraint by its kind; a code of the database by its class, in words; everything else by the kind of error.
    fn error_type(&self) -> &str {
        match self {
            Self::Database(error) => match error.kind() {
                ErrorKind::UniqueViolation => "unique_violation",
                ErrorKind::ForeignKeyViolation => "foreign_key_violation",
                ErrorKind::NotNullViolation => "not_null_violation",
                ErrorKind::CheckViolation => "check_violation",
                ErrorKind::ExclusionViolation => "exclusion_violation",
                _ => code_class(error.code().as_deref().unwrap_or_default()),
            },
            Self::Io(error) => error.error_type(),
            Self::Tls(_) => "tls",
            Self::Protocol(_) => "protocol",
            Self::RowNotFound => "row_not_found",
            Self::Encode(_) | Self::InvalidArgument(_) | Self::TypeNotFound { .. } => "encode",
            Self::Decode(_)
            | Self::ColumnDecode { .. }
            | Self::ColumnNotFound(_)
            | Self::ColumnIndexOutOfBounds { .. } => "decode",
            Self::PoolTimedOut => "pool_timeout",
            Self::PoolClosed => "pool_closed",
            Self::WorkerCrashed => "worker_crashed",
            Self::Configuration(_) => "configuration",
            _ => "other",
        }
    }
}

/// Five characters are an SQLSTATE, anything shorter a number of SQLite.
fn code_class(code: &str) -> &'static str {
    if code.len() == 5 { sqlstate_class(code) } else { sqlite_class(code.parse().unwrap_or_default()) }
}

/// PostgreSQL, appendix A: the codes that an operator acts on, else their class.
fn sqlstate_class(code: &str) -> &'static str {
    match code {
        "40001" => "serialization_failure",
        "40P01" => "deadlock_detected",
        "42601" => "syntax_error",
        "42703" => "undefined_column",
        "42P01" => "undefined_table",
        "53100" => "disk_full",
        "53300" => "too_many_connections",
        "55P03" => "lock_not_available",
        "57014" => "query_canceled",
        _ => match code.get(..2).unwrap_or_default() {
            "08" => "connection_exception",
            "22" => "data_exception",
            "23" => "integrity_constraint_violation",
            "25" => "invalid_transaction_state",
            "28" => "invalid_authorization",
            "40" => "transaction_rollback",
            "42" => "syntax_error_or_access_rule_violation",
            "53" => "insufficient_resources",
            "54" => "program_limit_exceeded",
            "55" => "object_not_in_prerequisite_state",
            "57" => "operator_intervention",
            "58" => "system_error",
            "XX" => "internal_error",
            _ => "database",
        },
    }
}

/// SQLite's primary result codes; an extended code carries its primary one in the low byte.
fn sqlite_class(code: u32) -> &'static str {
    match code & 0xff {
        1 => "sql_error",
        3 => "permission",
        4 => "abort",
        5 => "busy",
        6 => "locked",
        7 => "out_of_memory",
        8 => "readonly",
        9 => "interrupted",
        10 => "io",
        11 => "corrupt",
        13 => "full",
        14 => "cannot_open",
        17 => "schema_changed",
        18 => "too_big",
        19 => "constraint_violation",
        20 => "type_mismatch",
        26 => "not_a_database",
        _ => "database",
    }
}
