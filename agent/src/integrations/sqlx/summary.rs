//! SQL text to `db.query.summary`: operations and the tables they touch, never a literal; which database runs the text
//! only matters to the tokens.
//!
//! The rules are those of OpenTelemetry: operations and targets in the order of the text, cut at 255 bytes. Words come
//! into a summary from two places only: a fixed list of operations, and names that stand where a table must stand.
//! Strings, numbers, parameters and comments are tokens without a text and cannot come in. Names of common table
//! expressions are left out. Three or more digits in a name become `*`, so that tables by month or by tenant share a
//! summary.

use super::tokens::{Dialect, Token, Tokens};

/// Longest summary, as OpenTelemetry asks.
const SUMMARY_BYTES_MAX: usize = 255;
/// Longest name of a table.
const NAME_BYTES_MAX: usize = 64;
/// How much of a text is read: bulk inserts carry megabytes of literals behind their first words.
const TEXT_BYTES_MAX: usize = 8 * 1024;
/// What a text without any known operation is called.
pub(super) const OTHER: &str = "OTHER";

/// The summary of `sql`.
pub(super) fn summary(sql: &str, dialect: Dialect) -> String {
    let sql = &sql[..sql.floor_char_boundary(TEXT_BYTES_MAX)];
    let mut tokens = Tokens::of(sql, dialect).peekable();
    let mut writer = Writer::default();
    while let Some(token) = tokens.next() {
        let called = matches!(tokens.peek(), Some(Token::Symbol('(')));
        let qualified = matches!(tokens.peek(), Some(Token::Symbol('.')));
        writer.take(token, called, qualified);
    }
    writer.finish()
}

/// Operations that begin a statement, and what follows them.
const OPERATIONS: &[(&str, Next)] = &[
    ("SELECT", Next::Nothing),
    ("INSERT", Next::Nothing),
    ("UPDATE", Next::Target),
    ("DELETE", Next::Nothing),
    ("REPLACE", Next::Nothing),
    ("MERGE", Next::Nothing),
    ("VALUES", Next::Nothing),
    ("CREATE", Next::Kind),
    ("ALTER", Next::Kind),
    ("DROP", Next::Kind),
    ("TRUNCATE", Next::Target),
    ("COPY", Next::Target),
    ("CALL", Next::Called),
    ("LOCK", Next::Target),
    ("REFRESH", Next::Kind),
    ("PRAGMA", Next::Called),
    ("VACUUM", Next::Target),
    ("ANALYZE", Next::Target),
    ("REINDEX", Next::Target),
    ("EXPLAIN", Next::Statement),
    ("BEGIN", Next::Nothing),
    ("START", Next::Nothing),
    ("COMMIT", Next::Nothing),
    ("END", Next::Nothing),
    ("ROLLBACK", Next::Nothing),
    ("SAVEPOINT", Next::Nothing),
    ("RELEASE", Next::Nothing),
    ("SET", Next::Nothing),
    ("SHOW", Next::Nothing),
    ("LISTEN", Next::Nothing),
    ("UNLISTEN", Next::Nothing),
    ("NOTIFY", Next::Nothing),
    ("GRANT", Next::Nothing),
    ("REVOKE", Next::Nothing),
    ("ATTACH", Next::Nothing),
    ("DETACH", Next::Nothing),
    ("DECLARE", Next::Nothing),
    ("FETCH", Next::Nothing),
    ("CLOSE", Next::Nothing),
    ("PREPARE", Next::Nothing),
    ("EXECUTE", Next::Nothing),
    ("DEALLOCATE", Next::Nothing),
    ("DO", Next::Nothing),
];
/// What is created, altered or dropped; its name is a target.
const KINDS: &[&str] =
    &["TABLE", "INDEX", "VIEW", "TRIGGER", "SCHEMA", "SEQUENCE", "TYPE", "FUNCTION", "PROCEDURE", "EXTENSION"];
/// Words that may stand between an operation and its target.
const FILLERS: &[&str] = &[
    "IF",
    "NOT",
    "EXISTS",
    "ONLY",
    "OR",
    "ROLLBACK",
    "ABORT",
    "REPLACE",
    "FAIL",
    "IGNORE",
    "UNIQUE",
    "TEMP",
    "TEMPORARY",
    "VIRTUAL",
    "MATERIALIZED",
    "CONCURRENTLY",
    "TABLE",
    "LATERAL",
    "FULL",
    "FREEZE",
    "VERBOSE",
    "ANALYZE",
    "LOW_PRIORITY",
    "RECURSIVE",
    "UNLOGGED",
];

/// What the next word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Next {
    /// The first word of a statement.
    #[default]
    Statement,
    /// The name of a table.
    Target,
    /// The name of a procedure or a pragma.
    Called,
    /// `TABLE`, `INDEX`, ...
    Kind,
    /// The name of a common table expression.
    Expression,
    /// Of no interest.
    Nothing,
}

/// One level of parentheses.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    /// A `FROM` here is the clause, not part of `EXTRACT(year FROM ..)`.
    selects: bool,
    /// Inside the list of tables: a comma is followed by another one.
    in_from: bool,
    /// Inside `WITH`, before the statement proper.
    in_with: bool,
}

#[derive(Debug, Default)]
struct Writer<'a> {
    text: String,
    next: Next,
    level: Level,
    outer: Vec<Level>,
    expressions: Vec<&'a str>,
    name: Option<(String, &'a str)>,
    last_word: &'a str,
    full: bool,
}

impl<'a> Writer<'a> {
    /// `called`: a parenthesis follows; `qualified`: a dot follows.
    fn take(&mut self, token: Token<'a>, called: bool, qualified: bool) {
        match token {
            Token::Word(word) if self.name.is_none() && self.keyword(word, called) => {}
            Token::Word(name) | Token::Quoted(name) => self.name_part(name, called, qualified),
            Token::Literal => self.next = Next::Nothing,
            Token::Symbol('.') if self.name.is_some() => {}
            Token::Symbol(symbol) => self.symbol(symbol),
        }
        self.last_word = if let Token::Word(word) = token { word } else { "" };
    }

    fn symbol(&mut self, symbol: char) {
        match symbol {
            '(' => {
                self.outer.push(std::mem::take(&mut self.level));
                self.next = Next::Statement;
            }
            ')' => {
                self.level = self.outer.pop().unwrap_or_default();
                self.next = if self.level.in_with { Next::Statement } else { Next::Nothing };
            }
            ';' => {
                self.level = Level::default();
                self.outer.clear();
                self.next = Next::Statement;
            }
            ',' if self.level.in_with => self.next = Next::Expression,
            ',' if self.level.in_from => self.next = Next::Target,
            '*' if self.next == Next::Target => {}
            _ => self.next = Next::Nothing,
        }
    }

    /// Whether `word` is a keyword that means something here.
    fn keyword(&mut self, word: &str, called: bool) -> bool {
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        if self.next == Next::Statement || is("SELECT") {
            if is("WITH") {
                (self.level.in_with, self.next) = (true, Next::Expression);
                return true;
            }
            if let Some(&(operation, next)) = OPERATIONS.iter().find(|(operation, _)| is(operation))
                && !(called && is("REPLACE"))
            {
                self.operation(operation, next);
                return true;
            }
        }
        if matches!(self.next, Next::Kind) {
            return self.kind(word);
        }
        if self.next != Next::Nothing && FILLERS.iter().any(|filler| is(filler)) {
            return true;
        }
        self.clause(word)
    }

    fn operation(&mut self, operation: &str, next: Next) {
        self.push(operation);
        self.next = next;
        self.level = Level { selects: true, ..Level::default() };
    }

    fn kind(&mut self, word: &str) -> bool {
        if let Some(kind) = KINDS.iter().find(|kind| word.eq_ignore_ascii_case(kind)) {
            self.push(kind);
            self.next = Next::Target;
        } else if !FILLERS.iter().any(|filler| word.eq_ignore_ascii_case(filler)) {
            self.next = Next::Nothing;
        }
        true
    }

    /// Words inside a statement after which a table stands, or no more tables.
    fn clause(&mut self, word: &str) -> bool {
        let is = |keywords: &[&str]| keywords.iter().any(|keyword| word.eq_ignore_ascii_case(keyword));
        if is(&["FROM"]) && self.level.selects && !self.last_word.eq_ignore_ascii_case("DISTINCT") {
            (self.level.in_from, self.next) = (true, Next::Target);
        } else if is(&["INTO", "JOIN"]) {
            self.next = Next::Target;
        } else if is(&[
            "WHERE",
            "GROUP",
            "ORDER",
            "HAVING",
            "LIMIT",
            "SET",
            "VALUES",
            "RETURNING",
            "UNION",
            "WINDOW",
            "FOR",
        ]) {
            (self.level.in_from, self.next) = (false, Next::Nothing);
        } else {
            return false;
        }
        true
    }

    fn name_part(&mut self, part: &'a str, called: bool, qualified: bool) {
        if self.next == Next::Expression {
            self.expressions.push(part);
            self.next = Next::Nothing;
            return;
        }
        if self.name.is_none() && !matches!(self.next, Next::Target | Next::Called) {
            self.next =
                if self.next == Next::Statement && self.level.in_with { Next::Statement } else { Next::Nothing };
            return;
        }
        let (mut name, first) = self.name.take().unwrap_or((String::new(), part));
        if !name.is_empty() {
            name.push('.');
        }
        push_name(&mut name, part);
        if qualified {
            self.name = Some((name, first));
            return;
        }
        let is_function = called && self.next == Next::Target && self.level.in_from;
        let is_expression = self.expressions.iter().any(|expression| expression.eq_ignore_ascii_case(first));
        if !is_function && !is_expression && self.text.rsplit(' ').next() != Some(name.as_str()) {
            self.push(&name);
        }
        self.next = Next::Nothing;
    }

    fn push(&mut self, word: &str) {
        let space = usize::from(!self.text.is_empty());
        self.full |= self.text.len() + space + word.len() > SUMMARY_BYTES_MAX;
        if !self.full {
            self.text.push_str(if space == 1 { " " } else { "" });
            self.text.push_str(word);
        }
    }

    fn finish(self) -> String {
        if self.text.is_empty() { OTHER.to_owned() } else { self.text }
    }
}

/// Adds a name as it may be shown: letters, digits, `_`, `$`, `-`; three digits or more as `*`.
fn push_name(to: &mut String, name: &str) {
    let mut rest = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
    while let Some(first) = rest.chars().next() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        match digits {
            0 => to.push(if first.is_alphanumeric() || matches!(first, '_' | '$' | '-') { first } else { '_' }),
            1 | 2 => to.push_str(&rest[..digits]),
            _ => to.push('*'),
        }
        rest = &rest[digits.max(usize::from(digits == 0) * first.len_utf8())..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_operations_and_tables_in_the_order_of_the_text() {
        let cases = [
            ("SELECT 1", "SELECT"),
            ("select id, name from products where id = ?", "SELECT products"),
            ("SELECT * FROM public.orders o JOIN \"users\" u ON u.id = o.user_id", "SELECT public.orders users"),
            (
                "SELECT a.x FROM a, b AS c, (SELECT y FROM d) WHERE x IN (SELECT z FROM e)",
                "SELECT a b SELECT d SELECT e",
            ),
            ("INSERT INTO orders (a, b) VALUES (1, 'x') ON CONFLICT (a) DO UPDATE SET b = excluded.b", "INSERT orders"),
            ("INSERT OR REPLACE INTO carts SELECT * FROM drafts", "INSERT carts SELECT drafts"),
            ("UPDATE stock SET held = held + 1 WHERE product = $1 RETURNING held", "UPDATE stock"),
            ("UPDATE OR IGNORE stock SET held = 1", "UPDATE stock"),
            ("DELETE FROM sessions WHERE seen < now()", "DELETE sessions"),
            ("SELECT EXTRACT(year FROM created) FROM orders FOR UPDATE", "SELECT orders"),
            ("SELECT a IS DISTINCT FROM b FROM pairs", "SELECT pairs"),
            ("SELECT value FROM json_each(?)", "SELECT"),
            ("WITH recent AS (SELECT * FROM orders) SELECT * FROM recent JOIN users", "SELECT orders SELECT users"),
            (
                "WITH RECURSIVE t(n) AS (SELECT 1 UNION SELECT n + 1 FROM t), u AS (SELECT 2) DELETE FROM jobs",
                "SELECT SELECT SELECT DELETE jobs",
            ),
            (
                "WITH gone AS (DELETE FROM carts RETURNING *) INSERT INTO archive SELECT * FROM gone",
                "DELETE carts INSERT archive SELECT",
            ),
            ("CREATE TABLE IF NOT EXISTS users (id INTEGER, name TEXT DEFAULT 'x')", "CREATE TABLE users"),
            ("CREATE UNIQUE INDEX by_name ON users (name)", "CREATE INDEX by_name"),
            ("DROP TABLE users", "DROP TABLE users"),
            ("PRAGMA journal_mode = WAL", "PRAGMA journal_mode"),
            ("PRAGMA key = secret", "PRAGMA key"),
            ("EXPLAIN QUERY PLAN SELECT * FROM users", "EXPLAIN SELECT users"),
            ("BEGIN; UPDATE a SET x = 1; COMMIT", "BEGIN UPDATE a COMMIT"),
            ("SAVEPOINT _sqlx_savepoint_1", "SAVEPOINT"),
            ("SET search_path TO secret", "SET"),
            ("/* from here */ SELECT -- from there\n x FROM t", "SELECT t"),
            ("SELECT * FROM events_2024_01 JOIN oauth2_tokens", "SELECT events_*_01 oauth2_tokens"),
            ("SELECT count(*) FROM t GROUP BY a, b ORDER BY c, d", "SELECT t"),
            ("VALUES (1, 2)", "VALUES"),
            ("", "OTHER"),
            ("   ", "OTHER"),
            ("'SELECT'", "OTHER"),
            ("gibberish from here", "OTHER"),
        ];
        for (sql, expected) in cases {
            assert_eq!(summary(sql, Dialect::Sqlite), expected, "{sql}");
        }
    }

    #[test]
    fn strings_of_each_database_hide_what_looks_like_sql() {
        let cases = [
            (Dialect::Postgres, r"SELECT E'it\'s FROM secret' FROM t", "SELECT t"),
            (Dialect::Postgres, "SELECT $$ FROM secret $$, $tag$ it's $$ FROM secret $tag$ FROM t", "SELECT t"),
            (Dialect::Postgres, "SELECT /* /* */ FROM secret */ x::text, $1 FROM t", "SELECT t"),
            (Dialect::Postgres, "SELECT a[1] FROM t", "SELECT t"),
            (Dialect::Postgres, r"SELECT 'C:\' FROM t WHERE x = ' FROM secret'", "SELECT"),
            (Dialect::MySql, r#"SELECT 'it\'s FROM secret', "also FROM secret" FROM t"#, "SELECT"),
            (Dialect::MySql, "SELECT \"it's\" # FROM secret\n FROM `t`", "SELECT t"),
            (Dialect::Sqlite, "SELECT 'it''s FROM secret' FROM [my table]", "SELECT my_table"),
            (Dialect::Sqlite, r"SELECT 'C:\' FROM t", "SELECT t"),
            (Dialect::Sqlite, "SELECT 'never closed FROM secret", "SELECT"),
            (Dialect::Sqlite, "SELECT x'00', :a, @b, ?1, 1e5 FROM t", "SELECT t"),
            (Dialect::Unknown, r"SELECT 'x\' FROM secret'", "SELECT"),
            (Dialect::Unknown, "SELECT x FROM t # it's", "SELECT t"),
        ];
        for (dialect, sql, expected) in cases {
            assert_eq!(summary(sql, dialect), expected, "{dialect:?}: {sql}");
        }
    }

    #[test]
    fn a_summary_of_many_tables_is_cut_between_names() {
        let names: Vec<String> = (b'a'..=b'z').map(|c| char::from(c).to_string().repeat(20)).collect();
        let summary = summary(&format!("SELECT * FROM first JOIN {}", names.join(" JOIN ")), Dialect::Postgres);
        assert!(summary.len() <= SUMMARY_BYTES_MAX && summary.len() > 200, "{summary}");
        assert!(summary.split(' ').skip(2).all(|name| name.len() == 20), "{summary}");
    }

    /// Where the text of a literal may stand in a statement.
    const TEMPLATES: &[&str] = &[
        "SELECT * FROM users WHERE name = {} AND x IN (SELECT y FROM z WHERE q = {})",
        "INSERT INTO users (name, note) VALUES ({}, {}), ({}, {}) RETURNING id",
        "UPDATE users SET name = {}, note = coalesce({}, {}) WHERE id = 7",
        "WITH a AS (SELECT {} AS b) DELETE FROM users WHERE name LIKE {}",
        "CREATE TABLE users (name TEXT DEFAULT {}); SELECT {} FROM users",
        "SELECT {}, {} FROM {} JOIN {} , {}",
        "PRAGMA key = {}",
        "EXPLAIN {}",
        "{}",
    ];

    /// A literal as each database would have it written.
    fn quoted(dialect: Dialect, style: u8, content: &str) -> String {
        let doubled = content.replace('\'', "''");
        let escaped = content.replace('\\', r"\\").replace('\'', r"\'");
        match (dialect, style % 3) {
            (Dialect::Postgres, 0) => format!("E'{escaped}'"),
            (Dialect::Postgres, 1) => format!("$q9x${}$q9x$", content.replace("$q9x$", "")),
            (Dialect::MySql, 0) => format!("'{escaped}'"),
            (Dialect::MySql, 1) => format!("\"{}\"", content.replace('\\', r"\\").replace('"', r#"\""#)),
            (Dialect::Unknown, _) => format!("'{}'", doubled.replace('\\', "")),
            _ => format!("'{doubled}'"),
        }
    }

    fn filled(template: &str, literals: &[String]) -> String {
        let mut pieces = template.split("{}");
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for (piece, literal) in pieces.zip(literals.iter().cycle()) {
            text.push_str(literal);
            text.push_str(piece);
        }
        text
    }

    fn a_dialect() -> impl Strategy<Value = Dialect> {
        prop_oneof![Just(Dialect::Sqlite), Just(Dialect::Postgres), Just(Dialect::MySql), Just(Dialect::Unknown)]
    }

    /// Text that tries to break out of its quotes, with a name in it that nothing else has.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("'"),
            Just("''"),
            Just("\""),
            Just("`"),
            Just("\\"),
            Just("\\'"),
            Just("$$"),
            Just("$q"),
            Just("--"),
            Just("/*"),
            Just("*/"),
            Just("#"),
            Just(";"),
            Just("("),
            Just(")"),
            Just("["),
            Just("]"),
            Just("\n"),
            Just(","),
            Just(" FROM canary "),
            Just(" JOIN canary "),
            Just(" INTO canary "),
            Just("SELECT canary FROM canary"),
            Just("UPDATE canary SET"),
            Just("é"),
            Just(" "),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(4_000)))]

        #[test]
        fn no_literal_reaches_a_summary(
            dialect in a_dialect(),
            template in prop::sample::select(TEMPLATES),
            literals in prop::collection::vec((hostile(), any::<u8>()), 1..6),
        ) {
            let literals: Vec<String> =
                literals.iter().map(|(content, style)| quoted(dialect, *style, content)).collect();
            let text = filled(template, &literals);
            let summary = summary(&text, dialect);
            prop_assert!(!summary.to_lowercase().contains("canary"), "{summary:?} of {text:?}");
        }

        #[test]
        fn any_text_has_a_summary_of_printable_words(text in "\\PC{0,200}", dialect in a_dialect()) {
            let summary = summary(&text, dialect);
            prop_assert!(!summary.is_empty() && summary.len() <= SUMMARY_BYTES_MAX);
            prop_assert!(!summary.contains(['\'', '"', '`', ';', '(', ')']));
        }
    }
}
