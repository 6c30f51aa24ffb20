//! Reads a stream of blocks as it arrives, damaged or not. Every length is checked, memory is bounded, and nothing that
//! could not be read is passed over in silence.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::block::{self, Block, FRAME, FRAMING, Found, PROCESS, SERIES};
use super::definition::{self, Refusal, Series};
use super::head::Head;
use super::wire::Input;
use super::{Damage, Event, Frame, Process, Reason, SeriesId, Value, extras};
use crate::buckets::{Grid, GridKind};
use crate::catalog::Kind;

/// Series of one process that a decoder keeps.
pub const SERIES_MAX: usize = 1 << 20;
/// Bytes that the definitions of one process may take in a decoder.
pub const DEFINITION_BYTES_MAX: usize = 64 << 20;
/// Looking for blocks among damaged bytes may take this many checksums of each byte.
const EFFORT: u64 = 16;

/// Reads blocks; push bytes as they come and take events until there are none. Memory: the bytes of one block, and the
/// definitions of one process up to [`DEFINITION_BYTES_MAX`].
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// How far `buffer` has been read.
    at: usize,
    /// The offset of `buffer` in the stream.
    offset: u64,
    finished: bool,
    effort: u64,
    damage: Option<Damage>,
    session: Option<Session>,
}

#[derive(Debug)]
struct Session {
    number: u32,
    process: Process,
    series: HashMap<SeriesId, Series, RandomState>,
    definition_bytes: usize,
    grids: [Arc<Grid>; 2],
    buckets: Vec<(u16, u64)>,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream in.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.at > 0 && self.at >= self.buffer.len() / 2 {
            self.buffer.drain(..self.at);
            self.offset += std::mem::take(&mut self.at) as u64;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Says that no more bytes come: what is left is damaged or cut off.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// The process whose frames are being read.
    pub fn process(&self) -> Option<&Process> {
        self.session.as_ref().map(|session| &session.process)
    }

    /// The series of this number in the process whose frames are being read.
    pub fn series(&self, id: SeriesId) -> Option<&Series> {
        self.session.as_ref()?.series.get(&id)
    }

    /// Every series that was defined so far, in no order.
    pub fn all_series(&self) -> impl Iterator<Item = (SeriesId, &Series)> {
        self.session.iter().flat_map(|session| session.series.iter().map(|(id, series)| (*id, series)))
    }

    /// The grid that histograms of this kind use in the process whose frames are being read; the built-in one before
    /// there is a process.
    pub fn grid(&self, kind: GridKind) -> Arc<Grid> {
        self.session.as_ref().map_or_else(|| Grid::of(kind), |session| Arc::clone(session.grid(kind)))
    }

    /// What comes next; `None` when more bytes are needed, or when it was finished and all is read.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            match block::at_start(&self.buffer[self.at..]) {
                Found::Block(_) if self.damage.is_some() => return self.damage.take().map(Event::Damage),
                Found::Block(block) => {
                    let (offset, bytes) = (self.offset + self.at as u64, block.bytes);
                    let read = read_block(block, &mut self.session);
                    self.at += bytes;
                    let damage = |reason| Some(Event::Damage(Damage { offset, bytes: bytes as u64, reason }));
                    if let Some(event) = read.unwrap_or_else(damage) {
                        return Some(event);
                    }
                }
                Found::Incomplete if !self.finished => return None,
                Found::Incomplete | Found::Nothing(_) if self.at >= self.buffer.len() => {
                    return self.damage.take_if(|_| self.finished).map(Event::Damage);
                }
                Found::Incomplete => self.skip(0, Reason::Truncated),
                Found::Nothing(checked) => self.skip(checked, Reason::Damaged),
            }
        }
    }

    /// Passes over bytes that are no block, up to where the next one may begin.
    fn skip(&mut self, checked: usize, reason: Reason) {
        self.effort = self.effort.saturating_add(checked as u64);
        let rest = self.buffer.len() - self.at;
        let read = self.offset + self.at as u64;
        let spent = self.effort > (read + rest as u64 + FRAMING as u64).saturating_mul(EFFORT);
        let skipped = if spent { rest } else { 1 + block::next_marker(&self.buffer[self.at + 1..]) };
        let damage = self.damage.get_or_insert(Damage { offset: read, bytes: 0, reason });
        damage.bytes += skipped as u64;
        self.at += skipped;
    }
}

/// Reads a block; `None` when there is nothing to tell.
fn read_block(block: Block<'_>, session: &mut Option<Session>) -> Result<Option<Event>, Reason> {
    match block.kind {
        PROCESS => read_process(block.payload, session),
        SERIES => read_series(block.payload, session.as_mut()),
        FRAME => read_frame(block.payload, session.as_mut()),
        _ => Ok(None),
    }
}

impl Session {
    fn grid(&self, kind: GridKind) -> &Arc<Grid> {
        &self.grids[usize::from(kind == GridKind::Count)]
    }

    /// Whether a value is one that its series may have.
    fn accepts(&self, id: SeriesId, value: &Value) -> bool {
        let Some(series) = self.series.get(&id) else { return false };
        match value {
            Value::Increase(number) => series.kind == Kind::Counter && *number >= 0.0,
            Value::Level(_) => matches!(series.kind, Kind::Gauge | Kind::UpDownCounter),
            Value::Histogram(histogram) => {
                let grid = self.grid(GridKind::for_unit(&series.unit));
                series.kind == Kind::Histogram && histogram.is_consistent(grid)
            }
        }
    }
}

fn read_process(payload: &[u8], session: &mut Option<Session>) -> Result<Option<Event>, Reason> {
    let number = crc32fast::hash(payload);
    if session.as_ref().is_some_and(|session| session.number == number) {
        return Ok(None); // the second copy
    }
    let process = Process::read(payload).map_err(|refusal| match refusal {
        Refusal::Malformed => Reason::Malformed,
        Refusal::Newer => Reason::Newer,
    })?;
    let grid = |kind| match process.extra_boundaries.get(&kind) {
        Some(extra) if !extra.is_empty() => Grid::with_bounds(kind, extra).map(Arc::new),
        _ => Ok(Grid::of(kind)),
    };
    let grids = [grid(GridKind::Duration), grid(GridKind::Count)];
    let [Ok(durations), Ok(counts)] = grids else { return Err(Reason::Malformed) };
    *session = Some(Session {
        number,
        process: process.clone(),
        series: HashMap::default(),
        definition_bytes: 0,
        grids: [durations, counts],
        buckets: Vec::new(),
    });
    Ok(Some(Event::Process(process)))
}

fn read_series(payload: &[u8], session: Option<&mut Session>) -> Result<Option<Event>, Reason> {
    let mut input = Input(payload);
    let number = input.fixed().ok_or(Reason::Malformed)?;
    let session = session.filter(|session| session.number == number).ok_or(Reason::Orphaned)?;
    let mut room = true;
    let keep = |id: SeriesId, series: Series| {
        if session.series.contains_key(&id) {
            return true; // the second copy
        }
        let bytes = series.bytes();
        room = session.series.len() < SERIES_MAX && session.definition_bytes + bytes <= DEFINITION_BYTES_MAX;
        if room {
            session.definition_bytes += bytes;
            session.series.insert(id, series);
        }
        room
    };
    definition::read_series(&mut input, keep).map_err(|_| Reason::Malformed)?;
    if room { Ok(None) } else { Err(Reason::TooManySeries) }
}

fn read_frame(payload: &[u8], session: Option<&mut Session>) -> Result<Option<Event>, Reason> {
    let (head, mut values) = Head::read(payload).ok_or(Reason::Malformed)?;
    let session = session.filter(|session| session.number == head.session).ok_or(Reason::Orphaned)?;
    let Head { full, seq, at, span, uptime, .. } = head;
    let mut frame = Frame { full, seq, at, span, uptime, ..Frame::default() };
    let mut buckets = std::mem::take(&mut session.buckets);
    while let Some(read) = values.read(&mut buckets) {
        let (id, read) = read.map_err(|_| Reason::Malformed)?;
        let value = read.into_value(&buckets);
        if session.accepts(id, &value) {
            frame.values.push((id, value));
        } else {
            frame.left_out = frame.left_out.saturating_add(1);
        }
    }
    session.buckets = buckets;
    if !values.input.0.is_empty() {
        (frame.heap, frame.checks) = extras::read(&mut values.input).ok_or(Reason::Malformed)?;
    }
    Ok(Some(Event::Frame(frame)))
}
