//! A slot that changes hands while another thread reads it, beside a planted fault, and threads that want the same slot.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::exploring::{explore, finds};
use crate::slots::{DIGITS, Seen, Slots, Taken};

fn take(slots: &Slots, number: u32) -> Option<Taken> {
    let taken = slots.enter(0, number, u64::from(number))?;
    slots.say_digits(&taken, &[number.to_le_bytes()[0]; DIGITS]);
    Some(taken)
}

/// The only slot is given back and taken again while another thread reads it.
fn a_slot_changes_hands(read: fn(&Slots) -> Vec<Seen>) {
    let slots = Arc::new(Slots::new(1));
    let first = take(&slots, 2).expect("it is free");
    let reader = {
        let slots = Arc::clone(&slots);
        thread::spawn(move || {
            for seen in read(&slots) {
                assert_eq!(seen.since, u64::from(seen.what), "half of two");
                let digits = [seen.what.to_le_bytes()[0]; DIGITS];
                assert!(seen.digits.is_none_or(|seen| seen == digits), "half of two");
            }
        })
    };
    slots.leave(first);
    let second = take(&slots, 3).expect("it is free again");
    reader.join().unwrap();
    slots.leave(second);
    assert_eq!(slots.read().count(), 0);
}

#[test]
fn a_reader_sees_one_owner_of_a_slot_or_none() {
    explore(3, || a_slot_changes_hands(|slots| slots.read().collect()));
}

#[test]
fn a_reader_that_does_not_look_twice_is_found() {
    finds(2, || a_slot_changes_hands(|slots| slots.read_with_planted_fault().collect()));
}

#[test]
fn two_threads_that_want_a_slot_never_both_have_it() {
    explore(3, || {
        let (slots, owners) = (Arc::new(Slots::new(1)), Arc::new(AtomicUsize::new(0)));
        let threads = [2, 3].map(|number| {
            let (slots, owners) = (Arc::clone(&slots), Arc::clone(&owners));
            thread::spawn(move || {
                let Some(taken) = take(&slots, number) else { return };
                assert_eq!(owners.fetch_add(1, Ordering::Relaxed), 0, "two have it");
                owners.fetch_sub(1, Ordering::Relaxed);
                slots.leave(taken);
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(slots.read().count(), 0);
    });
}
