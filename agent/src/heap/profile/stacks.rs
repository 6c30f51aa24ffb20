//! A dump of jemalloc's profiler as values: sampled stacks with what lives of them, and where files are mapped. Pure.
//!
//! The format is the one jeprof reads. Bytes and objects in it are those of samples; they are scaled up here as jeprof
//! does (`AdjustSamples`), which gives jemalloc's own unbiased estimate back (`opt.prof_unbias`, see `prof_do_unbias` in
//! jemalloc's `prof_data.c`).

use std::io::{BufRead, Error};

use crate::symbols::Mapping;

/// Stacks that are read of one dump; the rest is counted.
const STACKS_MAX: usize = 32_768;
/// Return addresses that are read of one stack: as many as jemalloc keeps.
const ADDRESSES_MAX: usize = 128;

/// One dump.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(clippy::struct_field_names, reason = "a dump is read as its stacks, and they are most of it")]
pub(crate) struct Stacks {
    /// Mean bytes between two samples.
    pub(crate) sample_bytes: f64,
    pub(crate) stacks: Vec<Stack>,
    /// Executable parts of files.
    pub(crate) mappings: Vec<Mapping>,
    /// Stacks that were too many to be read.
    pub(crate) left_out: usize,
}

/// What one stack allocated and has not freed, estimated.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Stack {
    /// Return addresses, innermost first.
    pub(crate) addresses: Vec<usize>,
    pub(crate) bytes: f64,
    pub(crate) objects: f64,
}

impl Stacks {
    /// Reads a dump.
    ///
    /// # Errors
    /// What cannot be read, or is no dump.
    pub(super) fn read(dump: impl BufRead) -> Result<Self, Error> {
        let mut lines = dump.lines();
        let head = lines.next().transpose()?.unwrap_or_default();
        let rate: Option<f64> = head.strip_prefix("heap_v2/").and_then(|rate| rate.trim().parse().ok());
        let Some(sample_bytes) = rate.filter(|rate| *rate >= 1.0) else {
            return Err(Error::other(format!("a heap profile begins with heap_v2 and a rate, not with {head:?}")));
        };
        let mut read = Self { sample_bytes, ..Self::default() };
        let mut addresses: Option<Vec<usize>> = None;
        let mut mapped = false;
        for line in lines {
            let line = line?;
            let line = line.trim();
            if mapped {
                read.mappings.extend(Mapping::read(line));
            } else if let Some(list) = line.strip_prefix("@ ") {
                addresses = Some(list.split_ascii_whitespace().map_while(address).take(ADDRESSES_MAX).collect());
            } else if let Some(counts) = line.strip_prefix("t*: ") {
                // the first of them, before any stack, is the sum of all
                read.stacks.extend(addresses.take().and_then(|addresses| stack(addresses, counts, sample_bytes)));
            } else if line == "MAPPED_LIBRARIES:" {
                mapped = true;
            }
            if read.stacks.len() > STACKS_MAX {
                read.stacks.truncate(STACKS_MAX);
                read.left_out += 1;
            }
        }
        Ok(read)
    }

    /// All that is sampled and live.
    pub(super) fn bytes(&self) -> f64 {
        self.stacks.iter().map(|stack| stack.bytes).sum()
    }
}

/// `12: 24576 [0: 0]`, scaled from samples to all; nothing when nothing of it is live.
fn stack(addresses: Vec<usize>, counts: &str, sample_bytes: f64) -> Option<Stack> {
    let mut words = counts.split_ascii_whitespace();
    let objects: f64 = words.next()?.strip_suffix(':')?.parse().ok()?;
    let bytes: f64 = words.next()?.parse().ok()?;
    if objects <= 0.0 || bytes <= 0.0 {
        return None;
    }
    // the chance that an object of this size is sampled
    let chance = -(-(bytes / objects) / sample_bytes).exp_m1();
    Some(Stack { addresses, bytes: bytes / chance, objects: objects / chance })
}

fn address(word: &str) -> Option<usize> {
    usize::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "heap_v2/524288
  t*: 28106: 56637512 [0: 0]
  t0: 28106: 56637512 [0: 0]
@ 0x5f1174 0x5f10c9 0x4a
  t*: 20: 40960 [0: 0]
  t0: 20: 40960 [0: 0]
@ 0x5f1174 0x77
  t*: 2: 16777216 [0: 0]
  t3: 2: 16777216 [0: 0]
@ 0x1
  t*: 0: 0 [0: 0]

MAPPED_LIBRARIES:
55d0c0000000-55d0c0010000 r--p 00000000 fe:00 131 /srv/shop
55d0c0010000-55d0c0090000 r-xp 0000f000 fe:00 131 /srv/shop with space
7ffd10000000-7ffd10002000 r-xp 00000000 00:00 0 [vdso]
";

    #[test]
    fn samples_are_scaled_up_by_the_chance_that_their_size_is_sampled() {
        let read = Stacks::read(DUMP.as_bytes()).unwrap();
        assert_eq!(read.stacks.len(), 2, "what is freed is left out");
        assert_eq!(read.stacks[0].addresses, [0x5f_1174, 0x5f_10c9, 0x4a]);
        // 2 KiB of 512 KiB: one in 256.5 is sampled
        assert!((read.stacks[0].objects / 20.0 - 256.5).abs() < 0.1, "{}", read.stacks[0].objects);
        assert!((read.stacks[0].bytes / 40_960.0 - 256.5).abs() < 0.1);
        // 8 MiB: nearly every one is
        assert!((read.stacks[1].objects - 2.0).abs() < 1e-6);
        assert!((read.bytes() - read.stacks[0].bytes - 16_777_216.0).abs() < 10.0);
        assert_eq!(
            read.mappings,
            [Mapping {
                start: 0x55d0_c001_0000,
                end: 0x55d0_c009_0000,
                file_offset: 0xf000,
                path: "/srv/shop with space".to_owned(),
                build_id: None,
            }]
        );
    }

    #[test]
    fn what_is_no_dump_is_refused_and_a_broken_one_gives_what_can_be_read() {
        for wrong in ["", "heap_v3/1", "heap_v2/0", "heap_v2/x", "\u{0}"] {
            assert!(Stacks::read(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        let broken = "heap_v2/8\n@ 0x1 nonsense\n  t*: 1\n@ \n  t*: x: y\n  t*: 3: 24\n@ 0x2\n  t*: 1: 8 [0: 0]\nMAPPED_LIBRARIES:\n-\nx";
        let read = Stacks::read(broken.as_bytes()).unwrap();
        assert_eq!(read.stacks.iter().map(|stack| stack.addresses.clone()).collect::<Vec<_>>(), [[0x2]]);
    }
}
