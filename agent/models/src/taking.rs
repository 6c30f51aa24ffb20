//! Threads that take the same slot one after the other while another reads it, beside a planted fault.

use loom::sync::Arc;
use loom::thread;

use crate::exploring::{explore, finds};
use crate::slots::{DIGITS, Seen, Slots};

/// Two threads take the only slot, say something and give it back, while a third reads it.
fn two_threads_take_a_slot(read: fn(&Slots) -> Vec<Seen>) {
    let slots = Arc::new(Slots::new(1));
    let threads = [2_u32, 3].map(|number| {
        let slots = Arc::clone(&slots);
        thread::spawn(move || {
            let Some(taken) = slots.enter(0, number, u64::from(number)) else { return };
            slots.say_digits(&taken, &[number.to_le_bytes()[0]; DIGITS]);
            slots.leave(taken);
        })
    });
    for seen in read(&slots) {
        assert_eq!(seen.since, u64::from(seen.what), "half of two");
        assert!(seen.digits.is_none_or(|digits| digits == [seen.what.to_le_bytes()[0]; DIGITS]), "half of two");
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(slots.read().count(), 0);
}

#[test]
fn a_reader_sees_one_owner_of_a_slot_or_none() {
    explore(3, || two_threads_take_a_slot(|slots| slots.read().collect()));
}

#[test]
fn a_reader_that_does_not_look_twice_is_found() {
    finds(3, || two_threads_take_a_slot(|slots| slots.read_with_planted_fault().collect()));
}
