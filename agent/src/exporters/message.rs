//! The wire format of protobuf, as far as it is written here: fields of a message, one after the other. What the fields
//! mean is not known here.

/// Wire types.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const DELIMITED: u32 = 2;

/// Bytes of the longest number.
const VARINT_BYTES_MAX: usize = 10;

/// A message under construction.
pub(super) struct Message<'a>(pub(super) &'a mut Vec<u8>);

impl Message<'_> {
    fn key(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    pub(super) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(low_bits(value) | 0x80);
            value >>= 7;
        }
        self.0.push(low_bits(value));
    }

    pub(super) fn integer(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.key(field, VARINT);
            self.varint(value);
        }
    }

    /// Zigzag, as `sint64` has it.
    pub(super) fn signed(&mut self, field: u32, value: i64) {
        if value != 0 {
            self.key(field, VARINT);
            self.zigzag(value);
        }
    }

    /// One of several `sint64` that stand behind each other in one field.
    pub(super) fn zigzag(&mut self, value: i64) {
        self.varint((value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
    }

    pub(super) fn float(&mut self, field: u32, value: f64) {
        if value.to_bits() != 0 {
            self.key(field, FIXED64);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    pub(super) fn text(&mut self, field: u32, text: &str) {
        self.key(field, DELIMITED);
        self.varint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Message<'_>)) {
        self.key(field, DELIMITED);
        self.delimited(write);
    }

    /// What `write` writes, with its length before it.
    pub(super) fn delimited(&mut self, write: impl FnOnce(&mut Message<'_>)) {
        let start = self.0.len();
        self.0.push(0); // most are short: one byte is enough for their length
        write(&mut Message(&mut *self.0));
        let end = self.0.len();
        let length = end - start - 1;
        if let (Some(first), Ok(short @ ..0x80)) = (self.0.get_mut(start), u8::try_from(length)) {
            *first = short;
            return;
        }
        self.varint(length as u64);
        let bytes = self.0.len() - end;
        let mut prefix = [0; VARINT_BYTES_MAX];
        prefix[..bytes].copy_from_slice(&self.0[end..]);
        self.0.truncate(end + bytes - 1);
        self.0.copy_within(start + 1..end, start + bytes);
        self.0[start..start + bytes].copy_from_slice(&prefix[..bytes]);
    }
}

/// What OTLP writes beside.
#[cfg(feature = "otlp")]
impl Message<'_> {
    /// A number that is written whatever it is, for fields whose presence means something.
    pub(super) fn set_float(&mut self, field: u32, value: f64) {
        self.key(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes, for large numbers.
    pub(super) fn fixed(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.key(field, FIXED64);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// Numbers of eight bytes each, packed.
    pub(super) fn fixed_all(&mut self, field: u32, values: impl ExactSizeIterator<Item = [u8; 8]>) {
        if values.len() > 0 {
            self.key(field, DELIMITED);
            self.varint(8 * values.len() as u64);
            values.for_each(|value| self.0.extend_from_slice(&value));
        }
    }

    /// Numbers of as many bytes as they need, packed.
    pub(super) fn integers(&mut self, field: u32, values: &[u64]) {
        if !values.is_empty() {
            self.message(field, |packed| packed.varints(values));
        }
    }

    /// One behind the other, in room that is made for all of them at once.
    fn varints(&mut self, values: &[u64]) {
        let widest = values.iter().fold(0, |all, value| all | value);
        if widest < 0x80 {
            self.0.extend(values.iter().map(|value| low_bits(*value)));
            return;
        }
        let start = self.0.len();
        self.0.resize(start + values.len() * VARINT_BYTES_MAX, 0);
        let mut at = start;
        for &value in values {
            let mut rest = value;
            while rest >= 0x80 {
                self.0[at] = low_bits(rest) | 0x80;
                rest >>= 7;
                at += 1;
            }
            self.0[at] = low_bits(rest);
            at += 1;
        }
        self.0.truncate(at);
    }

    /// Bytes, such as an encoded message.
    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, DELIMITED);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

/// The seven lowest bits.
const fn low_bits(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_more_than_one_byte_stand_before_what_they_measure() {
        let mut long = Vec::new();
        Message(&mut long).delimited(|inner| inner.0.extend_from_slice(&[7; 300]));
        assert_eq!(long[..3], [0xac, 0x02, 7]);
        assert_eq!((long.len(), long[301]), (302, 7));
        for length in [0, 1, 127, 128, 20_000] {
            let mut message = vec![9];
            Message(&mut message).delimited(|inner| inner.0.extend((0..length).map(|at| (at % 251) as u8)));
            let mut expected = vec![9];
            Message(&mut expected).varint(length);
            expected.extend((0..length).map(|at| (at % 251) as u8));
            assert_eq!(message, expected);
        }
    }
}
