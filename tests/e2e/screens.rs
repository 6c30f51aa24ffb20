//! The dashboard as a person has it, on a real shop: which request is slow, what it waited for, and what failed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use heartline_tests::screen::Dashboard;
use heartline_tests::shop::{Setup, Shop};

/// A slow request must come, and be asked for.
const LIMIT: Duration = Duration::from_mins(2);

/// The percentage that stands before `what` in a line, if any.
fn share(line: &str, what: &str) -> Option<f64> {
    let before = line.split_once(what)?.0.trim_end().strip_suffix('%')?;
    before.rsplit(' ').next()?.parse().ok()
}

#[test]
fn single_requests_say_where_their_time_went() -> Result<()> {
    let shop = Shop::start(Setup::loaded("basic"))?;
    shop.fault("slow-query", true, None)?;
    let mut dashboard = Dashboard::open(shop.agent_url(), (110, 34), shop.data())?;
    let is_slow = |line: &str| line.contains(" slow ") && share(line, "SELECT").is_some_and(|share| share >= 50.0);

    dashboard.press("x")?;
    let slow = dashboard.wait_for(LIMIT, "a slow request of a query", is_slow).with_context(|| shop.report())?;
    let bar = |line: &str| line.trim_start().starts_with("SELECT ") && line.contains('█') && line.ends_with("ms");
    dashboard.wait_for(LIMIT, "the query among the spans of the selected request", bar)?;
    dashboard.press("\r")?;
    let trace = dashboard.wait_for(LIMIT, "the trace of one request", |line| line.starts_with(" trace "))?;
    let id = trace.trim().trim_start_matches("trace ");
    ensure!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{trace:?}, opened from {slow:?}");
    dashboard.press("2\r")?;
    // of a route whose slow requests are not among the slowest of all, those that are open
    dashboard.wait_for(LIMIT, "single requests in the detail of a route", |line| {
        [" slow ", " open "].iter().any(|stage| line.starts_with(stage)) && line.contains(" SELECT ")
    })?;

    shop.fault("slow-query", false, None)?;
    shop.fault("error-burst", true, None)?;
    dashboard.press("x/failed\r")?;
    dashboard.wait_for(LIMIT, "a request that failed", |line| line.contains(" failed ") && line.contains("■5"))?;
    Ok(())
}
