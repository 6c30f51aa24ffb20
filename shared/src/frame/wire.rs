//! Numbers and strings of a payload, read with every length checked; what they mean is not known here.

use integer_encoding::VarInt as _;

/// Bytes of a string; longer ones are cut at a character when written and refused when read.
const STRING_BYTES_MAX: usize = 64 << 10;

/// What makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// A payload being read. `None` from any method: it ends too early or holds what it must not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    #[inline]
    pub(super) fn number(&mut self) -> Option<u64> {
        if let [byte @ ..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Some(u64::from(*byte));
        }
        let (number, bytes) = u64::decode_var(self.0)?;
        self.take(bytes)?;
        Some(number)
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let (number, bytes) = i64::decode_var(self.0)?;
        self.take(bytes)?;
        Some(number)
    }

    /// A number of things of which each takes a byte at least, so that no claim allocates more than was sent.
    pub(super) fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|count| *count <= self.0.len())
    }

    pub(super) fn fixed(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    pub(super) fn float(&mut self) -> Option<f64> {
        let bits = self.take(8)?.try_into().ok().map(u64::from_le_bytes)?;
        Some(f64::from_bits(bits)).filter(|number| number.is_finite())
    }

    pub(super) fn string(&mut self) -> Option<&'a str> {
        let bytes = self.count().filter(|bytes| *bytes <= STRING_BYTES_MAX)?;
        std::str::from_utf8(self.take(bytes)?).ok()
    }

    /// A string that may be missing.
    pub(super) fn option(&mut self) -> Result<Option<&'a str>, Malformed> {
        match self.byte() {
            Some(0) => Ok(None),
            Some(1) => self.string().map(Some).ok_or(Malformed),
            _ => Err(Malformed),
        }
    }
}

/// A payload being written.
#[derive(Debug, Default)]
pub(super) struct Output(pub(super) Vec<u8>);

impl Output {
    #[inline]
    pub(super) fn number(&mut self, number: u64) {
        if number < 0x80 {
            #[expect(clippy::cast_possible_truncation, reason = "below 128")]
            self.0.push(number as u8);
            return;
        }
        if number < 0x4000 {
            #[expect(clippy::cast_possible_truncation, reason = "below 2^14: two bytes of seven bits")]
            self.0.extend_from_slice(&[number as u8 | 0x80, (number >> 7) as u8]);
            return;
        }
        let mut room = [0; 10];
        let bytes = number.encode_var(&mut room);
        self.0.extend_from_slice(&room[..bytes]);
    }

    pub(super) fn signed(&mut self, number: i64) {
        let mut room = [0; 10];
        let bytes = number.encode_var(&mut room);
        self.0.extend_from_slice(&room[..bytes]);
    }

    pub(super) fn string(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(STRING_BYTES_MAX)];
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn option(&mut self, text: Option<&str>) {
        self.0.push(u8::from(text.is_some()));
        if let Some(text) = text {
            self.string(text);
        }
    }
}
