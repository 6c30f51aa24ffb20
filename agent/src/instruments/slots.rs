//! HOT: what is going on right now, one by one: a fixed number of slots that threads of the host take and give back without
//! a lock. A slot holds numbers and two short texts; what they mean is not known here.

use std::num::NonZeroU32;

use crate::recording::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Slots that anything may take.
pub(crate) const COMMON_SLOTS: usize = 1_024;
/// Slots beside them that only those may take who found none at first and are still there a while later: a flood of short
/// ones does not hide a long one.
pub(crate) const LATE_SLOTS: usize = 128;
/// Both together, as an agent has them.
pub(crate) const ALL_SLOTS: usize = COMMON_SLOTS + LATE_SLOTS;
/// How many slots someone who arrives looks at.
pub(crate) const LOOKS: u32 = 8;
/// Bytes of the longer text; the rest is cut off.
pub(crate) const NAME_BYTES: usize = 40;
/// Bytes of the text of a fixed length.
pub(crate) const DIGITS: usize = 32;

/// Values of `since` that are no time.
const FREE: u64 = 0;
const FILLING: u64 = 1;
/// The bit of `marks` that says that the digits are there; the lowest byte is the length of the name.
const HAS_DIGITS: u32 = 1 << 8;

/// The slots.
#[derive(Debug)]
pub(crate) struct Slots(Box<[Slot]>);

/// A slot that was taken, counted from 1. Whoever has it gives it back with [`Slots::leave`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken(NonZeroU32);

/// What a reader saw in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// As it was given, and at least 2.
    pub(crate) since: u64,
    pub(crate) what: u32,
    pub(crate) digits: Option<[u8; DIGITS]>,
    name: [u8; NAME_BYTES],
    name_length: u8,
}

#[derive(Debug)]
struct Slot {
    since: AtomicU64,
    what: AtomicU32,
    marks: AtomicU32,
    digits: [AtomicU64; DIGITS / 8],
    name: [AtomicU64; NAME_BYTES / 8],
}

impl Slots {
    /// Bytes of all slots.
    pub(crate) const BYTES: usize = ALL_SLOTS * size_of::<Slot>();

    /// So many free ones: [`ALL_SLOTS`], or a power of two that is smaller.
    pub(crate) fn new(slots: usize) -> Self {
        Self((0..slots).map(|_| Slot::new()).collect())
    }

    /// Takes one of the common slots, looking at a few from `near` on; `None` when all of these are taken. Cost: one
    /// compare and exchange, three stores.
    #[inline]
    pub(crate) fn enter(&self, near: u32, what: u32, since: u64) -> Option<Taken> {
        let mask = self.0.len().min(COMMON_SLOTS) - 1;
        self.take(near as usize & mask, what, since).or_else(|| self.enter_beside((near, mask), what, since))
    }

    #[cold]
    fn enter_beside(&self, (near, mask): (u32, usize), what: u32, since: u64) -> Option<Taken> {
        (1..LOOKS).find_map(|step| self.take(near.wrapping_add(step) as usize & mask, what, since))
    }

    /// Takes any slot, for one that found none when it came and is still there. Cost: looks at all slots.
    #[cold]
    pub(crate) fn enter_late(&self, what: u32, since: u64) -> Option<Taken> {
        (0..self.0.len()).rev().find_map(|at| self.take(at, what, since))
    }

    #[inline]
    fn take(&self, at: usize, what: u32, since: u64) -> Option<Taken> {
        let slot = self.0.get(at)?;
        if slot.since.load(Ordering::Relaxed) != FREE {
            return None;
        }
        slot.since.compare_exchange(FREE, FILLING, Ordering::Acquire, Ordering::Relaxed).ok()?;
        // a reader that sees what is written below sees that the time before it is gone
        fence(Ordering::Release);
        slot.what.store(what, Ordering::Relaxed);
        slot.marks.store(0, Ordering::Relaxed);
        slot.since.store(since.max(FILLING + 1), Ordering::Release);
        u32::try_from(at + 1).ok().and_then(NonZeroU32::new).map(Taken)
    }

    /// Gives a slot back. Cost: one store.
    #[inline]
    #[expect(clippy::needless_pass_by_value, reason = "who gives it back has it no more")]
    pub(crate) fn leave(&self, taken: Taken) {
        if let Some(slot) = self.slot(&taken) {
            slot.since.store(FREE, Ordering::Release);
        }
    }

    /// Adds the text of a fixed length, once. Cost: five stores.
    #[inline]
    pub(crate) fn say_digits(&self, taken: &Taken, digits: &[u8; DIGITS]) {
        let Some(slot) = self.slot(taken) else { return };
        let marks = slot.marks.load(Ordering::Relaxed);
        if marks & HAS_DIGITS == 0 {
            write(&slot.digits, digits);
            slot.marks.store(marks | HAS_DIGITS, Ordering::Release);
        }
    }

    /// Adds the longer text, once; what does not fit is cut off at a character. Cost: six stores at most.
    pub(crate) fn say_name(&self, taken: &Taken, name: &str) {
        let Some(slot) = self.slot(taken) else { return };
        let marks = slot.marks.load(Ordering::Relaxed);
        let name = &name[..name.floor_char_boundary(NAME_BYTES)];
        let length = u32::try_from(name.len()).unwrap_or(0);
        if marks.to_le_bytes()[0] == 0 && length > 0 {
            write(&slot.name, name.as_bytes());
            slot.marks.store(marks | length, Ordering::Release);
        }
    }

    /// The name that was said in a slot that is taken.
    pub(crate) fn name(&self, taken: &Taken) -> Option<Seen> {
        self.slot(taken)?.read()
    }

    #[inline]
    fn slot(&self, taken: &Taken) -> Option<&Slot> {
        self.0.get(taken.place() as usize)
    }

    /// What is in the slots, in no order. One that changed hands while it was read is left out.
    pub(crate) fn read(&self) -> impl Iterator<Item = Seen> {
        self.0.iter().filter_map(Slot::read)
    }
}

impl Taken {
    /// Which slot it is: near which to look next time.
    #[inline]
    pub(crate) fn place(&self) -> u32 {
        self.0.get() - 1
    }
}

impl Seen {
    /// The longer text; `None` when nothing was said.
    pub(crate) fn name(&self) -> Option<&str> {
        let name = std::str::from_utf8(self.name.get(..usize::from(self.name_length))?).ok()?;
        (!name.is_empty()).then_some(name)
    }
}

impl Slot {
    fn new() -> Self {
        Self {
            since: AtomicU64::new(FREE),
            what: AtomicU32::new(0),
            marks: AtomicU32::new(0),
            digits: std::array::from_fn(|_| AtomicU64::new(0)),
            name: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    fn read(&self) -> Option<Seen> {
        let seen = self.read_unchecked()?;
        fence(Ordering::Acquire);
        (self.since.load(Ordering::Relaxed) == seen.since).then_some(seen)
    }

    /// What may be of two who had the slot one after the other.
    fn read_unchecked(&self) -> Option<Seen> {
        let since = self.since.load(Ordering::Acquire);
        if since <= FILLING {
            return None;
        }
        let what = self.what.load(Ordering::Relaxed);
        let marks = self.marks.load(Ordering::Acquire);
        let [name_length, ..] = marks.to_le_bytes();
        let digits = (marks & HAS_DIGITS != 0).then(|| read(&self.digits));
        let name = if name_length > 0 { read(&self.name) } else { [0; NAME_BYTES] };
        Some(Seen { since, what, digits, name, name_length })
    }

    /// The fault that the model of this slot must find: it is not looked whether the slot changed hands.
    #[cfg(heartline_loom)]
    pub(crate) fn read_with_planted_fault(&self) -> Option<Seen> {
        self.read_unchecked()
    }
}

#[cfg(heartline_loom)]
impl Slots {
    /// See [`Slot::read_with_planted_fault`].
    pub(crate) fn read_with_planted_fault(&self) -> impl Iterator<Item = Seen> {
        self.0.iter().filter_map(Slot::read_with_planted_fault)
    }
}

fn write(words: &[AtomicU64], bytes: &[u8]) {
    for (word, bytes) in words.iter().zip(bytes.chunks(8)) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
    }
}

fn read<const BYTES: usize>(words: &[AtomicU64]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (word, bytes) in words.iter().zip(bytes.chunks_mut(8)) {
        bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes()[..bytes.len()]);
    }
    bytes
}

#[cfg(all(test, not(heartline_loom)))]
mod tests {
    use super::*;

    const HEX: [u8; DIGITS] = *b"0123456789abcdef0123456789abcdef";

    #[test]
    fn a_slot_shows_what_was_said_until_it_is_given_back() {
        let slots = Slots::new(ALL_SLOTS);
        let taken = slots.enter(5, 7, 100).unwrap();
        slots.say_digits(&taken, &HEX);
        slots.say_name(&taken, "é".repeat(NAME_BYTES).as_str());
        let seen: Vec<Seen> = slots.read().collect();
        assert_eq!((seen.len(), seen[0].what, seen[0].since), (1, 7, 100));
        assert_eq!((seen[0].digits, seen[0].name()), (Some(HEX), Some("é".repeat(NAME_BYTES / 2).as_str())));
        slots.say_name(&taken, "a second name");
        assert_eq!(slots.name(&taken).map(|seen| seen.name_length), Some(40));
        slots.leave(taken);
        assert_eq!(slots.read().count(), 0);
        let next = slots.enter(5, 8, 200).unwrap();
        let seen = slots.name(&next).unwrap();
        assert_eq!((seen.what, seen.digits, seen.name()), (8, None, None));
    }

    #[test]
    fn a_flood_of_short_ones_neither_evicts_a_long_one_nor_takes_the_room_of_late_ones() {
        let slots = Slots::new(ALL_SLOTS);
        let long = slots.enter(0, 1, 10).unwrap();
        let flood: Vec<Taken> = (0..10_000).filter_map(|at| slots.enter(at, 2, 20)).collect();
        assert_eq!(flood.len(), COMMON_SLOTS - 1);
        let late = slots.enter_late(3, 11).unwrap();
        let whats = |wanted| slots.read().filter(|seen| seen.what == wanted).count();
        assert_eq!((whats(1), whats(2), whats(3)), (1, COMMON_SLOTS - 1, 1));
        let more: Vec<Taken> = (0..1_000).filter_map(|_| slots.enter_late(3, 30)).collect();
        assert_eq!(more.len(), LATE_SLOTS - 1);
        slots.leave(long);
        slots.leave(late);
        assert_eq!((whats(1), whats(3)), (0, LATE_SLOTS - 1));
    }

    fn digit(what: u32) -> u8 {
        what.to_le_bytes()[0]
    }

    fn take_again_and_again(slots: &Slots, thread: u64) {
        for round in 0..50_000_u64 {
            let number = round * 4 + thread * 2;
            let what = u32::try_from(number % 1_000_000).expect("it is small");
            let Some(taken) = slots.enter(0, what, number) else { continue };
            slots.say_digits(&taken, &[digit(what); DIGITS]);
            let own = slots.name(&taken).expect("it is taken");
            assert_eq!((own.since, own.what), (number.max(2), what));
            slots.leave(taken);
        }
    }

    #[test]
    fn threads_never_share_a_slot_and_readers_never_see_half_of_two() {
        let slots = Slots::new(16);
        std::thread::scope(|threads| {
            for thread in 1..=2 {
                let slots = &slots;
                threads.spawn(move || take_again_and_again(slots, thread));
            }
            for seen in (0..20_000).flat_map(|_| slots.read()) {
                assert!(u64::from(seen.what) == seen.since % 1_000_000, "{seen:?}");
                assert!(seen.digits.is_none_or(|digits| digits == [digit(seen.what); DIGITS]), "{seen:?}");
            }
        });
        assert_eq!(slots.read().count(), 0);
    }
}
