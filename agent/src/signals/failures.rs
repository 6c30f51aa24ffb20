//! The newest jobs that failed for good: which, when, why, after how many attempts; never what they were about. Bounded,
//! and no worker waits for a reader: a slot that is being read is passed over, and counted.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use heartline_shared::UnixMillis;
use parking_lot::Mutex;

use crate::clock::Tick;

/// How many failures are kept.
pub(crate) const FAILURES_MAX: usize = 256;
/// Bytes of a name that are kept; the rest is cut off.
const NAME_BYTES: usize = 64;

/// A short text without an allocation; what does not fit is cut off at a character.
#[derive(Clone, Copy)]
pub(crate) struct ShortText {
    bytes: [u8; NAME_BYTES],
    length: u8,
}

impl ShortText {
    pub(crate) fn new(text: &str) -> Self {
        let text = &text[..text.floor_char_boundary(NAME_BYTES)];
        let mut bytes = [0; NAME_BYTES];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Self { bytes, length: u8::try_from(text.len()).unwrap_or(0) }
    }

    /// The text that a value displays as.
    pub(crate) fn displayed(value: &dyn std::fmt::Display) -> Self {
        let mut text = Self { bytes: [0; NAME_BYTES], length: 0 };
        let _ = std::fmt::write(&mut text, format_args!("{value}")); // what does not fit is cut off
        text
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl std::fmt::Write for ShortText {
    fn write_str(&mut self, more: &str) -> std::fmt::Result {
        let used = usize::from(self.length);
        let cut = &more[..more.floor_char_boundary(NAME_BYTES - used)];
        self.bytes[used..used + cut.len()].copy_from_slice(cut.as_bytes());
        self.length += u8::try_from(cut.len()).unwrap_or(0);
        if cut.len() == more.len() { Ok(()) } else { Err(std::fmt::Error) }
    }
}

impl std::fmt::Debug for ShortText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// A job that failed for good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailedJob {
    /// Counts up with every failure of the process, from 1.
    pub(crate) number: u64,
    pub(crate) at: UnixMillis,
    pub(crate) queue: ShortText,
    pub(crate) job: ShortText,
    pub(crate) error_type: ShortText,
    /// What the queue calls the job; `None` when nobody said.
    pub(crate) id: Option<ShortText>,
    /// How often it was tried; `None` when nobody said.
    pub(crate) attempts: Option<u32>,
}

/// The newest failures.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    slots: OnceLock<Box<[Mutex<Option<FailedJob>>]>>,
    failed: AtomicU64,
    missed: AtomicU64,
}

/// A page of failures.
#[derive(Debug)]
pub(crate) struct FailedJobs {
    /// The newest first.
    pub(crate) jobs: Vec<FailedJob>,
    /// Whether there are older ones.
    pub(crate) more: bool,
    /// How many failed since the start, those that are not kept included.
    pub(crate) failed: u64,
    /// How many were not kept because their slot was being read.
    pub(crate) missed: u64,
}

impl Failures {
    /// Keeps a failure in place of the oldest one. Waits for nobody; allocates the slots the first time.
    pub(crate) fn record(&self, job: &FailedJob) {
        let slots = self.slots.get_or_init(|| (0..FAILURES_MAX).map(|_| Mutex::new(None)).collect());
        let number = self.failed.fetch_add(1, Ordering::Relaxed) + 1;
        let slot = usize::try_from(number % FAILURES_MAX as u64).ok().and_then(|at| slots.get(at));
        match slot.and_then(Mutex::try_lock) {
            Some(mut slot) => *slot = Some(FailedJob { number, at: Tick::now().wall, ..*job }),
            None => drop(self.missed.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// The newest `limit` failures of `queue`, or of all queues, that came before the one with number `before`.
    pub(crate) fn newest(&self, queue: Option<&str>, before: Option<u64>, limit: usize) -> FailedJobs {
        let slots = self.slots.get().map(|slots| &slots[..]).unwrap_or_default();
        let wanted = |job: &FailedJob| {
            before.is_none_or(|before| job.number < before) && queue.is_none_or(|queue| job.queue.as_str() == queue)
        };
        let mut jobs: Vec<FailedJob> = slots.iter().filter_map(|slot| *slot.lock()).filter(wanted).collect();
        jobs.sort_unstable_by_key(|job| std::cmp::Reverse(job.number));
        let more = jobs.len() > limit;
        jobs.truncate(limit);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FailedJobs { jobs, more, failed: count(&self.failed), missed: count(&self.missed) }
    }

    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.get().map_or(0, |slots| size_of_val(&**slots))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(failures: &Failures, queue: &str, error_type: &str) {
        failures.record(&FailedJob {
            number: 0,
            at: UnixMillis(0),
            queue: ShortText::new(queue),
            job: ShortText::new("welcome"),
            error_type: ShortText::new(error_type),
            id: None,
            attempts: None,
        });
    }

    #[test]
    fn pages_go_back_in_time_without_gaps() {
        let failures = Failures::default();
        for number in 0..10 {
            failed(&failures, if number % 2 == 0 { "email" } else { "sms" }, &number.to_string());
        }
        let errors =
            |page: &FailedJobs| page.jobs.iter().map(|job| job.error_type.as_str().to_owned()).collect::<Vec<_>>();
        let first = failures.newest(Some("email"), None, 2);
        assert_eq!((errors(&first), first.more, first.failed), (vec!["8".to_owned(), "6".to_owned()], true, 10));
        let second = failures.newest(Some("email"), first.jobs.last().map(|job| job.number), 9);
        assert_eq!((errors(&second).len(), second.more), (3, false));
    }

    #[test]
    fn the_newest_are_kept_and_all_are_counted() {
        let failures = Failures::default();
        assert_eq!((failures.bytes(), failures.newest(None, None, 9).failed), (0, 0));
        (0..1_000).for_each(|_| failed(&failures, "email", "timeout"));
        let page = failures.newest(None, None, 5_000);
        assert_eq!((page.jobs.len(), page.jobs[0].number, page.failed), (FAILURES_MAX, 1_000, 1_000));
        assert!(failures.bytes() < 128 << 10, "{}", failures.bytes());
    }

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        let text = ShortText::new(&"é".repeat(100));
        assert_eq!(text.as_str(), "é".repeat(32));
        assert_eq!(
            ShortText::displayed(&format_args!("{}-{}", 7, "x".repeat(100))).as_str(),
            format!("7-{}", "x".repeat(62))
        );
    }
}
