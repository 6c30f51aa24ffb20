//! SQL text as words, quoted names, literals and symbols, with the quoting of each database; what the words mean is not
//! known here.
//!
//! A literal, a parameter or a comment is one token without its text, so that nothing behind this file can show it. Where
//! a text can be read in two ways, depending on a setting of the server that is not known here, reading stops: what is a
//! string to one setting is SQL to the other, and a wrong guess would turn every later literal inside out.

/// How a database quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `[name]` is a name.
    Sqlite,
    /// `E'..'`, `$tag$..$tag$`, nested comments.
    Postgres,
    /// `\'` does not end a string, `".."` is a string, `#` begins a comment.
    MySql,
    /// Not known: reading stops wherever the others differ.
    Unknown,
}

impl Dialect {
    /// By the name that sqlx gives the database.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "SQLite" => Self::Sqlite,
            "PostgreSQL" => Self::Postgres,
            "MySQL" => Self::MySql,
            _ => Self::Unknown,
        }
    }
}

/// One piece of a text. Literals, parameters and comments carry no text on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword or a name.
    Word(&'a str),
    /// A quoted name.
    Quoted(&'a str),
    /// A string, a number or a parameter.
    Literal,
    /// Anything else.
    Symbol(char),
}

/// The tokens of a text, as far as they can be read with certainty.
pub(super) struct Tokens<'a> {
    rest: &'a str,
    dialect: Dialect,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_space_and_comments();
        let first = self.rest.chars().next()?;
        Some(match first {
            '\'' if self.dialect == Dialect::Sqlite => self.string('\'', Backslash::IsPlain),
            '\'' => self.string('\'', Backslash::IsUnclear),
            '"' if self.dialect == Dialect::MySql => self.string('"', Backslash::IsUnclear),
            '"' => self.quoted_name('"'),
            '`' if self.dialect != Dialect::Postgres => self.quoted_name('`'),
            '[' if self.dialect == Dialect::Sqlite => self.quoted_name(']'),
            '$' | ':' | '@' | '?' => self.parameter(first),
            '0'..='9' => {
                self.take_while(|c| c.is_alphanumeric() || c == '_' || c == '.');
                Token::Literal
            }
            c if c.is_alphabetic() || c == '_' => self.word(),
            symbol => {
                self.skip(symbol.len_utf8());
                Token::Symbol(symbol)
            }
        })
    }
}

impl<'a> Tokens<'a> {
    pub(super) fn of(sql: &'a str, dialect: Dialect) -> Self {
        Self { rest: sql, dialect }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Nothing behind this can be read with certainty.
    fn stop(&mut self) {
        self.rest = "";
    }

    fn skip_space_and_comments(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with("/*") {
                self.skip_comment();
            } else if self.at_line_comment() {
                self.take_while(|c| c != '\n');
            } else {
                return;
            }
        }
    }

    fn at_line_comment(&mut self) -> bool {
        if self.dialect == Dialect::Unknown && self.rest.starts_with('#') {
            self.stop();
        }
        match self.rest.strip_prefix("--") {
            Some(comment) if matches!(self.dialect, Dialect::MySql | Dialect::Unknown) => {
                comment.chars().next().is_none_or(char::is_whitespace)
            }
            Some(_) => true,
            None => self.dialect == Dialect::MySql && self.rest.starts_with('#'),
        }
    }

    fn skip_comment(&mut self) {
        let mut depth = 0usize;
        while let Some(first) = self.rest.chars().next() {
            if self.rest.starts_with("/*") && (depth == 0 || self.dialect == Dialect::Postgres) {
                depth += 1;
                self.skip(2);
            } else if self.rest.starts_with("/*") && self.dialect == Dialect::Unknown {
                self.stop();
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.skip(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.skip(first.len_utf8());
            }
        }
    }

    fn string(&mut self, quote: char, backslash: Backslash) -> Token<'a> {
        self.quoted(quote, backslash);
        Token::Literal
    }

    /// Skips the opening quote, the content and the closing quote; returns the content, `None` if it is not closed. A
    /// doubled quote does not close it.
    fn quoted(&mut self, quote: char, backslash: Backslash) -> Option<&'a str> {
        let content = self.rest.get(1..).unwrap_or_default();
        let mut characters = content.char_indices().peekable();
        while let Some((at, c)) = characters.next() {
            let next_is_quote = characters.peek().is_some_and(|&(_, next)| next == quote);
            if c == '\\' && backslash == Backslash::IsUnclear && next_is_quote {
                break;
            } else if (c == '\\' && backslash == Backslash::Escapes) || (c == quote && next_is_quote) {
                characters.next();
            } else if c == quote {
                self.rest = &content[at + 1..];
                return Some(&content[..at]);
            }
        }
        self.stop();
        None
    }

    /// A name in quotes. One that is not closed may be a string.
    fn quoted_name(&mut self, close: char) -> Token<'a> {
        let backslash = if self.dialect == Dialect::Unknown { Backslash::IsUnclear } else { Backslash::IsPlain };
        self.quoted(close, backslash).map_or(Token::Literal, Token::Quoted)
    }

    /// `$1`, `:name`, `@name`, `?1`; in PostgreSQL also `$tag$..$tag$` and the cast `::`.
    fn parameter(&mut self, first: char) -> Token<'a> {
        if first == ':' && self.rest[1..].starts_with([':', '=']) {
            self.skip(2);
            return Token::Symbol(':');
        }
        if first == '$' && matches!(self.dialect, Dialect::Postgres | Dialect::Unknown) {
            let tag = self.rest[1..].find(|c: char| !(c.is_alphanumeric() || c == '_'));
            if let Some(delimiter) = tag.and_then(|end| self.rest.get(..end + 2)).filter(|tag| tag.ends_with('$')) {
                self.skip(delimiter.len());
                match self.rest.find(delimiter) {
                    Some(end) if self.dialect == Dialect::Postgres => self.skip(end + delimiter.len()),
                    _ => self.stop(),
                }
                return Token::Literal;
            }
        }
        self.skip(1);
        self.take_while(|c| c.is_alphanumeric() || c == '_');
        Token::Literal
    }

    /// A word, or a string with a prefix of one letter: `E'..'`, `X'..'`.
    fn word(&mut self) -> Token<'a> {
        let word = self.take_while(|c| c.is_alphanumeric() || c == '_' || c == '$');
        if !self.rest.starts_with('\'') || word.len() > 1 {
            return Token::Word(word);
        }
        match self.dialect {
            Dialect::Sqlite => self.string('\'', Backslash::IsPlain),
            Dialect::Postgres if word.eq_ignore_ascii_case("e") => self.string('\'', Backslash::Escapes),
            _ => self.string('\'', Backslash::IsUnclear),
        }
    }
}

/// What a backslash before a quote means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Backslash {
    /// Nothing: the quote closes.
    IsPlain,
    /// The quote does not close.
    Escapes,
    /// It depends on a setting of the server.
    IsUnclear,
}
