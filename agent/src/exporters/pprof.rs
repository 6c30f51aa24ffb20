//! A heap profile as [pprof] reads it, and as collapsed stacks for flame graphs. How it was taken is not known here.
//!
//! Addresses are those of memory, with the mappings and build ids that a reader needs who has the unstripped file; what
//! is known by name in the process is written too.
//!
//! [pprof]: https://github.com/google/pprof/blob/main/proto/profile.proto

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use heartline_shared::UnixMillis;

use super::message::Message;
use crate::heap::{Frame, Mapping, Taken};

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

/// The profile with its symbols, as gzipped protobuf: objects and bytes of each stack.
pub(crate) fn pprof(taken: &Taken, now: UnixMillis) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut tables = Tables::default();
    let mut profile = Message(&mut bytes);
    let pair = |message: &mut Message<'_>, kind: u64, unit: u64| {
        message.integer(1, kind);
        message.integer(2, unit);
    };
    let [objects, count, space, unit] =
        ["inuse_objects", "count", "inuse_space", "bytes"].map(|text| tables.text(text));
    profile.message(field::SAMPLE_TYPE, |message| pair(message, objects, count));
    profile.message(field::SAMPLE_TYPE, |message| pair(message, space, unit));
    let locations = locations(&mut profile, taken, &mut tables);
    for stack in &taken.stacks.stacks {
        profile.message(field::SAMPLE, |sample| {
            let ids = stack.addresses.iter().filter_map(|address| locations.get(address));
            sample.message(1, |packed| ids.for_each(|id| packed.varint(*id)));
            // negative numbers of a difference are written in two's complement
            let values = [stack.objects, stack.bytes].map(|value| whole(value).cast_unsigned());
            sample.message(2, |packed| values.into_iter().for_each(|value| packed.varint(value)));
        });
    }
    profile.message(field::PERIOD_TYPE, |message| pair(message, space, unit));
    profile.integer(field::PERIOD, whole(taken.stacks.sample_bytes).unsigned_abs());
    profile.integer(field::DEFAULT_SAMPLE_TYPE, space);
    profile.integer(field::TIME_NANOS, now.0.saturating_mul(1_000_000));
    let nanos = taken.span.map_or(0, |span| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
    profile.integer(field::DURATION_NANOS, nanos);
    for text in &tables.listed {
        profile.text(field::STRING_TABLE, text);
    }
    zipped(&bytes)
}

/// Writes mappings, functions and locations; gives the number of each address.
fn locations<'p>(profile: &mut Message<'_>, taken: &'p Taken, tables: &mut Tables<'p>) -> BTreeMap<usize, u64> {
    let mappings = &taken.stacks.mappings;
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
    for address in taken.stacks.stacks.iter().flat_map(|stack| &stack.addresses) {
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

/// One line a stack, outermost function first, with its bytes: what flame graph tools read. Stacks that became less are
/// negative, which differential flame graphs take.
pub(crate) fn collapsed(taken: &Taken) -> String {
    let mut lines: BTreeMap<String, f64> = BTreeMap::new();
    for stack in &taken.stacks.stacks {
        let mut line = String::new();
        for address in stack.addresses.iter().rev() {
            let frames = taken.frames.get(address).map(Arc::as_ref).unwrap_or_default();
            for frame in frames.iter().rev() {
                push(&mut line, &frame.function);
            }
            if frames.is_empty() {
                push(&mut line, &place(*address, &taken.stacks.mappings));
            }
        }
        *lines.entry(line).or_default() += stack.bytes;
    }
    let mut out = String::new();
    for (line, bytes) in lines.iter().filter(|(_, bytes)| bytes.abs() >= 1.0) {
        let _ = writeln!(out, "{line} {}", whole(*bytes)); // a string takes everything
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::{Stack, Stacks};

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
