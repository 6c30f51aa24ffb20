//! Which trace something belongs to, as [W3C Trace Context](https://www.w3.org/TR/trace-context/) writes it: parsed strictly,
//! written canonically. Where headers come from is not known here.

use std::fmt;
use std::str::FromStr;

/// Bytes of version, trace, parent and flags with their dashes.
const TRACEPARENT_BYTES: usize = 55;
/// Where the digits of the trace stand in a `traceparent`.
const TRACE: std::ops::Range<usize> = 3..35;
const PARENT: std::ops::Range<usize> = 36..52;
const FLAGS: std::ops::Range<usize> = 53..55;
const DASHES: [usize; 3] = [2, 35, 52];
/// Version 0 ends after the flags; later ones may go on behind a dash.
const VERSION_KNOWN: u64 = 0;
const VERSION_INVALID: u64 = 0xFF;
const SAMPLED: u64 = 1;
/// Members that a `tracestate` may have, and bytes that everybody must pass on.
const STATE_MEMBERS_MAX: usize = 32;
pub(crate) const STATE_BYTES_MAX: usize = 512;

/// A place in a trace: the trace, the span that is its newest part here, and whether whoever began the trace records it.
///
/// `Display` gives the value of the header `traceparent`, and `FromStr` reads it.
///
/// ```
/// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context: heartline::trace::TraceContext = header.parse().unwrap();
/// assert!(context.is_sampled());
/// assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_eq!(context.to_string(), header);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    pub(crate) trace: u128,
    pub(crate) span: u64,
    pub(crate) sampled: bool,
}

/// Why a text is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "reading a traceparent: {0}; it is 00-<32 digits>-<16 digits>-<2 digits>, in lower case, and neither id is zero"
)]
pub struct InvalidTraceparent(pub(crate) &'static str);

impl TraceContext {
    /// The trace, as 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The span, as 16 hexadecimal digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span)
    }

    /// Whether whoever began the trace says that it is recorded.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The trace as digits.
    pub(crate) fn digits(self) -> [u8; 32] {
        let mut digits = [0; 32];
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[((self.trace >> (4 * place)) & 0xF) as usize];
        }
        digits
    }

    /// The value of a header `traceparent`.
    pub(crate) fn parse(value: &[u8]) -> Result<Self, InvalidTraceparent> {
        let head = value.get(..TRACEPARENT_BYTES).ok_or(InvalidTraceparent("too short"))?;
        if DASHES.iter().any(|at| head[*at] != b'-') {
            return Err(InvalidTraceparent("its parts are not where they belong"));
        }
        let version = u64_of(&head[..2]).ok_or(InvalidTraceparent("its version is not hexadecimal"))?;
        let rest = &value[TRACEPARENT_BYTES..];
        match version {
            VERSION_INVALID => return Err(InvalidTraceparent("version ff is invalid")),
            VERSION_KNOWN if !rest.is_empty() => return Err(InvalidTraceparent("too long for version 00")),
            _ if rest.first().is_some_and(|next| *next != b'-') => {
                return Err(InvalidTraceparent("its flags are longer than two digits"));
            }
            _ => {}
        }
        let (high, low) = head[TRACE].split_at(16);
        let both =
            u64_of(high).zip(u64_of(low)).ok_or(InvalidTraceparent("its trace is not in lower-case hexadecimal"))?;
        let trace = (u128::from(both.0) << 64) | u128::from(both.1);
        let span = u64_of(&head[PARENT]).ok_or(InvalidTraceparent("its parent is not in lower-case hexadecimal"))?;
        let flags = u64_of(&head[FLAGS]).ok_or(InvalidTraceparent("its flags are not hexadecimal"))?;
        if trace == 0 || span == 0 {
            return Err(InvalidTraceparent("an id of zeros"));
        }
        Ok(Self { trace, span, sampled: flags & SAMPLED != 0 })
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTraceparent;

    fn from_str(value: &str) -> Result<Self, InvalidTraceparent> {
        Self::parse(value.as_bytes())
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// The digits of the trace in a `traceparent` that [`TraceContext::parse`] took.
pub(crate) fn trace_digits(value: &[u8]) -> Option<[u8; 32]> {
    value.get(TRACE)?.first_chunk().copied()
}

/// Up to sixteen lower-case digits.
fn u64_of(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((number << 4) | u64::from(value))
    })
}

/// Whether a `tracestate` may be passed on: a list of `key=value` within its limits. What the members mean is not looked at.
#[cfg_attr(not(any(feature = "tracing", test)), expect(dead_code, reason = "nothing is passed on without spans"))]
pub(crate) fn is_tracestate(value: &[u8]) -> bool {
    let is_member = |member: &[u8]| {
        let member = member.trim_ascii();
        let Some(at) = member.iter().position(|byte| *byte == b'=') else { return member.is_empty() };
        let (key, value) = (&member[..at], &member[at + 1..]);
        let is_key_byte = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
        let is_value_byte = |byte: &u8| matches!(byte, 0x20..=0x7E) && *byte != b'=';
        let starts = key.first().is_some_and(|first| matches!(first, b'a'..=b'z' | b'0'..=b'9'));
        starts
            && key.len() <= 256
            && key.iter().all(is_key_byte)
            && value.len() <= 256
            && value.iter().all(is_value_byte)
    };
    let members = || value.split(|byte| *byte == b',');
    value.len() <= STATE_BYTES_MAX
        && members().count() <= STATE_MEMBERS_MAX
        && members().any(|member| member.contains(&b'='))
        && members().all(is_member)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_the_specification_takes_is_taken() {
        let context = TraceContext::parse(GOOD.as_bytes()).unwrap();
        assert_eq!((context.trace, context.span), (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7));
        assert!(context.sampled);
        assert_eq!(context.digits(), context.trace_id().as_bytes());
        assert_eq!(trace_digits(GOOD.as_bytes()).unwrap(), *b"4bf92f3577b34da6a3ce929d0e0e4736");
        for (flags, sampled) in [("00", false), ("02", false), ("03", true), ("ff", true)] {
            let text = format!("{}{flags}", &GOOD[..53]);
            assert_eq!(text.parse::<TraceContext>().unwrap().sampled, sampled, "{flags}");
        }
        for later in [
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert!(later.parse::<TraceContext>().is_ok(), "{later}");
        }
    }

    #[test]
    fn whatever_else_is_refused_and_the_message_shows_the_form() {
        let bad = [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-010",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473\u{e9}00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902bX-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-x1",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ];
        for text in bad {
            let error = text.parse::<TraceContext>().unwrap_err().to_string();
            assert!(error.contains("00-<32 digits>"), "{text}: {error}");
        }
    }

    #[test]
    fn a_tracestate_within_its_limits_is_passed_on() {
        for good in ["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "a=1, ,b=2 ", "fw529a3039@dt=FfYAMZA;x", "0a-_*/=!"] {
            assert!(is_tracestate(good.as_bytes()), "{good}");
        }
        let many = (0..33).map(|at| format!("k{at}=v")).collect::<Vec<_>>().join(",");
        let long = format!("a={}", "x".repeat(257));
        let whole = format!("a={},b={},c=d", "x".repeat(256), "x".repeat(256));
        for bad in ["", ",", "novalue", "A=1", "=1", "a=1=2", "a=\u{7f}", "a=\r\nb: c", &many, &long, &whole] {
            assert!(!is_tracestate(bad.as_bytes()), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic_and_what_is_taken_is_written_the_same(bytes: Vec<u8>) {
            if let Ok(context) = TraceContext::parse(&bytes) {
                prop_assert_eq!(TraceContext::parse(context.to_string().as_bytes()).unwrap(), context);
            }
            is_tracestate(&bytes);
        }

        #[test]
        fn one_changed_byte_is_another_context_or_none(at in 0..55_usize, byte: u8) {
            let mut bytes = GOOD.as_bytes().to_vec();
            bytes[at] = byte;
            let good = TraceContext::parse(GOOD.as_bytes()).unwrap();
            match TraceContext::parse(&bytes) {
                Ok(context) if !FLAGS.contains(&at) && at > 1 => prop_assert_eq!(context == good, bytes == GOOD.as_bytes()),
                Ok(context) => prop_assert_eq!(context.trace, good.trace),
                Err(_) => prop_assert_ne!(bytes, GOOD.as_bytes()),
            }
        }
    }
}
