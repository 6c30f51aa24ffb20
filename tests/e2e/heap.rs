//! Leaks of a share of what the shop holds, under load, beside memory that grows and does not leak: the verdicts of the agent in
//! the shop, and whether it names the function that leaks with its growth. The shop's agent suspects growth that lasted 45
//! seconds, which stand for the eight hours that an agent waits unless told otherwise: an hour is 5.6 seconds here.
//!
//! One leak as part of `./test`; `HEARTLINE_SHOP_HEAP_RUNS=10 ./test e2e heap` runs all that is here ten times, in some hours.
#![expect(clippy::print_stdout, reason = "the figures that were reached are part of the result")]

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use heartline_shared::snapshot::{HeapVerdict, Leak};
use heartline_tests::shop::{Setup, Shop};
use heartline_tests::waiting::wait_until;

/// An hour of a service whose agent has the patience of eight.
const HOUR: Duration = Duration::from_millis(45_000 / 8);
/// Until caches and pools have their size and what grows is what is looked for.
const WARM: Duration = Duration::from_secs(40);
const LIMIT: Duration = Duration::from_mins(1);
/// The function of the shop that leaks.
const LEAKING: &str = "leak_session_records";

fn runs() -> Result<Option<u64>> {
    std::env::var("HEARTLINE_SHOP_HEAP_RUNS").ok().map(|runs| runs.parse()).transpose().context("the number of runs")
}

fn verdict(shop: &Shop) -> Result<HeapVerdict> {
    shop.snapshot()?.heap.context("the agent judges the heap")
}

/// Which leaks, and how well their growth must be known.
struct Leaks {
    /// In percent an hour, with the hours that each may take.
    rates: &'static [(f64, u32)],
    runs: u64,
    /// MiB that the shop holds beside what it needs.
    held: &'static str,
    /// A growth is looked at once its interval is no wider than this share of it to either side.
    known_within: f64,
    /// And right with such an error.
    right: RangeInclusive<f64>,
}

impl Leaks {
    /// One that is waited for as long as `./test` can.
    const SOON: Self = Self { rates: &[(10.0, 60)], runs: 1, held: "0", known_within: 0.6, right: -0.5..=1.0 };

    /// All of them; where leaks are one in a thousand an hour, what is held must be more than a few samples of 256 KiB.
    const fn all(runs: u64) -> Self {
        let rates = &[(10.0, 60), (1.0, 120), (0.1, 480)];
        Self { rates, runs, held: "192", known_within: 0.2, right: -0.3..=0.3 }
    }
}

/// A shop under load, when it has been for a while.
fn warm(profile: &str, held: &str) -> Result<Shop> {
    let mut setup = Setup::loaded(profile);
    setup.arguments.extend(["--hold", held].map(str::to_owned));
    let shop = Shop::start(setup)?;
    let begun = quanta::Instant::now();
    wait_until(WARM + LIMIT, "the shop to be warm", || Ok((begun.elapsed() > WARM).then_some(())))?;
    Ok(shop)
}

/// What came of a leak: after how many hours it was suspected and a function was named, and the error of the growth that this is
/// said to have; `None` when another function stands first.
struct Found {
    suspected: f64,
    known: f64,
    error: Option<f64>,
}

/// Leaks so many percent of what the shop holds in an hour, until a function's growth is known well enough.
fn leak(percent: f64, hours_max: u32, leaks: &Leaks) -> Result<Found> {
    let shop = warm("basic", leaks.held)?;
    let snapshot = shop.snapshot()?;
    let held = snapshot.family("jemalloc.allocated").and_then(|family| Some(family.numbers.first()?.value));
    let truth = held.context("what is allocated is known")? * percent / 100.0 / HOUR.as_secs_f64();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of a second")]
    shop.fault("heap-leak", true, Some(truth as u64))?;
    let begun = quanta::Instant::now();
    let hours = || begun.elapsed().as_secs_f64() / HOUR.as_secs_f64();
    let limit = HOUR * hours_max;
    wait_until(limit, "the leak to be suspected", || Ok((verdict(&shop)?.leak == Leak::Suspected).then_some(())))?;
    let suspected = hours();
    let mut seen = None;
    let first = wait_until(limit, "the growth of a call site", || {
        let sites = verdict(&shop)?.sites.context("call sites are sampled")?;
        seen = sites.sites.first().cloned();
        let Some(site) = sites.sites.first().filter(|site| site.growing) else { return Ok(None) };
        let Some((growth, [low, high])) = site.growth_bytes_per_second.zip(site.growth_interval) else {
            return Ok(None);
        };
        let known = low > (1.0 - leaks.known_within) * growth && high < (1.0 + leaks.known_within) * growth;
        Ok(known.then(|| (site.function.clone(), growth)))
    });
    let first = first.with_context(|| format!("{truth:.0} B/s leak, and the first site was {seen:?}"))?;
    let error = first.0.contains(LEAKING).then(|| first.1 / truth - 1.0);
    Ok(Found { suspected, known: hours(), error })
}

fn tell(percent: f64, found: &Found) {
    let function = found.error.map_or("another function".to_owned(), |it| format!("{LEAKING}, {:+.0} %", 100.0 * it));
    println!(
        "{percent} % an hour: suspected after {:.1} h; first after {:.1} h: {function}",
        found.suspected, found.known
    );
}

/// With this load and fault, or none, nothing is suspected in so many hours.
fn innocent(name: &str, profile: &str, fault: Option<&str>, hours: u32) -> Result<()> {
    let shop = Shop::start(Setup::loaded(profile))?;
    let begun = quanta::Instant::now();
    if let Some(fault) = fault {
        shop.fault(fault, true, None)?;
    }
    let suspected = wait_until(HOUR * hours + LIMIT, "the end of the run", || {
        let verdict = verdict(&shop)?;
        let is_suspected = verdict.leak == Leak::Suspected;
        Ok((is_suspected || begun.elapsed() > HOUR * hours).then_some(is_suspected.then_some(verdict)))
    })?;
    ensure!(suspected.is_none(), "{name} was called a leak: {suspected:?}");
    println!("{name}: nothing suspected in {hours} h");
    Ok(())
}

#[test]
fn a_leak_in_the_heap_of_the_shop_is_suspected_and_the_leaking_function_named_with_its_growth() -> Result<()> {
    let (mut named, mut right, mut all) = (0, 0, 0);
    let leaks = runs()?.map_or(Leaks::SOON, Leaks::all);
    for &(percent, hours_max) in leaks.rates {
        for _ in 0..leaks.runs {
            let found = leak(percent, hours_max, &leaks).with_context(|| format!("{percent} % an hour"))?;
            tell(percent, &found);
            all += 1;
            named += u64::from(found.error.is_some());
            right += u64::from(found.error.is_some_and(|error| leaks.right.contains(&error)));
        }
    }
    println!("the leaking function is first in {named} of {all}, with its growth right in {right}");
    // one in ten; samples are left to chance
    ensure!(10 * named >= 9 * all && 10 * right >= 9 * all, "{named} and {right} of {all}");
    Ok(())
}

#[test]
fn a_heap_of_the_shop_that_grows_without_leaking_is_not_suspected() -> Result<()> {
    let Some(runs) = runs()? else { return innocent("warm-up", "basic", None, 12) };
    for _ in 0..runs {
        innocent("warm-up", "basic", None, 30)?;
        innocent("a cache that fills", "basic", Some("cache-fill"), 30)?;
        innocent("a load ramp", "stress", None, 30)?;
        innocent("a batch", "basic", Some("queue-backlog"), 30)?;
        innocent("fragmentation", "basic", Some("fragmentation"), 30)?;
    }
    Ok(())
}
