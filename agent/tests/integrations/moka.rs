//! A real moka cache: hits, misses and writes exactly, one miss per load however many wait, evictions by reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use heartline::Agent;
use heartline::integrations::ObservedCache;
use moka::future::Cache;
use moka::notification::RemovalCause;

use crate::readings::{agent, eventually, number};

fn result(agent: &Agent, result: &str) -> Option<f64> {
    number(
        agent,
        "heartline.cache.requests",
        &[("cache.name", "names"), ("cache.tier", "l1"), ("cache.result", result)],
    )
}

fn evicted(agent: &Agent, reason: &str) -> Option<f64> {
    number(agent, "heartline.cache.evictions", &[("cache.name", "names"), ("cache.eviction.reason", reason)])
}

fn hits_misses_writes(agent: &Agent) -> [Option<f64>; 3] {
    [result(agent, "hit"), result(agent, "miss"), number(agent, "heartline.cache.writes", &[])]
}

fn names(agent: &Agent) -> ObservedCache<u32, String> {
    agent.moka("names", "l1").build(Cache::builder().max_capacity(1_000))
}

#[tokio::test]
async fn look_ups_writes_and_evictions_are_counted_exactly() {
    let agent = agent();
    let names = names(&agent);
    assert_eq!(hits_misses_writes(&agent), [Some(0.0); 3]);
    for key in 0..100 {
        assert_eq!(names.get(&key).await, None);
        names.insert(key, key.to_string()).await;
    }
    for key in 0..150 {
        assert_eq!(names.get(&key).await.is_some(), key < 100);
    }
    assert_eq!(hits_misses_writes(&agent), [Some(100.0), Some(150.0), Some(100.0)]);

    names.insert(7, "seven".to_owned()).await;
    names.invalidate(&8).await;
    assert_eq!(names.remove(&9).await.as_deref(), Some("9"));
    names.invalidate(&999).await;
    names.cache().run_pending_tasks().await;
    assert_eq!((evicted(&agent, "replaced"), evicted(&agent, "explicit")), (Some(1.0), Some(2.0)));
    names.invalidate_all();
    names.cache().run_pending_tasks().await;
    assert_eq!(evicted(&agent, "explicit"), Some(100.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stampede_that_shares_one_load_is_one_miss() {
    let agent = agent();
    let names = names(&agent);
    let (loads, asking) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let caller = async |names: ObservedCache<u32, String>, loads: Arc<AtomicUsize>, asking: Arc<AtomicUsize>| {
        asking.fetch_add(1, Ordering::Relaxed);
        let load = async {
            loads.fetch_add(1, Ordering::Relaxed);
            while asking.load(Ordering::Relaxed) < 64 {
                tokio::task::yield_now().await;
            }
            "one".to_owned()
        };
        names.get_with(1, load).await
    };
    let callers = (0..64).map(|_| tokio::spawn(caller(names.clone(), Arc::clone(&loads), Arc::clone(&asking))));
    let callers: Vec<_> = callers.collect();
    for caller in callers {
        let value = tokio::time::timeout(Duration::from_secs(10), caller).await.expect("all callers ask");
        assert_eq!(value.unwrap(), "one");
    }
    assert_eq!(loads.load(Ordering::Relaxed), 1);
    assert_eq!(hits_misses_writes(&agent), [Some(63.0), Some(1.0), Some(1.0)]);
}

#[tokio::test]
async fn a_load_that_fails_or_finds_nothing_is_a_miss_without_a_write_and_one_that_is_dropped_too() {
    let agent = agent();
    let names = names(&agent);
    for _ in 0..3 {
        assert_eq!(*names.try_get_with(1, async { Err::<String, _>("away") }).await.unwrap_err(), "away");
        assert_eq!(names.optionally_get_with(2, async { None }).await, None);
    }
    assert_eq!(hits_misses_writes(&agent), [Some(0.0), Some(6.0), Some(0.0)]);
    let given_up = tokio::time::timeout(Duration::from_millis(5), names.get_with(3, std::future::pending()));
    assert!(given_up.await.is_err());
    assert_eq!(result(&agent, "miss"), Some(7.0));
    assert_eq!(names.try_get_with(1, async { Ok::<_, ()>("one".to_owned()) }).await.as_deref(), Ok("one"));
    assert_eq!(names.try_get_with(1, async { Err::<String, _>(()) }).await.as_deref(), Ok("one"));
    assert_eq!(hits_misses_writes(&agent), [Some(1.0), Some(8.0), Some(1.0)]);
}

#[tokio::test]
async fn size_and_limit_are_shown_in_bytes_and_a_full_cache_evicts_by_size() {
    let agent = agent();
    let heard = Arc::new(AtomicUsize::new(0));
    let listener = Arc::clone(&heard);
    let builder = Cache::builder()
        .max_capacity(10_000)
        .weigher(|_: &u32, text: &String| u32::try_from(text.len()).unwrap_or(u32::MAX));
    let names = agent.moka("names", "l1").weighed_in_bytes().build_with(builder, move |_, _, cause| {
        assert_eq!(cause, RemovalCause::Size);
        listener.fetch_add(1, Ordering::Relaxed);
    });
    for key in 0..100 {
        names.insert(key, "x".repeat(1_000)).await;
    }
    names.cache().run_pending_tasks().await;
    let kept = names.cache().entry_count();
    assert!(kept <= 10, "{kept}");
    eventually("the figures are there", async || {
        number(&agent, "heartline.cache.limit", &[]) == Some(10_000.0)
            && number(&agent, "heartline.cache.entry.count", &[]) == Some(kept as f64)
            && number(&agent, "heartline.cache.size", &[]) == Some(kept as f64 * 1_000.0)
    })
    .await;
    assert_eq!(evicted(&agent, "size"), Some(100.0 - kept as f64));
    assert_eq!(heard.load(Ordering::Relaxed) as u64, 100 - kept);
}

#[tokio::test]
async fn entries_expire_by_time_and_a_dropped_cache_has_none() {
    let agent = agent();
    let builder = Cache::builder().time_to_live(Duration::from_millis(10));
    let names: ObservedCache<u32, String> = agent.moka("names", "l1").build(builder);
    names.insert(1, "one".to_owned()).await;
    eventually("the entry expires", async || {
        names.cache().run_pending_tasks().await;
        evicted(&agent, "expired") == Some(1.0)
    })
    .await;
    eventually("a cache that is there has a size", async || {
        number(&agent, "heartline.cache.entry.count", &[]) == Some(0.0)
    })
    .await;
    drop(names);
    eventually("a cache that is gone has none", async || number(&agent, "heartline.cache.entry.count", &[]).is_none())
        .await;
}
