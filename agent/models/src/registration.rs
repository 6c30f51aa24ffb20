//! Threads that make the same series at the same moment: the map without locks that they find it in, and the budget that
//! they take it from, each beside a planted fault.

use loom::sync::Arc;
use loom::thread;

use crate::append_map::AppendMap;
use crate::exploring::{explore, finds};
use crate::recording::Budget;

type Map = AppendMap<u64, u64>;

/// Two threads insert the same two keys, in opposite order, while a third looks on.
fn threads_insert_the_same_keys(insert: fn(&Map, u64, u64) -> u64) {
    let map = Arc::new(Map::for_about(1)); // one chain
    let threads = [[1, 2], [2, 1]].map(|keys| {
        let map = Arc::clone(&map);
        thread::spawn(move || keys.map(|key| (key, insert(&map, key, key * 10 + keys[0]))))
    });
    let seen = [1, 2].map(|key| map.get(&key).copied());
    let listed: Vec<(u64, u64)> = map.iter().map(|(key, value)| (*key, *value)).collect();
    let got = threads.map(|thread| thread.join().unwrap());
    for (key, value) in got.into_iter().flatten().chain(listed) {
        assert_eq!(map.get(&key), Some(&value), "threads have different values of key {key}");
    }
    for (key, value) in [1, 2].into_iter().zip(seen) {
        assert!(value.is_none() || map.get(&key) == value.as_ref(), "the value of key {key} changed");
    }
    assert_eq!((map.len(), map.iter().count()), (2, 2), "a key occurs twice or is lost");
}

#[test]
fn threads_that_insert_the_same_keys_agree_on_one_value_each() {
    explore(3, || threads_insert_the_same_keys(|map, key, value| *map.get_or_insert_with(&key, || value)));
}

#[test]
fn a_key_that_two_threads_insert_twice_is_found() {
    finds(2, || threads_insert_the_same_keys(|map, key, value| *map.insert_with_planted_fault(key, value)));
}

/// Three threads want series of which two fit.
fn threads_share_a_budget(admit: fn(&Budget, usize, usize) -> bool) {
    let budget = Arc::new(Budget::new(1_000));
    let threads = [(); 2].map(|()| {
        let budget = Arc::clone(&budget);
        thread::spawn(move || usize::from(admit(&budget, 300, 150)))
    });
    let ours = usize::from(admit(&budget, 300, 150));
    let admitted = ours + threads.map(|thread| thread.join().unwrap()).into_iter().sum::<usize>();
    assert_eq!((admitted, budget.held()), (2, 600));
    budget.draw(150);
    assert!(!admit(&budget, 101, 0) && admit(&budget, 100, 0), "what was reserved is not for others");
}

#[test]
fn a_budget_admits_what_fits_however_many_ask_at_once() {
    explore(3, || threads_share_a_budget(Budget::admit));
}

#[test]
fn a_budget_that_two_threads_overdraw_is_found() {
    finds(2, || threads_share_a_budget(Budget::admit_with_planted_fault));
}
