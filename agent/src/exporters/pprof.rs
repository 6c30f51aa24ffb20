//! Profiles, of the heap and of the processor, as [pprof] reads them, and as collapsed stacks for flame graphs. How they
//! were taken is not known here.
//!
//! Addresses are those of memory, with the mappings and build ids that a reader needs who has the unstripped file; what
//! is known by name in the process is written too.
//!
//! [pprof]: https://github.com/google/pprof/blob/main/proto/profile.proto

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use heartline_shared::UnixMillis;

use super::message::Message;
use crate::symbols::{Frame, Mapping};

/// A profile of any kind: stacks, and two numbers of each.
#[derive(Debug)]
pub(crate) struct Profile<'p> {
    /// What the numbers are, and their units; tools show the second unless told otherwise.
    kinds: [(&'static str, &'static str); 2],
    /// Which of them collapsed stacks have.
    collapsed: usize,
    /// How much of the second lies between two samples.
    period: f64,
    stacks: Vec<Sampled<'p>>,
    mappings: &'p [Mapping],
    frames: &'p HashMap<usize, Arc<[Frame]>>,
    span: Option<Duration>,
    /// What else a reader should know.
    remarks: &'p [String],
}

#[derive(Debug)]
struct Sampled<'p> {
    /// The name of the thread, where it matters.
    thread: Option<&'p str>,
    /// Return addresses, innermost first.
    addresses: &'p [usize],
    /// Whether the last of them is the outermost call, as far as that is known.
    whole: bool,
    values: [f64; 2],
}

/// Stands for the callers of a stack that is not whole.
const CUT: &str = "[callers unknown]";

#[cfg(feature = "jemalloc")]
impl<'p> From<&'p crate::heap::Taken> for Profile<'p> {
    fn from(taken: &'p crate::heap::Taken) -> Self {
        let sampled = |stack: &'p crate::heap::Stack| Sampled {
            thread: None,
            addresses: &stack.addresses,
            whole: true,
            values: [stack.objects, stack.bytes],
        };
        Self {
            kinds: [("inuse_objects", "count"), ("inuse_space", "bytes")],
            collapsed: 1,
            period: taken.stacks.sample_bytes,
            stacks: taken.stacks.stacks.iter().map(sampled).collect(),
            mappings: &taken.stacks.mappings,
            frames: &taken.frames,
            span: taken.span,
            remarks: &[],
        }
    }
}

#[cfg(feature = "cpu-profile")]
impl<'p> From<&'p crate::cpu::Taken> for Profile<'p> {
    fn from(taken: &'p crate::cpu::Taken) -> Self {
        let period = taken.period.as_nanos() as f64;
        let sampled = |stack: &'p crate::cpu::Stack| {
            let samples = stack.samples as f64;
            Sampled {
                thread: Some(&stack.thread),
                addresses: &stack.addresses,
                whole: stack.whole,
                values: [samples, samples * period],
            }
        };
        Self {
            kinds: [("samples", "count"), ("cpu", "nanoseconds")],
            collapsed: 0,
            period,
            stacks: taken.stacks.iter().map(sampled).collect(),
            mappings: &taken.mappings,
            frames: &taken.frames,
            span: Some(taken.span),
            remarks: &taken.remarks,
        }
    }
}

/// Fields of `Profile` and of what is in it.
mod field {
    pub(super) const SAMPLE_TYPE: u32 = 1;
    pub(super) const SAMPLE: u32 = 2;
    pub(super) const MAPPING: u32 = 3;
    pub(super) const LOCATION: u32 = 4;
    pub(super) const FUNCTION: u32 = 5;
    pub(super) const STRING_TABLE: u32 = 6;
    pub(super) const TIME_NANOS: u32 = 9;
    pub(super) const DURATION_NANOS: u32 = 10;
    pub(super) const PERIOD_TYPE: u32 = 11;
    pub(super) const PERIOD: u32 = 12;
    pub(super) const COMMENT: u32 = 13;
    pub(super) const DEFAULT_SAMPLE_TYPE: u32 = 14;
}

/// Texts and functions by their numbers, as the format refers to them.
#[derive(Default)]
struct Tables<'p> {
    texts: HashMap<&'p str, u64>,
    listed: Vec<&'p str>,
    functions: HashMap<(&'p str, &'p str), u64>,
}

impl<'p> Tables<'p> {
    /// The number of a text; 0 is that of the empty one.
    fn text(&mut self, text: &'p str) -> u64 {
        if self.listed.is_empty() {
            self.texts.insert("", 0);
            self.listed.push("");
        }
        let next = self.listed.len() as u64;
        let number = *self.texts.entry(text).or_insert(next);
        if number == next {
            self.listed.push(text);
        }
        number
    }
}

/// The profile with its symbols, as gzipped protobuf.
pub(crate) fn pprof<'p>(profile: impl Into<Profile<'p>>, now: UnixMillis) -> Vec<u8> {
    let taken = profile.into();
    let mut bytes = Vec::new();
    let mut tables = Tables::default();
    let mut profile = Message(&mut bytes);
    let pair = |message: &mut Message<'_>, kind: u64, unit: u64| {
        message.integer(1, kind);
        message.integer(2, unit);
    };
    let kinds = taken.kinds.map(|(kind, unit)| (tables.text(kind), tables.text(unit)));
    let thread = tables.text("thread");
    for (kind, unit) in kinds {
        profile.message(field::SAMPLE_TYPE, |message| pair(message, kind, unit));
    }
    let locations = locations(&mut profile, &taken, &mut tables);
    for stack in &taken.stacks {
        let name = stack.thread.map(|name| tables.text(name));
        profile.message(field::SAMPLE, |sample| {
            let ids = stack.addresses.iter().filter_map(|address| locations.get(address));
            sample.message(1, |packed| ids.for_each(|id| packed.varint(*id)));
            // negative numbers of a difference are written in two's complement
            let values = stack.values.map(|value| whole(value).cast_unsigned());
            sample.message(2, |packed| values.into_iter().for_each(|value| packed.varint(value)));
            if let Some(name) = name {
                sample.message(3, |label| pair(label, thread, name));
            }
        });
    }
    let (kind, unit) = kinds[1];
    profile.message(field::PERIOD_TYPE, |message| pair(message, kind, unit));
    profile.integer(field::PERIOD, whole(taken.period).unsigned_abs());
    profile.integer(field::DEFAULT_SAMPLE_TYPE, kind);
    profile.integer(field::TIME_NANOS, now.0.saturating_mul(1_000_000));
    let nanos = taken.span.map_or(0, |span| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
    profile.integer(field::DURATION_NANOS, nanos);
    for remark in taken.remarks {
        profile.integer(field::COMMENT, tables.text(remark));
    }
    for text in &tables.listed {
        profile.text(field::STRING_TABLE, text);
    }
    zipped(&bytes)
}

/// Writes mappings, functions and locations; gives the number of each address.
fn locations<'p>(profile: &mut Message<'_>, taken: &Profile<'p>, tables: &mut Tables<'p>) -> BTreeMap<usize, u64> {
    let mappings = taken.mappings;
    for (mapping, id) in mappings.iter().zip(1..) {
        let (file, build) = (tables.text(&mapping.path), tables.text(mapping.build_id.as_deref().unwrap_or_default()));
        let named = |frame: fn(&Frame) -> bool| {
            let inside = taken.frames.iter().filter(|(address, _)| mapping.holds(**address));
            u64::from(inside.flat_map(|(_, frames)| frames.iter()).any(frame))
        };
        profile.message(field::MAPPING, |message| {
            message.integer(1, id);
            message.integer(2, mapping.start as u64);
            message.integer(3, mapping.end as u64);
            message.integer(4, mapping.file_offset);
            message.integer(5, file);
            message.integer(6, build);
            message.integer(7, named(|_| true));
            message.integer(8, named(|frame| frame.file.is_some()));
            message.integer(9, named(|frame| frame.line.is_some()));
            message.integer(10, named(|frame| frame.line.is_some()));
        });
    }
    let mut numbers = BTreeMap::new();
    for address in taken.stacks.iter().flat_map(|stack| stack.addresses) {
        let next = numbers.len() as u64 + 1;
        numbers.entry(*address).or_insert(next);
    }
    for (address, id) in &numbers {
        let frames = taken.frames.get(address).map(Arc::as_ref).unwrap_or_default();
        let lines: Vec<(u64, u64)> = frames.iter().map(|frame| line(profile, frame, tables)).collect();
        let mapping = mappings.iter().position(|mapping| mapping.holds(*address)).map_or(0, |at| at as u64 + 1);
        profile.message(field::LOCATION, |message| {
            message.integer(1, *id);
            message.integer(2, mapping);
            // the call is before the address that it returns to
            message.integer(3, (*address as u64).saturating_sub(1));
            for (function, line) in lines {
                message.message(4, |message| {
                    message.integer(1, function);
                    message.integer(2, line);
                });
            }
        });
    }
    numbers
}

/// Function and line of a frame; the function is written before it is first referred to.
fn line<'p>(profile: &mut Message<'_>, frame: &'p Frame, tables: &mut Tables<'p>) -> (u64, u64) {
    let key = (frame.function.as_ref(), frame.file.as_deref().unwrap_or_default());
    let next = tables.functions.len() as u64 + 1;
    let number = *tables.functions.entry(key).or_insert(next);
    if number == next {
        let [name, file] = [key.0, key.1].map(|text| tables.text(text));
        profile.message(field::FUNCTION, |message| {
            message.integer(1, number);
            message.integer(2, name);
            message.integer(3, name);
            message.integer(4, file);
        });
    }
    (number, u64::from(frame.line.unwrap_or(0)))
}

/// One line a stack, outermost function first, with its number, the largest first: what flame graph tools read. Stacks that
/// became less are negative, which differential flame graphs take.
pub(crate) fn collapsed<'p>(profile: impl Into<Profile<'p>>) -> String {
    let taken = profile.into();
    let mut lines: BTreeMap<String, f64> = BTreeMap::new();
    for stack in &taken.stacks {
        let mut line = String::new();
        stack.thread.iter().for_each(|thread| push(&mut line, thread));
        if !stack.whole {
            push(&mut line, CUT);
        }
        for address in stack.addresses.iter().rev() {
            let frames = taken.frames.get(address).map(Arc::as_ref).unwrap_or_default();
            for frame in frames.iter().rev() {
                push(&mut line, &frame.function);
            }
            if frames.is_empty() {
                push(&mut line, &place(*address, taken.mappings));
            }
        }
        *lines.entry(line).or_default() += stack.values[taken.collapsed];
    }
    let mut lines: Vec<(String, f64)> = lines.into_iter().filter(|(_, value)| value.abs() >= 1.0).collect();
    lines.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let mut out = String::new();
    for (line, value) in lines {
        let _ = writeln!(out, "{line} {}", whole(value)); // a string takes everything
    }
    out
}

fn push(line: &mut String, function: &str) {
    if !line.is_empty() {
        line.push(';');
    }
    // these two part functions and counts
    line.extend(function.chars().map(|character| if matches!(character, ';' | '\n') { ':' } else { character }));
}

/// File and offset of an address without a name, as `addr2line` takes them.
fn place(address: usize, mappings: &[Mapping]) -> String {
    match mappings.iter().find(|mapping| mapping.holds(address)) {
        Some(mapping) => {
            let file = mapping.path.rsplit('/').next().unwrap_or_default();
            format!("{file}+{:#x}", (address - mapping.start) as u64 + mapping.file_offset)
        }
        None => format!("{address:#x}"),
    }
}

fn whole(value: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "bytes of one process; the cast saturates")]
    let whole = value.round() as i64;
    whole
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut zip = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    let written = zip.write_all(bytes).and_then(|()| zip.finish());
    written.unwrap_or_default() // a vector takes everything
}

#[cfg(all(test, feature = "jemalloc"))]
mod tests {
    use super::*;
    use crate::heap::{Stack, Stacks, Taken};

    fn taken() -> Taken {
        let frame = |function: &str, line| Frame {
            function: function.into(),
            file: Some("shop/src/main.rs".into()),
            line: Some(line),
        };
        let mapping = Mapping {
            start: 0x1000,
            end: 0x2000,
            file_offset: 0x40,
            path: "/srv/shop".to_owned(),
            build_id: Some("ab12".to_owned()),
        };
        let stack = |addresses: &[usize], bytes| Stack { addresses: addresses.to_vec(), bytes, objects: 2.0 };
        Taken {
            stacks: Stacks {
                sample_bytes: 524_288.0,
                stacks: vec![stack(&[0x1010, 0x1020], 4096.0), stack(&[0x1500, 0x1020], -64.0)],
                mappings: vec![mapping],
                left_out: 0,
            },
            frames: HashMap::from([
                (0x1010, vec![frame("inlined", 7), frame("leak;age", 8)].into()),
                (0x1020, vec![frame("main", 3)].into()),
            ]),
            span: None,
        }
    }

    #[test]
    fn collapsed_stacks_have_inlined_functions_and_offsets_for_what_has_no_name() {
        assert_eq!(collapsed(&taken()), "main;leak:age;inlined 4096\nmain;shop+0x540 -64\n");
    }

    #[test]
    fn pprof_has_stacks_names_and_what_others_need_to_find_names() {
        let zip = pprof(&taken(), UnixMillis(5));
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&zip[..]), &mut bytes).unwrap();
        let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        for text in ["inuse_space", "leak;age", "shop/src/main.rs", "/srv/shop", "ab12"] {
            assert!(has(text.as_bytes()), "{text}");
        }
        // locations 1 and 2 with 2 objects and 4096 bytes
        assert!(has(&[2 << 3 | 2, 9, 1 << 3 | 2, 2, 1, 2, 2 << 3 | 2, 3, 2, 0x80, 0x20]), "{bytes:x?}");
        // -64 as int64
        assert!(has(&[0xc0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]));
    }
}
