//! A Redis connection used as a cache tier: a connection that counts what goes through it, and the server's own figures;
//! keys and values are not looked at.
//!
//! [`ObservedRedis`] is itself a connection, so the commands of the redis crate work on it as they are:
//!
//! | command | counts as |
//! |---|---|
//! | `GET`, `GETEX`, `GETDEL`, `HGET`, `HGETALL`, `JSON.GET` | a hit, or a miss when there is nothing |
//! | `MGET`, `HMGET` | a hit or a miss for each |
//! | `SET`, `SETEX`, `PSETEX`, `SETNX`, `GETSET`, `HSET`, `MSET` | a write, unless a condition (`NX`, `XX`) prevented it |
//! | `DEL`, `UNLINK` | an explicit eviction for each key that was there |
//! | any of them answered by an error, or not at all | an error |
//!
//! Their time is that of the cache operation (`get`, `set`, `delete`), waiting for the server included; that of a pipeline
//! is not recorded, its commands are counted. A command that is dropped before its answer counts as nothing: what the
//! server did is not known. Other commands pass uncounted.
//!
//! ```no_run
//! # async fn run(connection: impl redis::aio::ConnectionLike + Clone + Send + Sync + 'static)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use redis::AsyncCommands;
//!
//! let agent = heartline::Agent::builder("shop").start()?;
//! let mut products = agent.redis_cache("products", "l2", connection);
//! products.watch_server(Duration::from_secs(1))?;
//!
//! let () = products.set_ex("product:7", "a product", 60).await?;
//! let product: Option<String> = products.get("product:7").await?;
//! # Ok(()) }
//! ```

use std::fmt;
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{Arg, Cmd, ErrorKind, InfoDict, Pipeline, RedisError, RedisFuture, Value};

use super::polling::{Polling, poll};
use crate::{Agent, Cache, CacheOperation, CacheStatus, Error, Eviction, QueryError};

impl Agent {
    /// Observes a Redis connection that is used as one tier (`l2`) of the cache `name`. Use the result in its place.
    pub fn redis_cache<C>(&self, name: &str, tier: &str, connection: C) -> ObservedRedis<C> {
        ObservedRedis {
            connection,
            agent: self.clone(),
            signal: self.cache(name, tier),
            title: format!("{name} {tier}"),
        }
    }
}

/// A Redis connection whose cache commands are counted and timed; see [`Agent::redis_cache`].
#[derive(Clone)]
pub struct ObservedRedis<C> {
    connection: C,
    agent: Agent,
    signal: Cache,
    title: String,
}

impl<C> fmt::Debug for ObservedRedis<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservedRedis").field("title", &self.title).finish_non_exhaustive()
    }
}

impl<C> ObservedRedis<C> {
    /// The connection itself. What goes through it is not counted.
    pub fn connection(&mut self) -> &mut C {
        &mut self.connection
    }

    /// For outcomes that only the service can tell, such as a value that was there and too old.
    pub fn signal(&self) -> &Cache {
        &self.signal
    }
}

impl<C: ConnectionLike + Clone + Send + 'static> ObservedRedis<C> {
    /// Asks the server every `every` how many keys and bytes it holds, how many it may, and what it has expired and
    /// evicted, on the tokio runtime that this is called in. All users of the server are in these figures, so call it for
    /// one tier per server.
    ///
    /// # Errors
    /// [`Error::Setting`] outside of a tokio runtime.
    pub fn watch_server(&self, every: Duration) -> Result<Polling, Error> {
        let connection = self.connection.clone();
        let evictions = Evictions { signal: self.signal.clone(), before: std::sync::Arc::default() };
        let ask = move || {
            let (mut connection, evictions) = (connection.clone(), evictions.clone());
            async move {
                let info: InfoDict = redis::cmd("INFO").query_async(&mut connection).await?;
                evictions.read(&info);
                Ok::<_, RedisError>(status(&info, connection.get_db()))
            }
        };
        let (polling, latest) = poll(("watch_server", &self.title), every, ask)?;
        self.agent.watch_cache(&self.signal, move || latest.get().unwrap_or_default());
        Ok(polling)
    }
}

fn status(info: &InfoDict, database: i64) -> CacheStatus {
    let keyspace: Option<String> = info.get(&format!("db{database}"));
    let keys = keyspace.and_then(|line| line.strip_prefix("keys=")?.split(',').next()?.parse().ok());
    CacheStatus {
        // the server does not list a database that is empty
        entries: Some(keys.unwrap_or(0)),
        limit_entries: None,
        bytes: info.get("used_memory"),
        limit_bytes: info.get("maxmemory").filter(|&limit: &u64| limit > 0),
        remote: true,
    }
}

/// What the server has removed since it was asked before; nothing the first time, nor over a restart or where another server
/// answers.
#[derive(Debug, Clone)]
struct Evictions {
    signal: Cache,
    before: std::sync::Arc<parking_lot::Mutex<Option<Removed>>>,
}

/// What one run of a server has removed.
#[derive(Debug)]
struct Removed {
    run: Option<String>,
    evicted: u64,
    expired: u64,
}

impl Evictions {
    fn read(&self, info: &InfoDict) {
        let counted = info.get("evicted_keys").zip(info.get("expired_keys"));
        let now = counted.map(|(evicted, expired)| Removed { run: info.get("run_id"), evicted, expired });
        let mut kept = self.before.lock();
        if let (Some(now), Some(before)) = (&now, &*kept)
            && now.run == before.run
        {
            self.signal.evicted_many(Eviction::Size, now.evicted.saturating_sub(before.evicted));
            self.signal.evicted_many(Eviction::Expired, now.expired.saturating_sub(before.expired));
        }
        *kept = now;
    }
}

/// What a command does to a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    LooksUpOne,
    LooksUpMany,
    Writes,
    Deletes,
}

/// The longest command of the table below.
const NAME_BYTES_MAX: usize = 8;

impl Use {
    fn of(command: &Cmd) -> Option<Self> {
        let Some(Arg::Simple(name)) = command.args_iter().next() else { return None };
        let mut upper = [0; NAME_BYTES_MAX];
        let upper = upper.get_mut(..name.len())?;
        upper.copy_from_slice(name);
        upper.make_ascii_uppercase();
        Some(match &*upper {
            b"GET" | b"GETEX" | b"GETDEL" | b"HGET" | b"HGETALL" | b"JSON.GET" => Self::LooksUpOne,
            b"MGET" | b"HMGET" => Self::LooksUpMany,
            b"SET" | b"SETEX" | b"PSETEX" | b"SETNX" | b"GETSET" | b"HSET" | b"MSET" => Self::Writes,
            b"DEL" | b"UNLINK" => Self::Deletes,
            _ => return None,
        })
    }

    fn operation(self) -> CacheOperation {
        match self {
            Self::LooksUpOne | Self::LooksUpMany => CacheOperation::Get,
            Self::Writes => CacheOperation::Set,
            Self::Deletes => CacheOperation::Delete,
        }
    }

    /// Counts an answer.
    fn answered(self, command: &Cmd, value: &Value, signal: &Cache) {
        match (self, value) {
            (_, Value::ServerError(_)) => signal.error(),
            (Self::LooksUpOne, value) => look_up(value, signal),
            (Self::LooksUpMany, Value::Array(values)) => values.iter().for_each(|value| look_up(value, signal)),
            (Self::Writes, value) => {
                if wrote(command, value) {
                    signal.write();
                }
            }
            (Self::Deletes, Value::Int(keys)) => {
                signal.evicted_many(Eviction::Explicit, u64::try_from(*keys).unwrap_or(0));
            }
            (Self::LooksUpMany | Self::Deletes, _) => {}
        }
    }
}

fn look_up(value: &Value, signal: &Cache) {
    let is_empty = match value {
        Value::Nil => true,
        // `HGETALL` of a key that is not there
        Value::Array(fields) => fields.is_empty(),
        Value::Map(fields) => fields.is_empty(),
        _ => false,
    };
    if is_empty { signal.miss() } else { signal.hit() }
}

/// Whether a write took place: a condition that prevents it is answered with nothing, by `SETNX` with 0.
fn wrote(command: &Cmd, value: &Value) -> bool {
    let has = |option: &[u8]| {
        command.args_iter().skip(1).any(|arg| matches!(arg, Arg::Simple(text) if text.eq_ignore_ascii_case(option)))
    };
    match value {
        // `SET .. GET` and `GETSET` answer what was there before, which may be nothing
        Value::Nil => (has(b"GET") && !has(b"XX")) || is_named(command, b"GETSET"),
        Value::Int(0) => !is_named(command, b"SETNX"),
        _ => true,
    }
}

fn is_named(command: &Cmd, wanted: &[u8]) -> bool {
    matches!(command.args_iter().next(), Some(Arg::Simple(name)) if name.eq_ignore_ascii_case(wanted))
}

impl<C: ConnectionLike + Send> ConnectionLike for ObservedRedis<C> {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let Some(use_) = Use::of(command) else {
            return self.connection.req_packed_command(command);
        };
        let (signal, answer) = (&self.signal, self.connection.req_packed_command(command));
        Box::pin(async move {
            let answer = signal.time(use_.operation(), answer).await;
            tally(command, answer.as_ref().ok(), signal);
            answer
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let (signal, answers) = (&self.signal, self.connection.req_packed_commands(pipeline, offset, count));
        Box::pin(async move {
            let answers = answers.await;
            match &answers {
                Ok(values) => {
                    let answered = pipeline.cmd_iter().zip(answers_of(pipeline, values));
                    answered.for_each(|(command, value)| tally(command, Some(value), signal));
                }
                Err(_) => pipeline.cmd_iter().for_each(|command| tally(command, None, signal)),
            }
            answers
        })
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

/// Counts a command and its answer, if it is one for a cache and had one.
fn tally(command: &Cmd, answer: Option<&Value>, signal: &Cache) {
    match (Use::of(command), answer) {
        (Some(use_), Some(value)) => use_.answered(command, value, signal),
        (Some(_), None) => signal.error(),
        (None, _) => {}
    }
}

/// The answers to the commands of a pipeline, in their order; those of a transaction are all inside the last one.
fn answers_of<'a>(pipeline: &Pipeline, values: &'a [Value]) -> &'a [Value] {
    match values.last() {
        Some(Value::Array(answers)) if pipeline.is_transaction() => answers,
        _ if pipeline.is_transaction() => &[],
        _ => values,
    }
}

impl QueryError for RedisError {
    /// The server's code (`WRONGTYPE`) where it gave one, else a word for the kind of error. For services that record
    /// commands as queries with [`Query::time`](crate::Query::time).
    fn error_type(&self) -> &str {
        if self.is_timeout() {
            return "timeout";
        }
        if self.is_connection_refusal() {
            return "connection_refused";
        }
        match self.kind() {
            ErrorKind::Io => "io",
            ErrorKind::AuthenticationFailed => "authentication_failed",
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => "decode",
            ErrorKind::Client | ErrorKind::InvalidClientConfig => "client",
            _ => self.code().filter(|code| is_code(code)).unwrap_or("server"),
        }
    }
}

fn is_code(code: &str) -> bool {
    (1..=24).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_known_in_any_case_and_others_pass() {
        assert_eq!(Use::of(&redis::cmd("get")), Some(Use::LooksUpOne));
        assert_eq!(Use::of(&redis::cmd("SETEX")), Some(Use::Writes));
        for other in ["PING", "", "ZRANGEBYSCORE", "INFO"] {
            assert_eq!(Use::of(&redis::cmd(other)), None, "{other}");
        }
    }

    #[test]
    fn a_server_without_a_limit_has_none_and_an_empty_database_no_keys() {
        let info =
            InfoDict::new("# Memory\r\nused_memory:1048576\r\nmaxmemory:0\r\ndb1:keys=7,expires=0,avg_ttl=0\r\n");
        let empty = CacheStatus { entries: Some(0), bytes: Some(1_048_576), remote: true, ..CacheStatus::default() };
        assert_eq!(status(&info, 0), empty);
        assert_eq!(status(&info, 1).entries, Some(7));
    }

    #[test]
    fn what_was_removed_is_counted_between_two_answers_of_one_run_of_the_server() {
        let agent = Agent::builder("test").without_listener().start().unwrap();
        let evictions = Evictions { signal: agent.cache("sessions", "l2"), before: std::sync::Arc::default() };
        let huge = 9_000_000_000_000_000_000_u64;
        for (run, evicted) in [("a", 5), ("a", 7), ("b", huge), ("b", huge + 1), ("a", 8), ("a", 8), ("b", 3)] {
            evictions.read(&InfoDict::new(&format!("run_id:{run}\r\nevicted_keys:{evicted}\r\nexpired_keys:0\r\n")));
        }
        let snapshot = agent.snapshot();
        let family = snapshot.metrics.iter().find(|family| family.name == "heartline.cache.evictions").unwrap();
        assert_eq!(family.numbers.iter().map(|series| series.value).sum::<f64>(), 3.0);
    }

    #[test]
    fn codes_of_the_server_are_types_only_when_they_look_like_codes() {
        assert!(is_code("WRONGTYPE") && !is_code("") && !is_code("user said so") && !is_code(&"A".repeat(25)));
    }
}
