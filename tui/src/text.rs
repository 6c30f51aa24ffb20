//! The one string type for everything that came from outside: sanitised and bounded, and cut to fit by columns.
//! What the string says is not known here.
//!
//! Labels, names, error messages and alert texts become a [`Text`] where they are parsed; nothing else from outside
//! reaches the terminal, standard output or a log. A `Text` holds no control characters, no bidirectional overrides, no
//! invisible characters and no flood of combining marks.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The longest text kept, in bytes; what is longer ends in `…`.
pub const TEXT_BYTES_MAX: usize = 1024;
/// How many combining marks one base character may carry; the rest is dropped.
const MARKS_MAX: usize = 3;
const REPLACEMENT: char = '\u{FFFD}';
const ELLIPSIS: char = '…';

/// A sanitised, bounded string; cheap to clone.
///
/// ```
/// use heartline_tui::text::Text;
///
/// assert_eq!(Text::new("GET /carts\u{1b}[31m").as_str(), "GET /carts\u{fffd}[31m");
/// assert_eq!(Text::new("GET /products/{id}").cut(10), "GET /prod…");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Arc<str>);

impl Text {
    /// `raw`, made safe to print.
    pub fn new(raw: &str) -> Self {
        match sanitise(raw) {
            Cow::Borrowed(clean) => Self(clean.into()),
            Cow::Owned(clean) => Self(clean.into()),
        }
    }

    /// The sanitised string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing is left to show.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many terminal columns it takes.
    pub fn width(&self) -> usize {
        self.0.width()
    }

    /// At most `columns` columns from the start, ending in `…` when something was left out.
    pub fn cut(&self, columns: usize) -> Cow<'_, str> {
        cut(&self.0, columns)
    }

    /// At most `columns` columns from the end, beginning with `…` when something was left out.
    pub fn cut_start(&self, columns: usize) -> Cow<'_, str> {
        cut_start(&self.0, columns)
    }
}

impl Default for Text {
    fn default() -> Self {
        Self(Arc::from(""))
    }
}

impl From<&str> for Text {
    fn from(raw: &str) -> Self {
        Self::new(raw)
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// `raw` without anything a terminal would obey or a reader would not see, at most [`TEXT_BYTES_MAX`] bytes.
///
/// White space of any kind becomes a space; control characters and bidirectional overrides become `�`, so that an
/// attempt stays visible; characters without a glyph are dropped; a base character keeps its first three marks.
pub fn sanitise(raw: &str) -> Cow<'_, str> {
    if raw.len() <= TEXT_BYTES_MAX && raw.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Cow::Borrowed(raw);
    }
    let mut clean = String::with_capacity(raw.len().min(TEXT_BYTES_MAX));
    let mut marks = MARKS_MAX; // a mark without a base character is dropped
    for c in raw.chars() {
        let shown = match c {
            '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
            c if c.is_control() || is_bidi_control(c) => REPLACEMENT,
            c if is_invisible(c) => continue,
            c => c,
        };
        if shown.width().unwrap_or(0) > 0 {
            marks = 0;
        } else if marks < MARKS_MAX {
            marks += 1;
        } else {
            continue;
        }
        if clean.len() + shown.len_utf8() > TEXT_BYTES_MAX - ELLIPSIS.len_utf8() {
            clean.push(ELLIPSIS);
            break;
        }
        clean.push(shown);
    }
    if clean == raw { Cow::Borrowed(raw) } else { Cow::Owned(clean) }
}

/// Characters that reorder what is around them.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Characters without a glyph (Unicode's `Default_Ignorable_Code_Point` beyond the bidirectional ones), and
/// annotation characters.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200D}' | '\u{2060}'..='\u{2065}' | '\u{206A}'..='\u{206F}' | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// At most `columns` columns of an already sanitised string, from its start, between grapheme clusters.
pub fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if text.width() <= columns {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    let mut used = 0;
    for cluster in text.graphemes(true) {
        used += cluster.width();
        if used >= columns {
            break;
        }
        kept.push_str(cluster);
    }
    if columns > 0 {
        kept.push(ELLIPSIS);
    }
    Cow::Owned(kept)
}

/// At most `columns` columns of an already sanitised string, from its end, between grapheme clusters.
pub fn cut_start(text: &str, columns: usize) -> Cow<'_, str> {
    if text.width() <= columns {
        return Cow::Borrowed(text);
    }
    let mut from = text.len();
    let mut used = 0;
    for (at, cluster) in text.grapheme_indices(true).rev() {
        used += cluster.width();
        if used >= columns {
            break;
        }
        from = at;
    }
    let mark = if columns > 0 { "…" } else { "" };
    Cow::Owned(format!("{mark}{}", &text[from..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escape_sequences_lose_their_escape() {
        assert_eq!(Text::new("\u{1b}]0;owned\u{7}"), "\u{fffd}]0;owned\u{fffd}");
        assert_eq!(Text::new("\u{9b}31m"), "\u{fffd}31m");
    }

    #[test]
    fn line_breaks_become_spaces() {
        assert_eq!(Text::new("a\nb\tc\u{2028}d"), "a b c d");
    }

    #[test]
    fn reordering_stays_visible_as_an_attempt() {
        assert_eq!(Text::new("safe\u{202e}evil"), "safe\u{fffd}evil");
    }

    #[test]
    fn zero_width_floods_vanish() {
        assert_eq!(Text::new(&format!("a{}b", "\u{200b}".repeat(500))), "ab");
        let zalgo = Text::new(&format!("a{}b", "\u{301}".repeat(500)));
        assert_eq!(zalgo.as_str().chars().count(), 2 + MARKS_MAX);
    }

    #[test]
    fn ordinary_words_of_any_script_are_kept() {
        for word in ["Bestellübersicht", "注文", "заказ", "cafe\u{301}"] {
            assert_eq!(Text::new(word), word);
        }
    }

    #[test]
    fn a_long_text_ends_in_an_ellipsis() {
        let long = Text::new(&"é".repeat(TEXT_BYTES_MAX));
        assert!(long.as_str().len() <= TEXT_BYTES_MAX && long.as_str().ends_with('…'));
    }

    #[test]
    fn cutting_counts_columns_and_keeps_clusters_whole() {
        assert_eq!(cut("注文一覧", 5), "注文…");
        assert_eq!(cut("注文一覧", 4), "注…");
        assert_eq!(cut_start("/products/{id}", 6), "…/{id}");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(cut("abc", 1), "…");
    }

    proptest! {
        #[test]
        fn nothing_a_terminal_would_obey_survives(raw in prop::collection::vec(any::<char>(), 0..300)) {
            let raw: String = raw.into_iter().collect();
            let text = Text::new(&raw);
            prop_assert!(text.as_str().chars().all(|c| !c.is_control() && !is_bidi_control(c) && !is_invisible(c)));
            prop_assert!(text.as_str().len() <= TEXT_BYTES_MAX);
            prop_assert_eq!(Text::new(text.as_str()), text.clone(), "sanitising twice changes nothing");
            for columns in 0..12 {
                prop_assert!(text.cut(columns).width() <= columns);
                prop_assert!(text.cut_start(columns).width() <= columns);
            }
        }
    }
}
