//! Turns one snapshot after the other into what was counted in between. Knows one process; where frames go is not known
//! here.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::time::Duration;

use foldhash::quality::RandomState;

use super::block::{self, PROCESS, SERIES};
use super::definition::{Definition, DefinitionWriter};
use super::head::Head;
use super::memory::{Had, HadHistogram, Memory, Remembered};
use super::values::ValueWriter;
use super::wire::Output;
use super::{Process, SeriesId, extras};
use crate::buckets::Grid;
use crate::catalog::Kind;
use crate::histogram::Histogram;
use crate::snapshot::{Family, Snapshot};

/// The coder of one process: numbers its series, and remembers what they had counted. What it remembers is kept as bytes
/// too, about as many as a full frame has.
#[derive(Debug)]
pub struct Coder {
    process: Process,
    introduction: Vec<u8>,
    session: u32,
    hasher: RandomState,
    /// Numbers by the hash of metric and labels. That two of ten thousand series share one of its 64 bits happens once in
    /// 10^11 processes.
    numbers: HashMap<u64, SeriesId, RandomState>,
    definition_bytes: usize,
    definition_bytes_max: usize,
    left_out: u64,
    before: Memory,
    /// Definitions that were made for a frame that was too long.
    undelivered: Vec<u8>,
    /// How long the newest frame was: about what the next one needs.
    frame_bytes: usize,
    uptime: Duration,
}

/// A frame and what must be known to read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coded {
    /// Blocks that define the series that the frame is the first to name; often empty.
    pub definitions: Vec<u8>,
    /// One block.
    pub frame: Vec<u8>,
}

/// A series of a snapshot with its number.
struct Row<'a> {
    id: SeriesId,
    now: Now<'a>,
}

enum Now<'a> {
    Count(f64),
    Level(f64),
    Histogram(&'a Histogram, &'a Family),
}

impl Coder {
    /// A coder for the process that wrote `snapshot`. Series whose definitions would take more than
    /// `definition_bytes_max` together are left out of frames, and counted.
    pub fn new(snapshot: &Snapshot, definition_bytes_max: usize) -> Self {
        let process = Process {
            service: snapshot.service.clone(),
            version: snapshot.version.clone(),
            instance_id: snapshot.instance_id.clone(),
            started_at: snapshot.started_at_ms,
            extra_boundaries: snapshot.extra_boundaries.clone(),
        };
        let payload = process.write();
        let mut introduction = Vec::new();
        block::append(PROCESS, &payload, &mut introduction);
        Self {
            process,
            introduction,
            session: crc32fast::hash(&payload),
            hasher: RandomState::default(),
            numbers: HashMap::default(),
            definition_bytes: 0,
            definition_bytes_max,
            left_out: 0,
            before: Memory::default(),
            undelivered: Vec::new(),
            frame_bytes: 0,
            uptime: Duration::ZERO,
        }
    }

    /// The block that introduces the process; it stands before all others.
    pub fn introduction(&self) -> &[u8] {
        &self.introduction
    }

    /// Names the process in its frames.
    pub fn session(&self) -> u32 {
        self.session
    }

    /// Whether `snapshot` is of the same process.
    pub fn continues(&self, snapshot: &Snapshot) -> bool {
        let Process { service, instance_id, started_at, extra_boundaries, .. } = &self.process;
        *started_at == snapshot.started_at_ms
            && *instance_id == snapshot.instance_id
            && *service == snapshot.service
            && *extra_boundaries == snapshot.extra_boundaries
    }

    /// How many series of the newest snapshot were left out for want of room for their definitions.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Bytes it keeps.
    pub fn bytes(&self) -> usize {
        let table = self.numbers.capacity() * (size_of::<(u64, SeriesId)>() + 1);
        size_of::<Self>() + self.before.bytes() + table + self.introduction.len()
    }

    /// What was counted since the snapshot before, or since the process started. `None` when it is longer than a block may
    /// be; it is part of the next frame then.
    pub fn frame(&mut self, snapshot: &Snapshot) -> Option<Coded> {
        self.code(snapshot, &Output::default())
    }

    /// The same with heap verdict and health checks.
    pub fn frame_with_extras(&mut self, snapshot: &Snapshot) -> Option<Coded> {
        let mut behind = Output::default();
        extras::write(snapshot, &mut behind);
        self.code(snapshot, &behind)
    }

    /// All that was counted since the process started, with heap verdict and health checks. Changes nothing for the
    /// frames that follow.
    pub fn full_frame(&mut self, snapshot: &Snapshot) -> Option<Coded> {
        let (rows, definitions) = self.rows(snapshot);
        let (mut values, mut forgotten) = (ValueWriter::default(), Memory::default());
        Changes { before: Remembered::nothing(), values: &mut values, after: &mut forgotten, snapshot }.write(&rows);
        let mut behind = Output::default();
        extras::write(snapshot, &mut behind);
        let head = Head { full: true, ..self.head(snapshot, Duration::ZERO) };
        Some(Coded { definitions, frame: head.frame(&values, &behind)? })
    }

    fn code(&mut self, snapshot: &Snapshot, extras: &Output) -> Option<Coded> {
        let (rows, definitions) = self.rows(snapshot);
        let (mut values, mut after) = (ValueWriter::with_room(self.frame_bytes), Memory::like(&self.before));
        Changes { before: self.before.iter(), values: &mut values, after: &mut after, snapshot }.write(&rows);
        let head = self.head(snapshot, self.uptime);
        let Some(frame) = head.frame(&values, extras) else {
            self.undelivered = definitions;
            return None;
        };
        after.settle();
        self.before = after;
        self.frame_bytes = frame.len();
        self.uptime = head.uptime;
        Some(Coded { definitions, frame })
    }

    fn head(&self, snapshot: &Snapshot, since: Duration) -> Head {
        let uptime = Duration::try_from_secs_f64(snapshot.uptime_seconds.max(0.0)).unwrap_or_default();
        // in whole microseconds, so that the spans of frames add up
        let uptime = Duration::from_micros(u64::try_from(uptime.as_micros()).unwrap_or(u64::MAX));
        Head {
            session: self.session,
            full: false,
            seq: snapshot.seq,
            at: snapshot.ts_ms,
            span: uptime.saturating_sub(since),
            uptime,
        }
    }

    /// The series of a snapshot by number, and definitions of those that are new.
    fn rows<'a>(&mut self, snapshot: &'a Snapshot) -> (Vec<Row<'a>>, Vec<u8>) {
        let series = snapshot.metrics.iter().map(|family| family.numbers.len() + family.histograms.len()).sum();
        let mut rows: Vec<Row<'a>> = Vec::with_capacity(series);
        let mut new = DefinitionWriter::new(self.session, self.next_id());
        self.left_out = 0;
        for family in &snapshot.metrics {
            for series in family.numbers.iter().filter(|series| series.value.is_finite()) {
                let Some(id) = self.number(family, &series.labels, &mut new) else { continue };
                let now = match family.kind {
                    Kind::Counter => Now::Count(series.value),
                    _ => Now::Level(series.value),
                };
                rows.push(Row { id, now });
            }
            for series in &family.histograms {
                let Some(id) = self.number(family, &series.labels, &mut new) else { continue };
                rows.push(Row { id, now: Now::Histogram(&series.histogram, family) });
            }
        }
        rows.sort_by_key(|row| row.id); // in runs already
        rows.dedup_by_key(|row| row.id);
        let mut definitions = std::mem::take(&mut self.undelivered);
        for payload in new.finish() {
            self.definition_bytes += payload.len() + block::FRAMING;
            block::append(SERIES, &payload, &mut definitions);
        }
        (rows, definitions)
    }

    fn next_id(&self) -> SeriesId {
        SeriesId::try_from(self.numbers.len()).unwrap_or(SeriesId::MAX)
    }

    /// The number of a series, a new one if there is room for its definition.
    fn number<'a>(
        &mut self,
        family: &'a Family,
        labels: &'a crate::label::Labels,
        new: &mut DefinitionWriter<'a>,
    ) -> Option<SeriesId> {
        let hash = self.hasher.hash_one((&*family.name, labels));
        if let Some(id) = self.numbers.get(&hash) {
            return Some(*id);
        }
        if self.definition_bytes + new.bytes() > self.definition_bytes_max {
            self.left_out += 1;
            return None;
        }
        let id = self.next_id();
        self.numbers.insert(hash, id);
        let help = family.help.as_deref();
        new.define(&Definition { name: &family.name, kind: family.kind, unit: &family.unit, help, labels });
        Some(id)
    }
}

/// What changed between the values before and those of a snapshot.
struct Changes<'a, 'w> {
    before: Remembered<'a>,
    values: &'w mut ValueWriter,
    after: &'w mut Memory,
    snapshot: &'a Snapshot,
}

impl Changes<'_, '_> {
    /// Writes what changed into `values`, and what was counted up to now into `after`. A series that is missing from the
    /// snapshot keeps what it had counted, so that it does not count it again when it comes back.
    fn write(mut self, rows: &[Row<'_>]) {
        let (mut buckets, mut changed) = (Vec::new(), Vec::new());
        let mut before = self.before.next();
        for row in rows {
            while let Some((id, had)) = before.filter(|(id, _)| *id < row.id) {
                self.after.had(id, had);
                before = self.before.next();
            }
            let known = before.filter(|(id, _)| *id == row.id).map(|(_, had)| had);
            match row.now {
                Now::Level(level) => self.values.level(row.id, level),
                Now::Count(now) => self.write_count(row.id, now, known),
                Now::Histogram(now, family) => match known {
                    // nothing was recorded: the number of values never stands still otherwise
                    Some(Had::Histogram(had)) if had.count == now.count => self.after.had(row.id, Had::Histogram(had)),
                    _ => {
                        let had = if let Some(Had::Histogram(had)) = known { had } else { HadHistogram::default() };
                        had.read(&mut buckets);
                        let sum = self.difference(now, (&buckets, had.sum), family, &mut changed);
                        self.values.histogram(row.id, &changed, sum);
                        self.after.histogram(row.id, now);
                    }
                },
            }
            if known.is_some() {
                before = self.before.next();
            }
        }
        while let Some((id, had)) = before {
            self.after.had(id, had);
            before = self.before.next();
        }
    }

    fn write_count(&mut self, id: SeriesId, now: f64, known: Option<Had<'_>>) {
        // a counter that went down began again from zero, as Prometheus reads it
        let had = if let Some(Had::Count(had)) = known { had } else { 0.0 };
        let increase = if now >= had { now - had } else { now };
        if increase > 0.0 || known.is_none() {
            self.values.increase(id, increase);
        }
        self.after.count(id, now);
    }

    /// What a histogram recorded since it had so many in each bucket; gives the sum of that.
    ///
    /// Buckets that lost something may have been taken together with their neighbours because memory is short; then whole
    /// groups are compared. If that does not explain it the histogram began again.
    fn difference(
        &self,
        now: &Histogram,
        (had, sum): (&[(u16, u64)], u64),
        family: &Family,
        changed: &mut Vec<(u16, u64)>,
    ) -> u64 {
        if subtract(&now.buckets, had, changed) {
            return now.sum.wrapping_sub(sum);
        }
        if let Ok(grid) = self.snapshot.grid(family.grid_kind())
            && subtract(&by_group(&now.buckets, &grid), &by_group(had, &grid), changed)
        {
            return now.sum.wrapping_sub(sum);
        }
        changed.clone_from(&now.buckets);
        now.sum
    }
}

/// The same counts by group, at the last bucket of each.
fn by_group(buckets: &[(u16, u64)], grid: &Grid) -> Vec<(u16, u64)> {
    let mut groups: Vec<(u16, u64)> = Vec::with_capacity(buckets.len());
    for &(bucket, count) in buckets.iter().filter(|(bucket, _)| usize::from(*bucket) < grid.len()) {
        let last = u16::try_from(grid.last_in_group(grid.group(usize::from(bucket)))).unwrap_or(u16::MAX);
        match groups.last_mut().filter(|(group, _)| *group == last) {
            Some((_, sum)) => *sum = sum.saturating_add(count),
            None => groups.push((last, count)),
        }
    }
    groups
}

/// `now` less `had`, bucket by bucket, into `changed`; `false` when a bucket lost something.
fn subtract(now: &[(u16, u64)], had: &[(u16, u64)], changed: &mut Vec<(u16, u64)>) -> bool {
    changed.clear();
    let mut had = had.iter().copied().peekable();
    for &(bucket, count) in now {
        let before = match had.peek() {
            Some((earlier, count)) if *earlier < bucket && *count > 0 => return false,
            Some((same, count)) if *same == bucket => *count,
            _ => 0,
        };
        if had.peek().is_some_and(|(same, _)| *same == bucket) {
            had.next();
        }
        match count.checked_sub(before) {
            None => return false,
            Some(0) => {}
            Some(more) => changed.push((bucket, more)),
        }
    }
    had.all(|(_, count)| count == 0)
}
