//! Queries through the observed pool on a real SQLite database: exact counts, errors by type, cancellation, the pool.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt;
use heartline::Agent;
use heartline::integrations::ObservedPool;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Executor, Row, Sqlite};

use crate::readings::{agent, eventually, number, records, sum, values};

const DURATION: &str = "db.client.operation.duration";
const ROWS: &str = "db.client.response.returned_rows";
const SUMMARY: &str = "db.query.summary";

/// How long callers wait for the one connection.
const PATIENT: Duration = Duration::from_secs(10);
/// Where some are to wait in vain: enough to open the database on a busy machine.
const IMPATIENT: Duration = Duration::from_millis(500);

/// A pool of one connection to a database in memory that holds one table of five products.
async fn products(agent: &Agent, patience: Duration) -> ObservedPool<Sqlite> {
    let options = SqlitePoolOptions::new().max_connections(1).acquire_timeout(patience);
    fill(options.connect("sqlite::memory:").await.unwrap(), agent).await
}

async fn fill(pool: sqlx::Pool<Sqlite>, agent: &Agent) -> ObservedPool<Sqlite> {
    let create = "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)";
    pool.execute(create).await.unwrap();
    pool.execute("INSERT INTO products (name) VALUES ('a'), ('b'), ('c'), ('d'), ('e')").await.unwrap();
    agent.sqlx("primary", pool)
}

fn count(agent: &Agent, summary: &str) -> u64 {
    records(agent, DURATION, &[(SUMMARY, summary)])
}

fn failed(agent: &Agent, error_type: &str) -> u64 {
    records(agent, DURATION, &[("error.type", error_type)])
}

#[tokio::test]
async fn every_way_to_run_a_query_counts_once_with_its_rows() {
    let agent = agent();
    let db = products(&agent, PATIENT).await;
    for _ in 0..10 {
        assert_eq!(sqlx::query("SELECT * FROM products").fetch_all(&db).await.unwrap().len(), 5);
    }
    let named = sqlx::query("SELECT name FROM products WHERE id = ?").bind(1).fetch_one(&db).await.unwrap();
    assert_eq!(named.get::<String, _>(0), "a");
    assert!(
        sqlx::query("SELECT name FROM products WHERE id = ?").bind(99).fetch_optional(&db).await.unwrap().is_none()
    );
    let missing = sqlx::query("SELECT name FROM products WHERE id = ?").bind(99).fetch_one(&db).await;
    assert!(matches!(missing, Err(sqlx::Error::RowNotFound)));
    let total: i64 = sqlx::query_scalar("SELECT count(*) FROM products").fetch_one(&db).await.unwrap();
    assert_eq!(total, 5);
    let streamed: Vec<_> = sqlx::query("SELECT * FROM products").fetch(&db).collect().await;
    assert_eq!(streamed.len(), 5);
    let changed =
        sqlx::query("UPDATE products SET name = name || '!' WHERE id < ?").bind(3).execute(&db).await.unwrap();
    assert_eq!(changed.rows_affected(), 2);

    assert_eq!(count(&agent, "SELECT products"), 15);
    assert_eq!(count(&agent, "UPDATE products"), 1);
    assert_eq!(values(&agent, DURATION, SUMMARY), ["SELECT products", "UPDATE products"]);
    assert_eq!(values(&agent, DURATION, "error.type"), [""]);
    assert_eq!(values(&agent, DURATION, "db.system.name"), ["sqlite"]);
    assert_eq!(sum(&agent, ROWS, &[(SUMMARY, "SELECT products")]), 10 * 5 + 1 + 1 + 5);
    assert_eq!(records(&agent, "db.client.connection.wait_time", &[]), 16);
    assert_eq!(records(&agent, "db.client.connection.use_time", &[]), 16);
}

#[tokio::test]
async fn errors_are_counted_by_type_and_reach_the_caller_unchanged() {
    let agent = agent();
    let db = products(&agent, PATIENT).await;
    let insert = "INSERT INTO products (name) VALUES (?)";
    for _ in 0..3 {
        let error = sqlx::query(insert).bind("a").execute(&db).await.unwrap_err();
        assert!(error.as_database_error().unwrap().is_unique_violation());
    }
    let null: Option<String> = None;
    assert!(sqlx::query(insert).bind(null).execute(&db).await.is_err());
    assert!(sqlx::query("SELECT * FROM nowhere").fetch_all(&db).await.is_err());
    let mut stream = sqlx::query("SELECT abs(-9223372036854775808) FROM products").fetch(&db);
    assert!(stream.next().await.unwrap().is_err());

    assert_eq!(failed(&agent, "unique_violation"), 3);
    assert_eq!(failed(&agent, "not_null_violation"), 1);
    assert_eq!(records(&agent, DURATION, &[(SUMMARY, "SELECT nowhere"), ("error.type", "sql_error")]), 1);
    assert_eq!(records(&agent, DURATION, &[(SUMMARY, "SELECT products"), ("error.type", "sql_error")]), 1);
    assert_eq!(count(&agent, "INSERT products"), 4);
}

#[tokio::test]
async fn transactions_count_their_statements_and_their_own_begin_and_end() {
    let agent = agent();
    let db = products(&agent, PATIENT).await;
    let insert = "INSERT INTO products (name) VALUES (?)";
    let mut outer = db.begin().await.unwrap();
    sqlx::query(insert).bind("kept").execute(outer.observed()).await.unwrap();
    let mut inner = outer.begin().await.unwrap();
    sqlx::query(insert).bind("undone").execute(inner.observed()).await.unwrap();
    inner.rollback().await.unwrap();
    let inner = outer.begin().await.unwrap();
    inner.commit().await.unwrap();
    outer.commit().await.unwrap();
    let dropped = db.begin().await.unwrap();
    drop(dropped);

    let mut connection = db.acquire().await.unwrap();
    let kept: Vec<String> =
        sqlx::query_scalar("SELECT name FROM products WHERE id > 5").fetch_all(connection.observed()).await.unwrap();
    assert_eq!(kept, ["kept"]);
    let mut own = connection.begin().await.unwrap();
    sqlx::query("DELETE FROM products").execute(db.observe(own.connection())).await.unwrap();
    own.rollback().await.unwrap();
    drop(connection);

    let expected = [("BEGIN", 3), ("COMMIT", 1), ("SAVEPOINT", 2), ("RELEASE", 1), ("ROLLBACK", 2)];
    for (summary, times) in expected {
        assert_eq!(count(&agent, summary), times, "{summary}");
    }
    assert_eq!((count(&agent, "INSERT products"), count(&agent, "DELETE products")), (2, 1));
    assert_eq!(records(&agent, "db.client.connection.use_time", &[]), 3);
}

#[tokio::test]
async fn a_stream_left_after_its_first_row_is_done_and_before_it_cancelled() {
    let agent = agent();
    let db = products(&agent, PATIENT).await;
    let mut rows = sqlx::query("SELECT name FROM products").fetch(&db);
    assert!(rows.next().await.unwrap().is_ok());
    drop(rows);
    assert_eq!((count(&agent, "SELECT products"), failed(&agent, "cancelled")), (1, 0));
    assert_eq!(sum(&agent, ROWS, &[]), 1);

    let mut connection = db.acquire().await.unwrap();
    let mut rows = connection.observed().fetch("SELECT id FROM products");
    let mut context = Context::from_waker(Waker::noop());
    let polled = rows.as_mut().poll_next(&mut context);
    let took_a_row = matches!(polled, Poll::Ready(Some(Ok(_))));
    drop(polled);
    drop(rows);
    let never_polled = connection.observed().fetch("SELECT id FROM products");
    drop(never_polled);
    assert_eq!(count(&agent, "SELECT products"), 2);
    assert_eq!(failed(&agent, "cancelled"), u64::from(!took_a_row));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_dropped_at_any_poll_leave_no_connection_held_and_no_caller_waiting() {
    let agent = agent();
    // in a file: sqlx closes a connection whose caller left while it was being tested, and memory goes with it
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}?mode=rwc", folder.path().join("products.db").display());
    let pool = SqlitePoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let db = fill(pool, &agent).await;
    let text = "SELECT a.id FROM products a, products b, products c, products d";
    let mut finished = 0;
    for turn in 0..600 {
        let mut query = Box::pin(sqlx::query(text).fetch_all(&db));
        let polls = if turn % 3 == 0 { usize::MAX } else { turn % 50 };
        for _ in 0..polls {
            let polled = std::future::poll_fn(|context| Poll::Ready(query.as_mut().poll(context))).await;
            if let Poll::Ready(rows) = polled {
                assert_eq!(rows.unwrap().len(), 625);
                finished += 1;
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let recorded = count(&agent, "SELECT products");
    let cancelled = failed(&agent, "cancelled");
    assert_eq!(recorded - cancelled, finished);
    assert!(finished > 0 && cancelled > 0, "{finished} finished, {cancelled} cancelled");
    let used = [("db.client.connection.state", "used")];
    eventually("no connection is used and nobody waits", async || {
        number(&agent, "db.client.connection.count", &used) == Some(0.0)
            && number(&agent, "db.client.connection.pending_requests", &[]) == Some(0.0)
    })
    .await;
    let held = records(&agent, "db.client.connection.use_time", &[]);
    let waited = records(&agent, "db.client.connection.wait_time", &[]);
    assert!(recorded <= held && held <= waited, "{recorded} queries, {held} connections held, {waited} waits");
}

#[tokio::test]
async fn a_pool_that_is_used_up_shows_who_waits_and_counts_time_outs_apart_from_queries() {
    let agent = agent();
    let db = products(&agent, IMPATIENT).await;
    let held = db.acquire().await.unwrap();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move { sqlx::query("SELECT * FROM products").fetch_all(&db).await.map(drop) })
        })
        .collect();
    for query in waiting {
        assert!(matches!(query.await.unwrap(), Err(sqlx::Error::PoolTimedOut)));
    }
    assert_eq!(number(&agent, "db.client.connection.timeouts", &[]), Some(3.0));
    assert_eq!(records(&agent, DURATION, &[]), 0);
    assert_eq!(records(&agent, "db.client.connection.wait_time", &[]), 4);
    drop(held);
    sqlx::query("SELECT * FROM products").fetch_all(&db).await.unwrap();
    let expected = [("db.client.connection.max", 1.0), ("db.client.connection.pending_requests", 0.0)];
    for (metric, value) in expected {
        let wanted = [("db.client.connection.pool.name", "primary")];
        eventually(metric, async || number(&agent, metric, &wanted) == Some(value)).await;
    }
}

#[tokio::test]
async fn waiting_callers_are_pending_while_they_wait() {
    let agent = agent();
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    let db = agent.sqlx("primary", pool);
    let held = db.acquire().await.unwrap();
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move { sqlx::query("SELECT 1").execute(&db).await.map(drop) })
        })
        .collect();
    let pending = async || number(&agent, "db.client.connection.pending_requests", &[]);
    eventually("four callers wait", async || pending().await == Some(4.0)).await;
    waiting[0].abort();
    eventually("three callers wait", async || pending().await == Some(3.0)).await;
    drop(held);
    for query in waiting.into_iter().skip(1) {
        query.await.unwrap().unwrap();
    }
    eventually("nobody waits", async || pending().await == Some(0.0)).await;
    assert_eq!(count(&agent, "SELECT"), 3);
}

#[tokio::test]
async fn texts_without_end_share_one_summary_and_tables_without_end_overflow() {
    let agent = agent();
    let db = products(&agent, PATIENT).await;
    for turn in 0..1_500 {
        let list = vec!["?"; turn % 700 + 1].join(", ");
        let text = format!("SELECT * FROM products WHERE id IN ({list}) AND {turn} = {turn} LIMIT 0");
        sqlx::query(sqlx::AssertSqlSafe(text)).fetch_all(&db).await.unwrap();
    }
    assert_eq!(count(&agent, "SELECT products"), 1_500);
    for turn in 0..400 {
        let letters: String = format!("{turn:03}").bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
        let text = format!("SELECT * FROM tenant_{letters}");
        assert!(sqlx::query(sqlx::AssertSqlSafe(text)).fetch_all(&db).await.is_err());
    }
    let summaries = values(&agent, DURATION, SUMMARY);
    assert!(summaries.len() <= 257 && summaries.contains(&"OTHER".to_owned()), "{}", summaries.len());
    assert_eq!(records(&agent, DURATION, &[]), 1_900);
}

#[tokio::test]
async fn the_agent_does_not_keep_a_dropped_pool_open() {
    let agent = agent();
    let db = products(&agent, PATIENT).await;
    let raw = db.pool().clone();
    assert!(!raw.is_closed());
    drop(db);
    raw.close().await;
    eventually("a closed pool has no connections", async || {
        number(&agent, "db.client.connection.count", &[]) == Some(0.0)
    })
    .await;
}
