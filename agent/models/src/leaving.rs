//! A door that is closed while others come in, beside a planted fault: nobody uses what was taken away.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::door::Door;
use crate::exploring::{explore, finds};

/// Stands for memory: true once it was given back.
type Gone = AtomicBool;

fn two_come_in_while_it_is_closed(close: fn(&Door<Gone>) -> bool) {
    let (door, value) = (Arc::new(Door::closed()), Arc::new(Gone::new(false)));
    door.open(&value);
    let visitors = [(); 2].map(|()| {
        let door = Arc::clone(&door);
        thread::spawn(move || door.enter(|gone| assert!(!gone.load(Ordering::Relaxed), "it was taken away")))
    });
    if close(&door) {
        value.store(true, Ordering::Relaxed);
    }
    visitors.into_iter().for_each(|visitor| visitor.join().unwrap());
    let mut let_in = false;
    door.enter(|_| let_in = true);
    assert!(!let_in, "it is closed");
}

fn waiting() -> bool {
    thread::yield_now();
    true
}

#[test]
fn what_is_behind_a_door_is_there_for_all_who_came_in() {
    explore(3, || two_come_in_while_it_is_closed(|door| door.close(waiting)));
}

#[test]
fn a_door_that_is_closed_without_looking_is_found() {
    finds(2, || two_come_in_while_it_is_closed(|door| door.close_with_planted_fault(waiting)));
}
