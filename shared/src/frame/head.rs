//! What stands before the values of a frame. The values are not known here.

use std::time::Duration;

use super::block::{self, FRAME};
use super::values::{ValueWriter, Values};
use super::wire::{Input, Output};
use crate::time::UnixMillis;

const FULL: u64 = 1;

/// The fields of a frame before its values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) session: u32,
    pub(super) full: bool,
    pub(super) seq: u64,
    pub(super) at: UnixMillis,
    pub(super) span: Duration,
    pub(super) uptime: Duration,
}

impl Head {
    /// The whole frame as a block; `extras` stand behind the values. `None` when it is longer than a block may be.
    pub(super) fn frame(&self, values: &ValueWriter, extras: &Output) -> Option<Vec<u8>> {
        let mut payload = Output(Vec::with_capacity(40 + values.out.0.len() + extras.0.len()));
        payload.0.extend_from_slice(&self.session.to_le_bytes());
        payload.number(if self.full { FULL } else { 0 });
        payload.number(self.seq);
        payload.number(self.at.0);
        payload.number(micros(self.span));
        payload.number(micros(self.uptime));
        payload.number(values.count);
        payload.0.extend_from_slice(&values.out.0);
        payload.0.extend_from_slice(&extras.0);
        let mut whole = Vec::with_capacity(payload.0.len() + block::FRAMING);
        block::append(FRAME, &payload.0, &mut whole).then_some(whole)
    }

    /// Reads a payload up to its values.
    pub(super) fn read(payload: &[u8]) -> Option<(Self, Values<'_>)> {
        let mut input = Input(payload);
        let session = input.fixed()?;
        let full = input.number()? & FULL != 0;
        let seq = input.number()?;
        let at = UnixMillis(input.number()?);
        let span = Duration::from_micros(input.number()?);
        let uptime = Duration::from_micros(input.number()?);
        let count = input.count()?;
        Some((Self { session, full, seq, at, span, uptime }, Values::new(input, count)))
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
