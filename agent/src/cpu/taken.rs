//! A profile of the processor as others read it: stacks with how often they were seen, their names, and what a reader should
//! know of how it came about. How stacks are sampled is not known here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::symbols::{Detail, Frame, Mapping, Symbols, identify};

/// Different stacks that are kept; samples of more are counted only.
const STACKS_MAX: usize = 8_192;
/// From this share of samples that went missing on, it is mentioned.
const MISSING_WORTH: f64 = 0.05;

/// A profile that was asked for.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Processor time that a sample stands for.
    pub(crate) period: Duration,
    /// For how long it was sampled.
    pub(crate) span: Duration,
    pub(crate) stacks: Vec<Stack>,
    pub(crate) mappings: Vec<Mapping>,
    /// What is known of the addresses.
    pub(crate) frames: HashMap<usize, Arc<[Frame]>>,
    pub(crate) remarks: Vec<String>,
}

/// Where a thread was found, and how often.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stack {
    /// The name of the thread; threads of one name count as one.
    pub(crate) thread: Arc<str>,
    /// Return addresses, innermost first.
    pub(crate) addresses: Vec<usize>,
    /// Whether the last of them is the outermost call.
    pub(crate) whole: bool,
    pub(crate) samples: u64,
}

/// Samples as they come.
#[derive(Debug, Default)]
pub(super) struct Tally {
    stacks: HashMap<(Arc<str>, Vec<usize>, bool), u64>,
    threads: HashMap<u32, Arc<str>>,
    seen: u64,
    left_out: u64,
    cut: u64,
}

/// What is known once sampling has ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ended {
    pub(super) period: Duration,
    pub(super) span: Duration,
    /// Processor time that the process used meanwhile.
    pub(super) used: Duration,
    /// Interruptions of which there is no sample.
    pub(super) lost: u64,
}

impl Tally {
    /// One sample of the thread of this number; `whole` where its outermost call is known.
    pub(super) fn add(&mut self, thread: u32, addresses: Vec<usize>, whole: bool) {
        self.seen += 1;
        self.cut += u64::from(!whole);
        let name = Arc::clone(self.threads.entry(thread).or_insert_with(|| name(thread)));
        let full = self.stacks.len() >= STACKS_MAX;
        match self.stacks.entry((name, addresses, whole)) {
            std::collections::hash_map::Entry::Vacant(_) if full => self.left_out += 1,
            entry => *entry.or_default() += 1,
        }
    }

    /// The profile, with names.
    pub(super) fn into_taken(self, mut mappings: Vec<Mapping>, ended: Ended) -> Taken {
        let mut symbols = Symbols::default();
        let mut frames = HashMap::new();
        for address in self.stacks.keys().flat_map(|(_, addresses, _)| addresses) {
            frames.entry(*address).or_insert_with(|| symbols.at(*address));
        }
        symbols.unmap();
        identify(&mut mappings);
        let remarks = self.remarks(symbols.detail(), ended);
        let stack = |((thread, addresses, whole), samples)| Stack { thread, addresses, whole, samples };
        let mut stacks: Vec<Stack> = self.stacks.into_iter().map(stack).collect();
        stacks.sort_by(|one, other| other.samples.cmp(&one.samples).then_with(|| one.addresses.cmp(&other.addresses)));
        Taken { period: ended.period, span: ended.span, stacks, mappings, frames, remarks }
    }

    fn remarks(&self, detail: Detail, ended: Ended) -> Vec<String> {
        let Ended { period, span, used, lost } = ended;
        let mut remarks = vec![format!(
            "{} samples, one each {period:?} of processor time; the process used {used:.2?} of it in {span:.2?}",
            self.seen
        )];
        let due = used.as_secs_f64() / period.as_secs_f64().max(1e-6);
        let missing = 1.0 - self.seen as f64 / due.max(1.0);
        if missing > MISSING_WORTH && due >= 20.0 {
            remarks.push(format!(
                "{:.0} % of the samples that were due did not come: while one waits for its thread the system sends no other",
                missing * 100.0
            ));
        }
        if lost > 0 {
            remarks.push(format!("{lost} samples were lost because too many came at once"));
        }
        if self.left_out > 0 {
            remarks.push(format!(
                "{} samples are left out: there were more than {STACKS_MAX} different stacks",
                self.left_out
            ));
        }
        if self.cut > 0 {
            remarks.push(format!("{} samples do not reach the outermost call: deeper than 64 KiB, or through code without unwinding tables", self.cut));
        }
        match detail {
            _ if self.seen == 0 => {}
            Detail::Nothing => remarks.push(
                "the program is stripped, so that nothing is known by name; build it with debug = \"line-tables-only\" and strip = false, or read the profile elsewhere with the unstripped file"
                    .to_owned(),
            ),
            Detail::Names => remarks.push(
                "the program has no line tables; debug = \"line-tables-only\" in its profile gives files and lines".to_owned(),
            ),
            Detail::Lines => {}
        }
        remarks
    }
}

impl Taken {
    /// All samples of it.
    pub(crate) fn samples(&self) -> u64 {
        self.stacks.iter().map(|stack| stack.samples).sum()
    }

    /// The functions that were found running most often, themselves and not what they called, with their shares.
    pub(crate) fn busiest(&self, count: usize) -> Vec<(String, f64)> {
        let mut functions: BTreeMap<String, u64> = BTreeMap::new();
        for stack in &self.stacks {
            let innermost = stack.addresses.first().and_then(|address| self.frames.get(address)?.first());
            let function = innermost.map_or_else(|| "without a name".to_owned(), |frame| frame.function.to_string());
            *functions.entry(function).or_default() += stack.samples;
        }
        let mut functions: Vec<(String, u64)> = functions.into_iter().collect();
        functions.sort_by_key(|(_, samples)| std::cmp::Reverse(*samples));
        let all = self.samples().max(1) as f64;
        functions.into_iter().take(count).map(|(function, samples)| (function, samples as f64 / all)).collect()
    }
}

/// The name of a thread of this process; its number when it has ended.
fn name(thread: u32) -> Arc<str> {
    let read = std::fs::read_to_string(format!("/proc/self/task/{thread}/comm"));
    let name = read.map(|name| name.trim_end().to_owned());
    name.ok().filter(|name| !name.is_empty()).unwrap_or_else(|| format!("thread {thread}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(used: u64, lost: u64) -> Ended {
        Ended {
            period: Duration::from_millis(10),
            span: Duration::from_secs(1),
            used: Duration::from_millis(used),
            lost,
        }
    }

    #[test]
    fn equal_stacks_are_counted_and_too_many_different_ones_are_told() {
        let mut tally = Tally::default();
        (0..3).for_each(|_| tally.add(0, vec![1, 2], true));
        (0..=STACKS_MAX).for_each(|at| tally.add(0, vec![at + 10], at > 0));
        let taken = tally.into_taken(Vec::new(), ended(100_000, 4));
        assert_eq!(
            (taken.stacks[0].samples, &taken.stacks[0].addresses[..]),
            (3, &[1, 2][..]),
            "the most frequent is first"
        );
        assert_eq!((taken.stacks.len(), taken.samples()), (STACKS_MAX, STACKS_MAX as u64 + 2));
        let said = taken.remarks.join("\n");
        for part in
            ["4 samples were lost", "2 samples are left out", "1 samples do not reach", "did not come", "stripped"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn an_idle_process_gives_an_empty_profile_that_says_why() {
        let taken = Tally::default().into_taken(Vec::new(), ended(3, 0));
        assert_eq!((taken.samples(), taken.busiest(3).len()), (0, 0));
        assert_eq!(
            taken.remarks,
            ["0 samples, one each 10ms of processor time; the process used 3.00ms of it in 1.00s"]
        );
    }
}
