//! Every fault an engineer can switch on makes the alert fire that is meant for it, no other critical one, and the
//! alert goes away with the fault. The rules are the shipped ones on a shorter clock.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use heartline_tests::alert_rules;
use heartline_tests::shop::{Setup, Shop};
use heartline_tests::ticks::{Alert, Tick, Watch};

/// Five minutes of the shipped rules are ten seconds here.
const FACTOR: u32 = 30;

/// Enough for every window to fill and every wait to pass on the shorter clock.
const LIMIT: Duration = Duration::from_mins(4);

/// Faults that make requests slower, though not so slow that somebody is to be called for it.
const SLOWING: [&str; 4] = ["slow-query", "n-plus-one", "pool-exhaustion", "cache-stampede"];

/// What a drill saw, from the calm before the fault to after the alert was over.
struct Drill {
    fault: &'static str,
    ticks: Vec<Tick>,
}

/// Switches `fault` on under load, waits for `alert`, switches it off and waits for the alert to be over.
fn drill(fault: &'static str, value: Option<u64>, alert: &str) -> Result<Drill> {
    let shop = Shop::start(Setup::loaded("basic"))?;
    let rules = shop.data().join("alerts.toml");
    alert_rules::write_scaled(FACTOR, &rules)?;
    let mut watch = Watch::start(shop.agent_url(), &rules)?;
    let is_calm =
        |tick: &Tick| is_busy(tick) && !tick.fires(alert) && !tick.alerts.iter().any(|row| is_critical(row, fault));
    let calm = watch.wait_for(LIMIT, "a calm shop under load", is_calm).with_context(|| shop.report())?;
    shop.fault(fault, true, value)?;
    watch.wait_for(LIMIT, &format!("{alert} to fire"), |tick| tick.fires(alert)).with_context(|| shop.report())?;
    shop.fault(fault, false, None)?;
    watch.wait_for(LIMIT, &format!("{alert} to be over"), |tick| !tick.fires(alert)).with_context(|| shop.report())?;
    // while the shop starts and warms up, other rules may hold
    let ticks = watch.ticks()?.iter().skip_while(|tick| tick.ts_ms < calm.ts_ms).cloned().collect();
    let drill = Drill { fault, ticks };
    ensure!(drill.others_critical(alert).is_empty(), "other critical alerts: {:?}", drill.others_critical(alert));
    Ok(drill)
}

fn is_busy(tick: &Tick) -> bool {
    tick.targets.iter().any(|target| target.requests.rate.is_some_and(|rate| rate > 50.0))
}

/// Whether it calls somebody, and `fault` could be why.
fn is_critical(alert: &Alert, fault: &str) -> bool {
    alert.is_firing() && alert.level.as_deref() == Some("critical") && could_be_due_to(fault, alert)
}

/// Not where it says how fast this machine is: one that is busy with other tests takes longer for everything, and that is no
/// mistake of a rule. No fault here is about the processor, and some are about no request's duration either.
fn could_be_due_to(fault: &str, alert: &Alert) -> bool {
    match alert.name.as_str() {
        "CpuUtilization" | "RuntimeStall" => false,
        "HttpLatencyP95" => SLOWING.contains(&fault),
        _ => true,
    }
}

impl Drill {
    /// Critical alerts other than the one that was meant, each once.
    fn others_critical(&self, meant: &str) -> Vec<String> {
        let rows = self.ticks.iter().flat_map(|tick| &tick.alerts);
        let others = rows.filter(|row| is_critical(row, self.fault) && row.name != meant);
        let mut names: Vec<String> = others.map(|row| format!("{} ({:?})", row.name, row.value)).collect();
        names.sort();
        names.dedup();
        names
    }
}

#[test]
fn slow_queries_are_called_slow_queries() -> Result<()> {
    drill("slow-query", None, "DbSlowQueries").map(drop)
}

#[test]
fn a_query_in_a_loop_is_called_queries_per_request() -> Result<()> {
    drill("n-plus-one", None, "QueriesPerRequest").map(drop)
}

#[test]
fn an_exhausted_pool_is_called_pool_utilization() -> Result<()> {
    drill("pool-exhaustion", None, "DbPoolUtilization").map(drop)
}

#[test]
fn a_cache_stampede_is_called_a_low_hit_ratio() -> Result<()> {
    drill("cache-stampede", None, "CacheHitRatio").map(drop)
}

#[test]
fn a_backlog_is_called_queue_depth() -> Result<()> {
    drill("queue-backlog", None, "QueueDepth").map(drop)
}

#[test]
fn a_burst_of_errors_is_called_an_error_ratio() -> Result<()> {
    drill("error-burst", None, "HttpErrorRatio").map(drop)
}

#[test]
fn a_leak_is_called_a_leak() -> Result<()> {
    drill("heap-leak", Some(4 << 20), "HeapLeakSuspected").map(drop)
}

#[test]
fn a_cache_that_fills_is_called_full_and_not_a_leak() -> Result<()> {
    let drill = drill("cache-fill", None, "CacheFull")?;
    let mistaken = drill.ticks.iter().find(|tick| tick.fires("HeapLeakSuspected"));
    ensure!(mistaken.is_none(), "a bounded cache was called a leak");
    Ok(())
}

/// Resident and allocated bytes, where both are known.
fn memory(tick: &Tick) -> Option<[f64; 2]> {
    let heap = &tick.targets.first()?.heap;
    Some([heap.resident_bytes?, heap.allocated_bytes?])
}

#[test]
fn fragmentation_grows_resident_memory_alone_and_is_not_called_a_leak() -> Result<()> {
    const GROWN_BYTES: f64 = 80.0 * 1_048_576.0;
    let shop = Shop::start(Setup::loaded("basic"))?;
    let rules = shop.data().join("alerts.toml");
    alert_rules::write_scaled(FACTOR, &rules)?;
    let mut watch = Watch::start(shop.agent_url(), &rules)?;
    let calm = |tick: &Tick| is_busy(tick) && memory(tick).is_some();
    let before = watch.wait_for(LIMIT, "a calm shop under load", calm).with_context(|| shop.report())?;
    let [resident_before, used_before] = memory(&before).context("the memory of the shop is known")?;
    shop.fault("fragmentation", true, None)?;
    let fragmented = |tick: &Tick| memory(tick).is_some_and(|[resident, _]| resident > resident_before + GROWN_BYTES);
    let after = watch.wait_for(LIMIT, "resident memory to grow", fragmented).with_context(|| shop.report())?;
    let [resident_after, used_after] = memory(&after).context("the memory of the shop is known")?;
    let [resident, allocated] = [resident_after - resident_before, used_after - used_before];
    ensure!(allocated < 0.5 * resident, "{allocated} bytes more are allocated, {resident} more resident");
    shop.fault("fragmentation", false, None)?;
    let mistaken = watch.ticks()?.iter().find(|tick| tick.fires("HeapLeakSuspected"));
    ensure!(mistaken.is_none(), "fragmentation was called a leak");
    Ok(())
}

#[test]
fn a_payment_outage_opens_the_circuit_and_requests_go_on() -> Result<()> {
    drill("payment-outage", None, "CircuitOpen").map(drop)
}
