//! What the dashboard makes of a world that goes away and comes back: no negative rate, no gap in its own rhythm.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use heartline_tests::alert_rules;
use heartline_tests::servers::Redis;
use heartline_tests::shop::{Setup, Shop};
use heartline_tests::ticks::{Tick, Watch};
use heartline_tests::waiting::wait_until;

const FACTOR: u32 = 30;
const LIMIT: Duration = Duration::from_mins(2);

/// Ticks come once a second, on a busy machine a little later; later than this one would be called blocked.
const TICK_GAP_MAX: Duration = Duration::from_secs(5);

#[test]
fn redis_may_go_away_and_come_back() -> Result<()> {
    let redis = Redis::start()?;
    let shop = Shop::start(Setup::loaded("basic").with("REDIS_URL", redis.url()))?;
    let mut watch = watch(&shop)?;
    watch.wait_for(LIMIT, "hits in Redis", |tick| second_tier_ratio(tick).is_some_and(|ratio| ratio > 0.0))?;
    let port = redis.kill();
    let errors = || Ok((second_tier_errors(&shop)? > 0).then_some(()));
    wait_until(LIMIT, "look-ups to fail while Redis is away", errors).with_context(|| shop.report())?;
    let served = |tick: &Tick| busy(tick) && error_free(tick);
    watch.wait_for(LIMIT, "requests to be served without Redis", served).with_context(|| shop.report())?;
    let back = Redis::start_on(port)?;
    // an empty Redis is first missed; hits follow once entries of the first tier have expired, minutes later
    let asked_again = || Ok((back.figure("keyspace_misses")? + back.figure("keyspace_hits")? > 0).then_some(()));
    wait_until(LIMIT, "look-ups in the new Redis", asked_again).with_context(|| shop.report())?;
    // on a busy machine a look-up may be too slow now and then, and for a moment no other is made then
    wait_until(LIMIT, "requests to be served with it, and no look-up to fail meanwhile", || {
        let errors = second_tier_errors(&shop)?;
        watch.wait_for(LIMIT, "requests to be served with it", |tick| busy(tick) && error_free(tick))?;
        let later = second_tier_errors(&shop)?;
        ensure!(later == errors, "{} look-ups failed although Redis is back", later - errors);
        Ok(Some(()))
    })
    .with_context(|| shop.report())?;
    watch.wait_for(LIMIT, "a tick after all that", busy)?;
    assert_steady(&mut watch)
}

#[test]
fn the_service_may_restart_on_its_ports() -> Result<()> {
    let mut shop = Shop::start(Setup::loaded("basic"))?;
    let mut watch = watch(&shop)?;
    watch.wait_for(LIMIT, "a rate", busy)?;
    shop.restart()?;
    let restarted = |tick: &Tick| busy(tick) && tick.targets[0].restarts == 1;
    watch
        .wait_for(LIMIT, "the restart to be counted and requests to go on", restarted)
        .with_context(|| shop.report())?;
    assert_steady(&mut watch)?;
    let counts: Vec<u64> = watch.ticks()?.iter().map(|tick| tick.targets[0].restarts).collect();
    ensure!(counts.is_sorted() && counts.last() == Some(&1), "one restart, counted once: {counts:?}");
    Ok(())
}

fn watch(shop: &Shop) -> Result<Watch> {
    let rules = shop.data().join("alerts.toml");
    alert_rules::write_scaled(FACTOR, &rules)?;
    Watch::start(shop.agent_url(), &rules)
}

fn busy(tick: &Tick) -> bool {
    tick.targets.iter().any(|target| target.state == "fresh" && target.requests.rate.is_some_and(|rate| rate > 20.0))
}

fn error_free(tick: &Tick) -> bool {
    tick.targets.iter().all(|target| target.requests.error_ratio.is_none_or(|ratio| ratio == 0.0))
}

fn second_tier_ratio(tick: &Tick) -> Option<f64> {
    let tiers = tick.targets.iter().flat_map(|target| &target.caches).filter(|cache| cache.tier == "l2");
    tiers.filter_map(|cache| cache.hit_ratio).reduce(f64::max)
}

fn second_tier_errors(shop: &Shop) -> Result<u64> {
    Ok(shop.truth()?.caches.iter().filter(|line| line.tier == "l2").map(|line| line.errors).sum())
}

fn assert_steady(watch: &mut Watch) -> Result<()> {
    let negative: Vec<(String, f64)> =
        watch.ticks()?.iter().flat_map(Tick::rates).filter(|(_, rate)| *rate < 0.0).collect();
    ensure!(negative.is_empty(), "negative rates: {negative:?}");
    let gap = watch.longest_gap()?;
    ensure!(gap <= TICK_GAP_MAX, "a tick came {gap:?} after the one before");
    Ok(())
}
