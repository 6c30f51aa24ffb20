//! The same executor on a real PostgreSQL server: its name, its errors by SQLSTATE, its prepared statements and its streams.

use futures_util::StreamExt;
use heartline::Agent;
use heartline::integrations::ObservedPool;
use heartline_tests::servers::Postgres;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor, Statement};

use crate::readings::{agent, records, sum, values};

const DURATION: &str = "db.client.operation.duration";

async fn start(agent: &Agent) -> (Postgres, ObservedPool<sqlx::Postgres>) {
    let server = tokio::task::spawn_blocking(Postgres::start).await.unwrap().unwrap();
    let pool = PgPoolOptions::new().max_connections(2).connect(&server.url()).await.unwrap();
    pool.execute("CREATE TABLE products (id serial PRIMARY KEY, name text NOT NULL UNIQUE)").await.unwrap();
    pool.execute("INSERT INTO products (name) SELECT 'p' || n FROM generate_series(1, 100) n").await.unwrap();
    (server, agent.sqlx("primary", pool))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_on_postgresql_are_counted_with_their_rows_and_errors_by_sqlstate() {
    let agent = agent();
    let (_server, db) = start(&agent).await;
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM products WHERE id <= $1 ORDER BY id")
        .bind(10)
        .fetch_all(&db)
        .await
        .unwrap();
    assert_eq!(names.len(), 10);
    let streamed = sqlx::query("SELECT * FROM products").fetch(&db).take(7).collect::<Vec<_>>().await;
    assert_eq!(streamed.len(), 7);
    let mut transaction = db.begin().await.unwrap();
    let insert = "INSERT INTO products (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET name = excluded.name";
    sqlx::query(insert).bind("p1").execute(transaction.observed()).await.unwrap();
    transaction.rollback().await.unwrap();
    let mut connection = db.acquire().await.unwrap();
    let statement = connection.observed().prepare(sqlx::SqlStr::from_static("SELECT 1 FROM products")).await.unwrap();
    assert_eq!(statement.query().fetch_all(connection.observed()).await.unwrap().len(), 100);
    drop(connection);

    let duplicate = sqlx::query("INSERT INTO products (name) VALUES ($1)").bind("p1").execute(&db).await;
    assert!(duplicate.is_err());
    assert!(sqlx::query("SELECT * FROM nowhere").fetch_all(&db).await.is_err());
    let mut hasty = db.begin().await.unwrap();
    sqlx::query("SET LOCAL statement_timeout = 20").execute(hasty.observed()).await.unwrap();
    assert!(sqlx::query("SELECT pg_sleep(10)").execute(hasty.observed()).await.is_err());
    hasty.rollback().await.unwrap();

    assert_eq!(values(&agent, DURATION, "db.system.name"), ["postgresql"]);
    let rows = sum(&agent, "db.client.response.returned_rows", &[("db.query.summary", "SELECT products")]);
    assert_eq!(rows, 10 + 7 + 100);
    let failed = |error_type| records(&agent, DURATION, &[("error.type", error_type)]);
    assert_eq!((failed("unique_violation"), failed("undefined_table"), failed("query_canceled")), (1, 1, 1));
    let counts =
        [("SELECT products", 3), ("INSERT products", 2), ("BEGIN", 2), ("ROLLBACK", 2), ("SET", 1), ("SELECT", 1)];
    for (summary, times) in counts {
        assert_eq!(records(&agent, DURATION, &[("db.query.summary", summary)]), times, "{summary}");
    }
    assert_eq!(records(&agent, DURATION, &[]), 12);
}
