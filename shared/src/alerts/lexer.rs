//! Cuts the text of a signal into tokens with their places; how tokens form a signal is not known here.

use std::ops::Range;
use std::time::Duration;

use super::quantity::{Refusal, parse_duration};

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A dotted name: a function, metric, attribute or signal.
    Name(String),
    /// A number without a unit.
    Number(f64),
    /// A number with a unit of time.
    Duration(Duration),
    /// The content of `'…'`.
    Text(String),
    /// `(` `)` `{` `}` `,` `+` `-` `*` `/`
    Mark(char),
    /// `=` `!=` `=~` `!~`
    Match(&'static str),
    /// Past the last token.
    End,
}

impl Token {
    /// How messages call it.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Name(name) => format!("`{name}`"),
            Self::Number(number) => format!("the number {number}"),
            Self::Duration(_) => "a duration".to_owned(),
            Self::Text(text) => format!("the text '{text}'"),
            Self::Mark(mark) => format!("`{mark}`"),
            Self::Match(mark) => format!("`{mark}`"),
            Self::End => "the end".to_owned(),
        }
    }
}

/// A token and the bytes of the signal it was read from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) place: Range<usize>,
}

/// All tokens of a signal, the last one being [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, Refusal> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (token, length) = match first {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            c if c.is_ascii_alphabetic() || c == '_' => name(rest),
            c if c.is_ascii_digit() => number(rest, at)?,
            '\'' => quoted(rest, at)?,
            _ => mark(rest, at)?,
        };
        tokens.push(Placed { token, place: at..at + length });
        at += length;
    }
    tokens.push(Placed { token: Token::End, place: text.len()..text.len() });
    Ok(tokens)
}

fn name(rest: &str) -> (Token, usize) {
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
    let name = rest[..end].trim_end_matches('.');
    (Token::Name(name.to_owned()), name.len())
}

fn number(rest: &str, at: usize) -> Result<(Token, usize), Refusal> {
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len());
    let word = &rest[..end];
    let refuse = |message: String| {
        let help = "durations are written `500ms`, `5m`, `1h30m`; numbers `0.95`".to_owned();
        Refusal { place: at..at + end, message, help }
    };
    if let Ok(number) = word.parse::<f64>() {
        return Ok((Token::Number(number), end));
    }
    let duration =
        parse_duration(word).map_err(|reason| refuse(format!("`{word}` is neither number nor duration: {reason}")))?;
    Ok((Token::Duration(duration), end))
}

fn quoted(rest: &str, at: usize) -> Result<(Token, usize), Refusal> {
    if let Some(end) = rest[1..].find('\'') {
        Ok((Token::Text(rest[1..=end].to_owned()), end + 2))
    } else {
        let message = "this text has no closing quote".to_owned();
        Err(Refusal { place: at..at + rest.len(), message, help: "end it with '".to_owned() })
    }
}

fn mark(rest: &str, at: usize) -> Result<(Token, usize), Refusal> {
    const MATCHES: [&str; 4] = ["!=", "=~", "!~", "="];
    if let Some(found) = MATCHES.iter().find(|mark| rest.starts_with(**mark)) {
        return Ok((Token::Match(found), found.len()));
    }
    let first = rest.chars().next().unwrap_or(' ');
    if "(){},+-*/".contains(first) {
        return Ok((Token::Mark(first), 1));
    }
    let help = match first {
        '"' => "text stands in single quotes: 'GET'",
        '<' | '>' => "thresholds are fields of their own: warning = \"> 5%\"",
        '[' => "the window is a field of its own: over = \"5m\"",
        _ => "a signal has names, numbers, durations, 'text' and ( ) { } , + - * /",
    };
    let message = format!("`{first}` does not belong in a signal");
    Err(Refusal { place: at..at + first.len_utf8(), message, help: help.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_know_their_places() {
        let found = tokens("share(a.b{c!~'x y'}) / 1h30m").unwrap();
        let shown: Vec<(String, Range<usize>)> =
            found.iter().map(|it| (it.token.described(), it.place.clone())).collect();
        assert_eq!(shown[2], ("`a.b`".to_owned(), 6..9));
        assert_eq!(shown[5], ("`!~`".to_owned(), 11..13));
        assert_eq!(found[6].token, Token::Text("x y".to_owned()));
        assert_eq!(found[10].token, Token::Duration(Duration::from_mins(90)));
        assert_eq!(found.last().unwrap().token, Token::End);
    }

    #[test]
    fn what_does_not_belong_is_refused_with_advice() {
        for (text, place, advice) in [
            ("p95(x) > 1s", 7..8, "thresholds are fields"),
            ("rate(x[5m])", 6..7, "window is a field"),
            ("a{b=\"c\"}", 4..5, "single quotes"),
            ("a{b='c}", 4..7, "end it with"),
            ("quantile(x, 5parsecs)", 12..20, "durations are written"),
            ("é", 0..2, "names, numbers"),
        ] {
            let refusal = tokens(text).unwrap_err();
            assert_eq!(refusal.place, place, "{text}");
            assert!(refusal.help.contains(advice), "{refusal:?}");
        }
    }
}
