//! The connection to either database: pools, leases, transactions, and the one place where a
//! statement is timed. It refuses to know what the statements are for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Postgres, SqlSafeStr, Sqlite, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Statement;
use crate::clock::Stopwatch;
use crate::faults::Faults;
use crate::truth::Truth;

/// Connections the pool may hold. Sixteen leaves room for the slow-query fault's waits.
pub(crate) const CONNECTIONS_MAX: u32 = 16;
/// How long a request waits for a connection before it is answered with 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long SQLite waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// What the slow-query fault adds to a read by user: above the 500 ms that counts as slow.
const SLOW_QUERY_DELAY: Duration = Duration::from_millis(560);

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// No connection came free in time.
    #[error("no database connection came free within {ACQUIRE_TIMEOUT:?}; the pool of {CONNECTIONS_MAX} is exhausted")]
    PoolTimedOut,
    /// The database refused or was away.
    #[error("the database failed while running `{statement}`: {source}")]
    Query {
        /// Summary of the statement.
        statement: &'static str,
        /// What sqlx reported.
        source: sqlx::Error,
    },
    /// The database could not be opened, migrated or seeded.
    #[error("{what}: {source}")]
    Setup {
        /// What was attempted.
        what: String,
        /// What sqlx reported.
        source: sqlx::Error,
    },
}

#[derive(Debug, Clone)]
pub(super) enum Pools {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A connection in use. Writes on SQLite queue on a lock of their own, because the database has
/// one writer and waiting in SQLite's busy handler would block a connection each.
pub(super) enum Lease {
    SqliteRead(PoolConnection<Sqlite>, Held),
    PostgresRead(PoolConnection<Postgres>, Held),
    SqliteWrite(Transaction<'static, Sqlite>, Held, OwnedMutexGuard<()>),
    PostgresWrite(Transaction<'static, Postgres>, Held),
}

/// Records how long a connection was held once it is given back: it stands behind the connection,
/// so that it is dropped after it.
pub(super) struct Held {
    pool: heartline::Pool,
    since: Stopwatch,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pool.held(self.since.elapsed());
    }
}

/// A borrowed connection of either kind: what statements run on.
pub(super) enum Session<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

impl Lease {
    pub(super) fn session(&mut self) -> Session<'_> {
        match self {
            Self::SqliteRead(connection, _) => Session::Sqlite(connection),
            Self::PostgresRead(connection, _) => Session::Postgres(connection),
            Self::SqliteWrite(transaction, _, _) => Session::Sqlite(transaction),
            Self::PostgresWrite(transaction, _) => Session::Postgres(transaction),
        }
    }
}

/// Runs the same expression on a connection of either kind.
macro_rules! on {
    ($session:expr, $connection:ident => $body:expr) => {
        match $session {
            $crate::store::database::Session::Sqlite($connection) => $body,
            $crate::store::database::Session::Postgres($connection) => $body,
        }
    };
}
pub(super) use on;

/// The repository: cheap to clone.
#[derive(Clone)]
pub(crate) struct Database(Arc<Inner>);

struct Inner {
    pools: Pools,
    writer: Arc<Mutex<()>>,
    faults: Faults,
    truth: Arc<Truth>,
    queries: Vec<heartline::Query>,
    pool: heartline::Pool,
}

impl Database {
    /// Opens PostgreSQL at `url`, or the SQLite file in `data` without one, and migrates it.
    pub(crate) async fn open(
        url: Option<&str>,
        data: &Path,
        agent: &heartline::Agent,
        faults: Faults,
        truth: Arc<Truth>,
    ) -> Result<Self, StoreError> {
        let pools = match url {
            Some(url) => open_postgres(url).await?,
            None => open_sqlite(&data.join("shop.db")).await?,
        };
        let system = match &pools {
            Pools::Sqlite(_) => "sqlite",
            Pools::Postgres(_) => "postgresql",
        };
        let probed = pools.clone();
        let pool = agent.pool("primary", move || probed.status());
        let queries = Statement::ALL.iter().map(|statement| agent.query(system, statement.summary())).collect();
        Ok(Self(Arc::new(Inner { pools, writer: Arc::default(), faults, truth, queries, pool })))
    }

    /// Whether the embedded database is in use.
    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self.0.pools, Pools::Sqlite(_))
    }

    pub(super) fn pools(&self) -> &Pools {
        &self.0.pools
    }

    /// Whether the N+1 and slow-query faults are on is asked here and nowhere else in the store.
    pub(super) fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// A connection for reads.
    pub(super) async fn read(&self) -> Result<Lease, StoreError> {
        let lease = async {
            match &self.0.pools {
                Pools::Sqlite(pool) => pool.acquire().await.map(|c| Lease::SqliteRead(c, self.held())),
                Pools::Postgres(pool) => pool.acquire().await.map(|c| Lease::PostgresRead(c, self.held())),
            }
        };
        self.waited(lease).await
    }

    /// A write transaction; dropped without [`Database::commit`] it rolls back. The connection is
    /// taken before the turn to write, so that waiting for connections does not queue writers.
    pub(super) async fn write(&self) -> Result<Lease, StoreError> {
        match self.read().await? {
            Lease::SqliteRead(connection, held) => {
                let turn = Arc::clone(&self.0.writer).lock_owned().await;
                let begun = Transaction::begin(connection, Some("BEGIN IMMEDIATE".into_sql_str())).await;
                begun.map(|transaction| Lease::SqliteWrite(transaction, held, turn))
            }
            Lease::PostgresRead(connection, held) => {
                Transaction::begin(connection, None).await.map(|transaction| Lease::PostgresWrite(transaction, held))
            }
            writing => Ok(writing),
        }
        .map_err(|source| StoreError::Query { statement: "BEGIN", source })
    }

    fn held(&self) -> Held {
        Held { pool: self.0.pool.clone(), since: Stopwatch::start() }
    }

    /// Ends a write transaction.
    pub(super) async fn commit(&self, lease: Lease) -> Result<(), StoreError> {
        self.observe(Statement::Commit, async {
            match lease {
                Lease::SqliteWrite(transaction, _held, _turn) => transaction.commit().await,
                Lease::PostgresWrite(transaction, _held) => transaction.commit().await,
                Lease::SqliteRead(..) | Lease::PostgresRead(..) => Ok(()),
            }
        })
        .await
    }

    /// Times one statement and counts it, in the agent and in the shop's own books.
    pub(super) async fn observe<T>(
        &self,
        statement: Statement,
        run: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        let delay = statement.slowed_by_fault() && self.0.faults.slow_query();
        let query = &self.0.queries[statement.index()];
        let mut entry = self.0.truth.query(statement);
        let outcome = query
            .time(async {
                if delay {
                    tokio::time::sleep(SLOW_QUERY_DELAY).await;
                }
                run.await.map_err(Labelled)
            })
            .await;
        if outcome.is_ok() {
            entry.succeeded();
        }
        outcome.map_err(|Labelled(source)| StoreError::Query { statement: statement.summary(), source })
    }

    async fn waited(&self, lease: impl Future<Output = Result<Lease, sqlx::Error>>) -> Result<Lease, StoreError> {
        let wait = self.0.pool.wait();
        match lease.await {
            Ok(lease) => {
                wait.acquired();
                Ok(lease)
            }
            Err(sqlx::Error::PoolTimedOut) => {
                wait.timed_out();
                Err(StoreError::PoolTimedOut)
            }
            Err(source) => Err(StoreError::Query { statement: "connect", source }),
        }
    }

    /// Holds one connection for a while: the pool-exhaustion fault.
    pub(crate) async fn hold_connection(&self, how_long: Duration) -> Result<(), StoreError> {
        let lease = self.read().await?;
        tokio::time::sleep(how_long).await;
        drop(lease);
        Ok(())
    }

    /// Asks the database for a sign of life.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        let mut lease = self.read().await?;
        self.observe(Statement::Ping, async {
            on!(lease.session(), c => sqlx::query("SELECT 1").execute(c).await.map(drop))
        })
        .await
    }

    /// Closes every connection; SQLite folds its write-ahead log back into the file.
    pub(crate) async fn close(&self) {
        match &self.0.pools {
            Pools::Sqlite(pool) => pool.close().await,
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

impl Pools {
    fn status(&self) -> heartline::PoolStatus {
        let (size, idle) = match self {
            Self::Sqlite(pool) => (pool.size(), pool.num_idle()),
            Self::Postgres(pool) => (pool.size(), pool.num_idle()),
        };
        heartline::PoolStatus {
            max: u64::from(CONNECTIONS_MAX),
            size: u64::from(size),
            idle: idle as u64,
            pending: None,
        }
    }
}

/// An sqlx error that names itself by a word of a closed set.
struct Labelled(sqlx::Error);

impl heartline::QueryError for Labelled {
    fn error_type(&self) -> &str {
        match &self.0 {
            sqlx::Error::PoolTimedOut => "pool_timeout",
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) => "connection",
            sqlx::Error::Database(_) => "database",
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => "decode",
            _ => "other",
        }
    }
}

async fn open_sqlite(file: &Path) -> Result<Pools, StoreError> {
    let what = || format!("opening the embedded database {}", file.display());
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT);
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .map_err(|source| StoreError::Setup { what: what(), source })?;
    sqlx::migrate!("./migrations/sqlite")
        .run(&pool)
        .await
        .map_err(|error| StoreError::Setup { what: what(), source: error.into() })?;
    Ok(Pools::Sqlite(pool))
}

async fn open_postgres(url: &str) -> Result<Pools, StoreError> {
    let options: PgConnectOptions = url.parse().map_err(|source| StoreError::Setup {
        what: "reading DATABASE_URL (expected postgres://user:password@host:port/database)".to_owned(),
        source,
    })?;
    let what = || format!("opening PostgreSQL at {}:{}", options.get_host(), options.get_port());
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .connect_with(options.clone())
        .await
        .map_err(|source| StoreError::Setup { what: what(), source })?;
    sqlx::migrate!("./migrations/postgres")
        .run(&pool)
        .await
        .map_err(|error| StoreError::Setup { what: what(), source: error.into() })?;
    Ok(Pools::Postgres(pool))
}
