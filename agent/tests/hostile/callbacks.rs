//! Callbacks of the host that panic, hang for ever, or call back into the agent.

use std::time::Duration;

use super::client::{ask, scrape, slowest};
use super::host::Host;

#[test]
#[ignore = "measures; ./test hostile runs it"]
fn callbacks_that_misbehave_delay_no_scrape_and_end_after_three_strikes() {
    let host = Host::start("callbacks");
    let scrapes = scrape(host.address, "/metrics", 120, Duration::from_millis(100));
    let slowest = slowest(&scrapes);
    println!("slowest scrape {slowest:?}");
    assert!(slowest.is_some_and(|slowest| slowest < Duration::from_millis(600)), "{scrapes:?}");
    let (_, page, _) = ask(host.address, "GET /metrics", Duration::from_secs(5)).unwrap();
    let failures = |callback: &str| -> f64 {
        let label = format!("heartline_callback_failures_total{{callback=\"{callback}\"}} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&label));
        line.unwrap_or_else(|| panic!("{label} is not on the page:\n{page}")).parse().unwrap()
    };
    assert_eq!((failures("pool panics"), failures("pool hangs"), failures("pool calls back")), (3.0, 3.0, 0.0));
    assert!(failures("health check panics") >= 3.0);
    let answered = page.lines().any(|line| line.starts_with("inside_calls_total ") && !line.ends_with(" 0"));
    assert!(answered, "the callback that calls back was called");
}
