//! Which fields of spans and events are kept, and their values, taken before a tree is touched: what formats itself is code of
//! the host. Where they go is not known here.

use std::cell::Cell;
use std::fmt;

use tracing::field::{Field, Visit};

/// Bytes of one value; the rest is cut off at a character.
pub(super) const VALUE_BYTES_MAX: usize = 256;
/// Fields of one span or event.
const FIELDS_MAX: usize = 16;
/// Names that begin so tell what a span did, by OpenTelemetry's semantic conventions.
const TELLING: [&str; 18] = [
    "http.",
    "db.",
    "rpc.",
    "messaging.",
    "otel.",
    "err",
    "exception.",
    "server.",
    "network.",
    "cache.",
    "peer.",
    "url.scheme",
    "url.template",
    "graphql.operation.",
    "job.",
    "queue.",
    "code.",
    "message",
];
/// Of these, the ones that may hold what users typed, or keys.
const SECRET: [&str; 9] = [
    "db.statement",
    "db.query.text",
    "db.query.parameter",
    "db.operation.parameter",
    "db.user",
    "http.url",
    "http.target",
    "http.request.header",
    "http.response.header",
];

/// Whose values are kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    /// Beside what is telling.
    pub(super) more: Vec<String>,
    pub(super) all: bool,
}

impl Wanted {
    #[inline]
    fn has(&self, name: &str) -> bool {
        self.all
            || is_telling(name)
            || (!self.more.is_empty() && self.more.iter().any(|more| name.starts_with(more.as_str())))
    }
}

fn is_telling(name: &str) -> bool {
    let begins = |list: &[&str]| list.iter().any(|telling| name.starts_with(telling));
    begins(&TELLING) && !begins(&SECRET)
}

/// A value as it is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Said<'a> {
    Text(&'a str),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Flag(bool),
}

#[derive(Debug, Clone, Copy)]
enum Kept {
    /// Up to where in the texts.
    Text(usize),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Flag(bool),
}

/// The fields of one span or event. Its memory is the thread's.
#[derive(Debug, Default)]
pub(super) struct Fields {
    entries: Vec<(&'static str, Kept)>,
    text: String,
    left_out: u32,
}

thread_local! {
    static SPARE: Cell<Option<Box<Fields>>> = const { Cell::new(None) };
}

/// The fields that `record` says, for `use_them`. Another span that comes of saying them has fields of its own.
#[inline]
pub(super) fn read<T>(wanted: &Wanted, record: impl FnOnce(&mut dyn Visit), use_them: impl FnOnce(&Fields) -> T) -> T {
    let mut fields = SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default();
    fields.entries.clear();
    fields.text.clear();
    fields.left_out = 0;
    record(&mut Reader { fields: &mut fields, wanted });
    let done = use_them(&fields);
    let _ = SPARE.try_with(|spare| spare.set(Some(fields))); // a thread that ends keeps nothing
    done
}

impl Fields {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.left_out == 0
    }

    /// How many there were beside.
    pub(super) fn left_out(&self) -> u32 {
        self.left_out
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, Said<'_>)> {
        let mut from = 0;
        self.entries.iter().map(move |(name, value)| {
            let said = match *value {
                Kept::Text(end) => {
                    Said::Text(self.text.get(std::mem::replace(&mut from, end)..end).unwrap_or_default())
                }
                Kept::Signed(number) => Said::Signed(number),
                Kept::Unsigned(number) => Said::Unsigned(number),
                Kept::Float(number) => Said::Float(number),
                Kept::Flag(flag) => Said::Flag(flag),
            };
            (*name, said)
        })
    }
}

/// Takes what is wanted.
struct Reader<'a> {
    fields: &'a mut Fields,
    wanted: &'a Wanted,
}

impl Reader<'_> {
    #[inline]
    fn wants(&mut self, field: &Field) -> bool {
        if !self.wanted.has(field.name()) {
            return false;
        }
        let has_room = self.fields.entries.len() < FIELDS_MAX;
        self.fields.left_out += u32::from(!has_room);
        has_room
    }

    #[inline]
    fn put(&mut self, field: &Field, value: Kept) {
        if self.wants(field) {
            self.fields.entries.push((field.name(), value));
        }
    }

    fn format(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.wants(field) {
            let end = self.fields.text.len() + VALUE_BYTES_MAX;
            let _ = fmt::write(&mut Cutting { text: &mut self.fields.text, end }, value); // what does not fit is cut off
            self.fields.entries.push((field.name(), Kept::Text(self.fields.text.len())));
        }
    }
}

impl Visit for Reader<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.format(field, format_args!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.format(field, format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.wants(field) {
            self.fields.text.push_str(&value[..value.floor_char_boundary(VALUE_BYTES_MAX)]);
            self.fields.entries.push((field.name(), Kept::Text(self.fields.text.len())));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Kept::Signed(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Kept::Unsigned(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Kept::Float(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Kept::Flag(value));
    }
}

/// Takes text up to a place.
struct Cutting<'a> {
    text: &'a mut String,
    end: usize,
}

impl fmt::Write for Cutting<'_> {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let cut = &more[..more.floor_char_boundary(self.end - self.text.len())];
        self.text.push_str(cut);
        if cut.len() == more.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_conventions_are_kept_and_what_may_hold_secrets_is_not() {
        for kept in [
            "http.route",
            "http.request.method",
            "db.query.summary",
            "otel.kind",
            "error.type",
            "error",
            "err",
            "message",
        ] {
            assert!(is_telling(kept), "{kept}");
        }
        for left in [
            "db.query.text",
            "db.statement",
            "http.url",
            "http.request.header.authorization",
            "url.full",
            "url.query",
            "password",
            "user",
            "arg",
        ] {
            assert!(!is_telling(left), "{left}");
        }
        let more = Wanted { more: vec!["order.".to_owned()], all: false };
        assert!(more.has("order.id") && !more.has("password"));
        assert!(Wanted { all: true, ..Wanted::default() }.has("password"));
    }

    #[test]
    fn what_formats_itself_is_cut_at_a_character_and_need_not_end() {
        struct Endless;
        impl fmt::Debug for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("äöü")?;
                }
            }
        }
        let mut text = String::from("before");
        let end = text.len() + VALUE_BYTES_MAX;
        assert!(fmt::write(&mut Cutting { text: &mut text, end }, format_args!("{Endless:?}")).is_err());
        assert!(text.len() <= end && text.len() > end - 4 && text.ends_with(['ä', 'ö', 'ü']));
    }
}
