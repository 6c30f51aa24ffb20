//! Blocks with marker, length and checksum, and finding the next one behind damaged bytes. What is in them is not known
//! here.

/// How long a payload may be, in bytes.
pub const BLOCK_BYTES_MAX: usize = 16 << 20;
const MARKER: [u8; 4] = [0xf1, b'H', b'L', b'F'];
const HEAD: usize = 9;
const TAIL: usize = 4;

/// Bytes of marker, kind, length and checksum.
pub(super) const FRAMING: usize = HEAD + TAIL;

/// Kinds of blocks.
pub(super) const PROCESS: u8 = 1;
pub(super) const SERIES: u8 = 2;
pub(super) const FRAME: u8 = 3;

/// Appends a block; `false` and nothing when the payload is too long.
pub(super) fn append(kind: u8, payload: &[u8], to: &mut Vec<u8>) -> bool {
    let Some(length) = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= BLOCK_BYTES_MAX) else {
        return false;
    };
    to.reserve(payload.len() + FRAMING);
    to.extend_from_slice(&MARKER);
    let checked = to.len();
    to.push(kind);
    to.extend_from_slice(&length.to_le_bytes());
    to.extend_from_slice(payload);
    let checksum = crc32fast::hash(&to[checked..]);
    to.extend_from_slice(&checksum.to_le_bytes());
    true
}

/// A block at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block<'a> {
    pub(super) kind: u8,
    pub(super) payload: &'a [u8],
    /// All of it, marker and checksum included.
    pub(super) bytes: usize,
}

/// What stands at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Block(Block<'a>),
    /// The beginning of a block, as far as can be seen.
    Incomplete,
    /// No block; the checksum of so many bytes was taken to find out.
    Nothing(usize),
}

/// Looks at the beginning of `bytes`.
pub(super) fn at_start(bytes: &[u8]) -> Found<'_> {
    let seen = bytes.len().min(MARKER.len());
    if bytes[..seen] != MARKER[..seen] {
        return Found::Nothing(0);
    }
    let length = bytes.get(5..HEAD).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes);
    let Some(length) = length.and_then(|length| usize::try_from(length).ok()) else { return Found::Incomplete };
    if length > BLOCK_BYTES_MAX {
        return Found::Nothing(0);
    }
    let total = length + FRAMING;
    let Some(whole) = bytes.get(..total) else { return Found::Incomplete };
    let (checked, checksum) = whole[MARKER.len()..].split_at(length + HEAD - MARKER.len());
    if crc32fast::hash(checked).to_le_bytes() != checksum {
        return Found::Nothing(total);
    }
    Found::Block(Block { kind: checked[0], payload: &whole[HEAD..HEAD + length], bytes: total })
}

/// The payload of a single block that is known to be whole.
pub(super) fn payload_of(kind: u8, block: &[u8]) -> Option<&[u8]> {
    let payload = block.get(HEAD..block.len().checked_sub(TAIL)?)?;
    (block.get(4) == Some(&kind)).then_some(payload)
}

/// Where the next marker, or what may become one, begins in `bytes`.
pub(super) fn next_marker(bytes: &[u8]) -> usize {
    let may_begin = |at: &usize| {
        let seen = (bytes.len() - at).min(MARKER.len());
        bytes[*at..*at + seen] == MARKER[..seen]
    };
    (0..bytes.len()).find(may_begin).unwrap_or(bytes.len())
}
