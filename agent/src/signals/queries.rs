//! Queries by system and summary, their errors by type; the text of a query never comes here, only its summary.

use std::sync::Arc;
use std::time::Duration;

use heartline_shared::Labels;

use crate::clock::{Stamp, Tick};
use crate::instruments::{Counter, Histogram};
use crate::registry::{Registry, Room};
use crate::signals::ShortText;
use crate::signals::resolved::Resolved;
use crate::signals::slow::{SlowEntry, SlowLog};
use crate::signals::spent::{Spending, spend};
use crate::trace::{self, Child, Work};

const DURATION: &str = "db.client.operation.duration";

/// What counts as a slow query, and whether the rows of each are recorded.
#[derive(Debug, Clone)]
pub(crate) struct QueryOptions {
    pub(crate) slow: Arc<SlowLog>,
    pub(crate) returned_rows: bool,
}

/// A handle to the queries of one summary; clones share it.
///
/// The summary is what OpenTelemetry calls `db.query.summary`: operation and target without literals, such as
/// `SELECT products`. Should a service pass a statement, its literals and comments are left out: what is in quotes, numbers
/// behind an operator and numbers of three digits or more become `?`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), heartline::Error> {
/// let agent = heartline::Agent::builder("shop").start()?;
/// let products = agent.query("sqlite", "SELECT products");
/// let rows: Result<Vec<u32>, std::io::Error> = products.time(async { Ok(vec![1, 2]) }).await;
///
/// let running = products.start();
/// running.ok(2); // two rows
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Query(Arc<Series>);

#[derive(Debug)]
struct Series {
    registry: Arc<Registry>,
    labels: Labels,
    succeeded: Histogram,
    failed: Resolved<String, Histogram>,
    slow: Counter,
    slow_log: Arc<SlowLog>,
    slow_nanos: u64,
    rows: Option<Histogram>,
}

/// A query being run. Dropped unfinished it counts as failed with the type `cancelled`.
#[derive(Debug)]
#[must_use = "dropping the guard counts the query as cancelled"]
pub struct QueryGuard {
    query: Query,
    start: Stamp,
    child: Child,
    finished: bool,
}

/// How an error names itself in `error.type`: few, stable words, no text from outside.
pub trait QueryError {
    /// Such as `timeout` or `unique_violation`; at most a few dozen different ones.
    fn error_type(&self) -> &str;
}

impl QueryError for std::io::Error {
    fn error_type(&self) -> &str {
        match self.kind() {
            std::io::ErrorKind::TimedOut => "timeout",
            std::io::ErrorKind::ConnectionRefused => "connection_refused",
            _ => "io",
        }
    }
}

/// `summary` with `?` for each literal of SQL and nothing for each comment. What is left open ends with the text.
fn without_literals(summary: &str) -> String {
    let mut text = String::with_capacity(summary.len());
    let mut rest = summary;
    while let Some(next) = rest.chars().next() {
        let (length, shown) = if let Some(length) = quoted(rest) {
            (length, "?")
        } else if rest.starts_with("--") || begins_remark(rest) {
            (rest.find('\n').unwrap_or(rest.len()), "")
        } else if rest.starts_with("/*") {
            (comment(rest), "")
        } else if next.is_alphanumeric() || next == '_' {
            let length = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.'))).unwrap_or(rest.len());
            let operated = text.trim_end().ends_with(['=', '<', '>', '(', ',', '+', '-', '*', '/', '%']);
            let number = next.is_ascii_digit() && (operated || length >= 3 && is_number(&rest[..length]));
            (length, if number { "?" } else { &rest[..length] })
        } else {
            (next.len_utf8(), &rest[..next.len_utf8()])
        };
        text.push_str(shown);
        rest = &rest[length..];
    }
    text
}

/// Whether `text` begins with a remark as MySQL has them, and not with an operator of PostgreSQL on JSON, whose path follows.
fn begins_remark(text: &str) -> bool {
    let operand = |rest: &str| rest.trim_start().starts_with(['\'', '$', '?', ':', '(']);
    let path = |operator: &str| text.strip_prefix(operator).is_some_and(operand);
    text.starts_with('#') && !["#>>", "#>", "#-"].into_iter().any(path)
}

/// The bytes of the comment that `text` begins with; PostgreSQL's may have others inside.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (length, now) = match rest {
            rest if rest.starts_with("/*") => (2, depth + 1),
            rest if rest.starts_with("*/") => (2, depth - 1),
            rest => (rest.chars().next().map_or(1, char::len_utf8), depth),
        };
        (at, depth) = (at + length, now);
        if depth == 0 {
            break;
        }
    }
    at
}

/// Whether a word that begins with a digit is a number, as `12`, `9.5e3`, `1_000` and `0xff` are and `2fa_tokens` is not.
fn is_number(word: &str) -> bool {
    let digits = |digits: &str| digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '_' | 'e' | 'E'));
    let hexadecimal = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
    digits(word) || hexadecimal.is_some_and(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()))
}

/// The bytes of the literal that `text` begins with: in quotes, or between two `$tag$`. All of it where a backslash is before
/// the quote that ends it in one dialect of SQL and does not in another.
fn quoted(text: &str) -> Option<usize> {
    let quote = text.chars().next()?;
    if quote == '$' {
        let tag = text[1..].find('$').map(|end| &text[..end + 2])?;
        let is_tag = tag[1..tag.len() - 1].chars().all(|c| c.is_alphanumeric() || c == '_');
        let ends = || text[tag.len()..].find(tag).map_or(text.len(), |end| end + 2 * tag.len());
        return is_tag.then(ends);
    }
    if !matches!(quote, '\'' | '"') {
        return None;
    }
    // one that is doubled begins the next literal
    let end = text[1..].find(quote).map(|at| at + 2);
    Some(end.filter(|end| !text[1..end - 1].ends_with('\\')).unwrap_or(text.len()))
}

impl Query {
    pub(crate) fn new(registry: &Arc<Registry>, options: QueryOptions, system: &str, summary: &str) -> Self {
        let summary = without_literals(summary);
        let labels = Labels::from_pairs([("db.system.name", system), ("db.query.summary", summary.as_str())]);
        let rows = || registry.histogram("db.client.response.returned_rows", labels.clone(), Room::Reserved);
        Self(Arc::new(Series {
            succeeded: registry.histogram(DURATION, labels.clone(), Room::Reserved),
            slow: registry.counter("heartline.db.slow_operations", labels.clone(), Room::Reserved),
            slow_nanos: u64::try_from(options.slow.thresholds.query.as_nanos()).unwrap_or(u64::MAX),
            slow_log: options.slow,
            rows: options.returned_rows.then(rows),
            failed: Resolved::new(),
            registry: Arc::clone(registry),
            labels,
        }))
    }

    /// A query begins. Cost: one clock read; with [spans](crate::trace), one of the request that this thread works on.
    pub fn start(&self) -> QueryGuard {
        let start = Stamp::now();
        QueryGuard { query: self.clone(), start, child: Child::begin(|| self.0.work(), start), finished: false }
    }

    /// Runs `query` and records how long it took and whether it failed. Cancelled with its future.
    ///
    /// # Errors
    /// Those of `query`, unchanged.
    pub async fn time<T, E: QueryError>(&self, query: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let running = self.start();
        let result = query.await;
        match &result {
            Ok(_) => running.done(),
            Err(error) => running.failed(error.error_type()),
        }
        result
    }

    /// Records a query that was timed elsewhere: its rows, or the type of its error.
    pub fn record(&self, took: Duration, result: Result<u64, &str>) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let (Ok(rows), Some(histogram)) = (result, &self.0.rows) {
            histogram.record_count(rows);
        }
        trace::add(|| self.0.work(), nanos, result.err());
        self.record_nanos(nanos, result.err());
    }

    fn record_nanos(&self, nanos: u64, error_type: Option<&str>) {
        let series = &*self.0;
        spend(Spending::Queries, nanos);
        if nanos > series.slow_nanos {
            series.keep_slow(nanos, error_type);
        }
        match error_type {
            None => series.succeeded.record_units(nanos),
            Some(error_type) => {
                series.failed.with(
                    error_type,
                    || series.resolve(error_type),
                    |histogram| histogram.record_units(nanos),
                );
            }
        }
    }
}

impl Series {
    /// A run as a span.
    fn work(&self) -> Work<'_> {
        let label = |name| self.labels.value(name).unwrap_or_default();
        Work::query(label("db.system.name"), label("db.query.summary"))
    }

    #[cold]
    fn keep_slow(&self, nanos: u64, error_type: Option<&str>) {
        self.slow.increment();
        let mut entry = SlowEntry::new(self.labels.clone(), nanos, Tick::now());
        entry.error_type = error_type.map(ShortText::new);
        self.slow_log.queries.add(entry);
    }

    fn resolve(&self, error_type: &str) -> Histogram {
        self.registry.histogram(DURATION, self.labels.clone().with("error.type", error_type), Room::Shared)
    }
}

impl QueryGuard {
    /// The query returned or changed this many rows.
    pub fn ok(mut self, rows: u64) {
        if let Some(histogram) = &self.query.0.rows {
            histogram.record_count(rows);
        }
        self.end(None, Some(rows));
    }

    /// The query failed; see [`QueryError`] for what makes a good type.
    pub fn failed(mut self, error_type: &str) {
        self.end(Some(error_type), None);
    }

    fn done(mut self) {
        self.end(None, None);
    }

    fn end(&mut self, error_type: Option<&str>, rows: Option<u64>) {
        self.finished = true;
        let now = Stamp::now();
        self.child.end(now, error_type, rows);
        self.query.record_nanos(self.start.nanos_until(now), error_type);
    }
}

impl Drop for QueryGuard {
    fn drop(&mut self) {
        if !self.finished {
            self.end(Some("cancelled"), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_stays_as_it_is() {
        for summary in [
            "SELECT products",
            "INSERT orders_2024 SELECT users",
            "GET",
            "SELECT shard 7",
            "SELECT 2fa_tokens",
            "aggregate größe",
        ] {
            assert_eq!(without_literals(summary), summary);
        }
    }

    #[test]
    fn a_statement_in_place_of_a_summary_loses_its_literals_and_comments() {
        for (statement, expected) in [
            ("SELECT a FROM b WHERE c = 'it''s' AND d=42", "SELECT a FROM b WHERE c = ?? AND d=?"),
            ("SELECT a /* 'x' */ FROM b -- secret", "SELECT a  FROM b "),
            ("SELECT \"x y\", $$z$$, $t$z$u$ $t$, $1", "SELECT ?, ?, ?, $1"),
            (r"SELECT E'can\'t' FROM b", "SELECT E?"),
            (r"WHERE p = 'C:\' AND token = 'hunter2'", "WHERE p = ?"),
            (r"SELECT 'a\\b' FROM c", "SELECT ? FROM c"),
            ("SELECT a # secret\nFROM b", "SELECT a \nFROM b"),
            ("SELECT a #>> '{x}' FROM b", "SELECT a #>> ? FROM b"),
            ("SELECT a #> secret", "SELECT a "),
            ("SELECT /* /* x */ secret */ a", "SELECT  a"),
            ("SELECT 0xdeadbeef, 123abc", "SELECT ?, ?"),
            ("WHERE a BETWEEN 5551234 AND 9.5e3 LIMIT 10", "WHERE a BETWEEN ? AND ? LIMIT 10"),
            ("INSERT INTO a VALUES (1, 'open", "INSERT INTO a VALUES (?, ?"),
            ("SELECT 'é\\", "SELECT ?"),
            ("SELECT /* open", "SELECT "),
        ] {
            assert_eq!(without_literals(statement), expected);
        }
    }
}
