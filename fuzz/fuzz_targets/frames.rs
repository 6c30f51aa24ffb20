//! The decoder of frames against hostile bytes: as they are, and as the payloads of blocks whose checksums are right.
//! Whatever comes, every byte is read or reported, and what is handed over can be trusted.
#![no_main]

use heartline_shared::frame::{Decoder, Event, Replay, Replayed, Sums};
use libfuzzer_sys::fuzz_target;

/// Blocks with right checksums: each begins with its kind, and its length in two bytes.
fn blocks(mut input: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut session = [0; 4];
    while let [kind, low, high, rest @ ..] = input {
        let (kind, length) = (kind % 5, usize::from(u16::from_le_bytes([*low, *high])).min(rest.len()));
        let (payload, behind) = rest.split_at(length);
        input = behind;
        // series and frames name the process before them, or nothing behind that would be read
        let payload = if kind == 1 {
            session = crc32fast::hash(payload).to_le_bytes();
            payload.to_vec()
        } else {
            [&session[..], payload].concat()
        };
        let mut block = vec![kind];
        block.extend_from_slice(&u32::try_from(payload.len()).expect("at most 64 KiB").to_le_bytes());
        block.extend_from_slice(&payload);
        let checksum = crc32fast::hash(&block);
        stream.extend_from_slice(b"\xf1HLF");
        stream.extend_from_slice(&block);
        stream.extend_from_slice(&checksum.to_le_bytes());
        Sums::default().add(&stream[stream.len() - block.len() - 8..]);
    }
    stream
}

fn decode(stream: &[u8], chunk: usize) {
    let mut decoder = Decoder::new();
    let mut reported = 0;
    let mut next = |decoder: &mut Decoder| {
        while let Some(event) = decoder.next_event() {
            match event {
                Event::Damage(damage) => {
                    assert!(damage.bytes > 0 && damage.offset + damage.bytes <= stream.len() as u64);
                    reported += damage.bytes;
                }
                Event::Frame(frame) => {
                    assert!(frame.values.iter().all(|(id, _)| decoder.series(*id).is_some()));
                    assert!(frame.values.is_sorted_by_key(|(id, _)| *id));
                }
                Event::Process(_) => {}
            }
        }
    };
    for chunk in stream.chunks(chunk.max(1)) {
        decoder.push(chunk);
        next(&mut decoder);
    }
    decoder.finish();
    next(&mut decoder);
    assert!(reported <= stream.len() as u64);
}

fn replay(stream: &[u8]) {
    let mut replay = Replay::new();
    replay.push(stream);
    replay.finish();
    while let Some(state) = replay.next_state() {
        if let Replayed::Snapshot(snapshot) = state {
            snapshot.validate().expect("a replayed snapshot can be trusted");
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let [mode, input @ ..] = input else { return };
    let chunk = usize::from(mode >> 1);
    let stream = if mode & 1 == 0 { input.to_vec() } else { blocks(input) };
    decode(&stream, if chunk == 0 { stream.len() } else { chunk });
    replay(&stream);
});
