//! The shop on PostgreSQL and Redis from the system packages instead of its embedded stores.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use heartline_tests::readings::totals;
use heartline_tests::servers::{Postgres, Redis};
use heartline_tests::shop::{Setup, Shop};
use heartline_tests::waiting::wait_until;

const LIMIT: Duration = Duration::from_mins(2);

#[test]
fn postgresql_and_redis_are_used_and_seen() -> Result<()> {
    let (postgres, redis) = (Postgres::start()?, Redis::start()?);
    let setup = Setup::loaded("basic").with("DATABASE_URL", postgres.url()).with("REDIS_URL", redis.url());
    let mut shop = Shop::start(setup)?;
    let used = || {
        let snapshot = shop.snapshot()?;
        let queries = totals(&snapshot, "db.client.operation.duration", &["db.system.name"]);
        let lookups = totals(&snapshot, "heartline.cache.requests", &["cache.tier", "cache.result"]);
        let queries = queries.get(&vec!["postgresql".to_owned()]).copied().unwrap_or(0);
        let hits = lookups.get(&vec!["l2".to_owned(), "hit".to_owned()]).copied().unwrap_or(0);
        ensure!(queries > 100 && hits > 0, "{queries} queries of PostgreSQL, {hits} hits of the second tier");
        Ok(Some(snapshot))
    };
    let snapshot = wait_until(LIMIT, "both to be used", used).with_context(|| shop.report())?;
    let systems = totals(&snapshot, "db.client.operation.duration", &["db.system.name"]);
    ensure!(!systems.contains_key(&vec!["sqlite".to_owned()]), "SQLite is still used: {systems:?}");
    let orders: u64 = postgres.query("SELECT count(*) FROM orders")?.parse().context("a number of orders")?;
    ensure!(orders >= 1_000, "only {orders} orders in PostgreSQL: it was not seeded");
    ensure!(redis.figure("keyspace_hits")? > 0, "Redis itself saw no hit");
    shop.end()
}
