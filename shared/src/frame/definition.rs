//! Who writes frames and which series they name, as payloads of blocks. Values are not known here.

use std::collections::HashMap;

use super::wire::{Input, Output};
use super::{FORMAT_VERSION, Process, SeriesId};
use crate::buckets::GridKind;
use crate::catalog::Kind;
use crate::label::Labels;
use crate::time::UnixMillis;

/// Series are defined in blocks of at most so many bytes.
const DEFINITIONS_BYTES: usize = 64 << 10;

/// A series that frames name by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// OpenTelemetry name of its metric.
    pub name: String,
    /// What its numbers mean.
    pub kind: Kind,
    /// UCUM unit.
    pub unit: String,
    /// Help text of a metric that is not in the catalogue.
    pub help: Option<String>,
    /// What distinguishes it.
    pub labels: Labels,
}

impl Series {
    /// What it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        let labels: usize = self.labels.iter().map(|(name, value)| name.len() + value.len() + 48).sum();
        size_of::<Self>() + self.name.len() + self.unit.len() + self.help.as_ref().map_or(0, String::len) + labels
    }
}

/// Why a definition cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    Newer,
}

impl Process {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Output::default();
        out.number(FORMAT_VERSION);
        out.string(&self.service);
        out.option(self.version.as_deref());
        out.string(&self.instance_id);
        out.number(self.started_at.0);
        out.number(self.extra_boundaries.len() as u64);
        for (kind, extra) in &self.extra_boundaries {
            out.number(u64::from(*kind == GridKind::Count));
            out.number(extra.len() as u64);
            for bound in extra {
                out.number(*bound);
            }
        }
        out.0
    }

    pub(super) fn read(payload: &[u8]) -> Result<Self, Refusal> {
        let mut input = Input(payload);
        if input.number().ok_or(Refusal::Malformed)? > FORMAT_VERSION {
            return Err(Refusal::Newer);
        }
        Self::read_fields(&mut input).ok_or(Refusal::Malformed)
    }

    fn read_fields(input: &mut Input<'_>) -> Option<Self> {
        let mut process = Self {
            service: input.string()?.to_owned(),
            version: input.option().ok()?.map(str::to_owned),
            instance_id: input.string()?.to_owned(),
            started_at: UnixMillis(input.number()?),
            ..Self::default()
        };
        for _ in 0..input.count()? {
            let kind = match input.number()? {
                0 => GridKind::Duration,
                1 => GridKind::Count,
                _ => return None,
            };
            let count = input.count()?;
            let extra = (0..count).map(|_| input.number()).collect::<Option<Vec<u64>>>()?;
            process.extra_boundaries.insert(kind, extra);
        }
        Some(process)
    }
}

const KINDS: [Kind; 4] = [Kind::Counter, Kind::UpDownCounter, Kind::Gauge, Kind::Histogram];

/// A series as it is written: with the strings of the snapshot it comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Definition<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    pub(super) unit: &'a str,
    pub(super) help: Option<&'a str>,
    pub(super) labels: &'a Labels,
}

/// Payloads that define series in the order of their numbers.
pub(super) struct DefinitionWriter<'a> {
    session: u32,
    next: SeriesId,
    done: Vec<Vec<u8>>,
    open: Output,
    first: SeriesId,
    count: u64,
    strings: HashMap<&'a str, u64>,
}

impl<'a> DefinitionWriter<'a> {
    pub(super) fn new(session: u32, first: SeriesId) -> Self {
        let (done, open, strings) = (Vec::new(), Output::default(), HashMap::new());
        Self { session, next: first, done, open, first, count: 0, strings }
    }

    pub(super) fn define(&mut self, series: &Definition<'a>) {
        self.name(series.name);
        self.name(series.unit);
        self.open.number(KINDS.iter().position(|kind| *kind == series.kind).unwrap_or_default() as u64);
        self.open.option(series.help);
        self.open.number(series.labels.len() as u64);
        for (name, value) in series.labels.iter() {
            self.name(name);
            self.name(value);
        }
        self.count += 1;
        self.next += 1;
        if self.open.0.len() > DEFINITIONS_BYTES {
            self.close();
        }
    }

    /// A string, or the place of the same one before it.
    fn name(&mut self, text: &'a str) {
        if let Some(place) = self.strings.get(text) {
            self.open.number(*place);
            return;
        }
        self.strings.insert(text, self.strings.len() as u64 + 1);
        self.open.number(0);
        self.open.string(text);
    }

    /// Bytes written so far.
    pub(super) fn bytes(&self) -> usize {
        self.done.iter().map(Vec::len).sum::<usize>() + self.open.0.len()
    }

    fn close(&mut self) {
        if self.count == 0 {
            return;
        }
        let mut payload = Output(self.session.to_le_bytes().to_vec());
        payload.number(u64::from(self.first));
        payload.number(self.count);
        payload.0.append(&mut self.open.0);
        self.done.push(payload.0);
        (self.first, self.count) = (self.next, 0);
        self.strings.clear();
    }

    pub(super) fn finish(mut self) -> Vec<Vec<u8>> {
        self.close();
        self.done
    }
}

/// Reads the definitions behind a session; calls `each` with number and series until it says no.
pub(super) fn read_series(
    input: &mut Input<'_>,
    mut each: impl FnMut(SeriesId, Series) -> bool,
) -> Result<(), Refusal> {
    read_definitions(input, &mut each).ok_or(Refusal::Malformed)
}

fn read_definitions(input: &mut Input<'_>, each: &mut impl FnMut(SeriesId, Series) -> bool) -> Option<()> {
    let first = SeriesId::try_from(input.number()?).ok()?;
    let count = input.count()?;
    let mut strings: Vec<&str> = Vec::new();
    for place in 0..count {
        let id = first.checked_add(SeriesId::try_from(place).ok()?)?;
        let name = read_name(input, &mut strings)?.to_owned();
        let unit = read_name(input, &mut strings)?.to_owned();
        let kind = *KINDS.get(usize::try_from(input.number()?).ok()?)?;
        let help = input.option().ok()?.map(str::to_owned);
        let mut labels = Labels::empty();
        for _ in 0..input.count()? {
            let name = read_name(input, &mut strings)?.to_owned();
            labels.set(name, read_name(input, &mut strings)?);
        }
        if !each(id, Series { name, kind, unit, help, labels }) {
            return Some(());
        }
    }
    Some(())
}

fn read_name<'a>(input: &mut Input<'a>, strings: &mut Vec<&'a str>) -> Option<&'a str> {
    match usize::try_from(input.number()?).ok()? {
        0 => {
            let text = input.string()?;
            strings.push(text);
            Some(text)
        }
        place => strings.get(place - 1).copied(),
    }
}
