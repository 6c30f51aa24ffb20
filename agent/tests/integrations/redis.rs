//! A real Redis server, started by each test on a socket of its own: what is counted, also when it dies.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use heartline::integrations::ObservedRedis;
use heartline::{Agent, QueryError};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use crate::readings::{agent, eventually, number, records};

/// A Redis server that lives as long as this.
pub(crate) struct Server {
    process: Child,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server with at most `memory` bytes.
    pub(crate) fn start(memory: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("redis.sock");
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--maxmemory", memory, "--maxmemory-policy", "allkeys-lru", "--dir"])
            .arg(folder.path())
            .arg("--unixsocket")
            .arg(socket)
            .stdout(Stdio::null())
            .spawn()
            .expect("these tests need redis-server in the PATH (Debian: apt-get install redis-server)");
        Self { process, folder }
    }

    async fn connect(&self) -> MultiplexedConnection {
        let url = format!("redis+unix://{}", self.folder.path().join("redis.sock").display());
        let client = redis::Client::open(url).unwrap();
        eventually("redis-server answers", async || {
            let Ok(mut connection) = client.get_multiplexed_async_connection().await else { return false };
            redis::cmd("PING").exec_async(&mut connection).await.is_ok()
        })
        .await;
        client.get_multiplexed_async_connection().await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) async fn cache(agent: &Agent, server: &Server) -> ObservedRedis<MultiplexedConnection> {
    agent.redis_cache("products", "l2", server.connect().await)
}

/// Hits, misses, errors, writes.
fn counts(agent: &Agent) -> [u64; 4] {
    let result = |result| number(agent, "heartline.cache.requests", &[("cache.tier", "l2"), ("cache.result", result)]);
    let writes = number(agent, "heartline.cache.writes", &[("cache.tier", "l2")]);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a few")]
    [result("hit"), result("miss"), result("error"), writes].map(|count| count.unwrap() as u64)
}

fn evicted(agent: &Agent, reason: &str) -> f64 {
    number(agent, "heartline.cache.evictions", &[("cache.eviction.reason", reason)]).unwrap()
}

#[tokio::test]
async fn commands_count_by_what_they_found() {
    let (agent, server) = (agent(), Server::start("0"));
    let mut products = cache(&agent, &server).await;
    let none: Option<String> = products.get("a").await.unwrap();
    assert_eq!((none, counts(&agent)), (None, [0, 1, 0, 0]));
    let () = products.set("a", "1").await.unwrap();
    let () = products.set_ex("b", "2", 60).await.unwrap();
    let found: Option<String> = products.get("a").await.unwrap();
    assert_eq!((found.as_deref(), counts(&agent)), (Some("1"), [1, 1, 0, 2]));
    let many: Vec<Option<String>> = products.mget(&["a", "b", "c", "d"]).await.unwrap();
    assert_eq!((many.len(), counts(&agent)), (4, [3, 3, 0, 2]));
    let written: bool = products.set_nx("a", "3").await.unwrap();
    assert_eq!((written, counts(&agent)), (false, [3, 3, 0, 2]));
    let () = products.hset("h", "field", "1").await.unwrap();
    let all: Vec<(String, String)> = products.hgetall("h").await.unwrap();
    let empty: Vec<(String, String)> = products.hgetall("nothing").await.unwrap();
    assert_eq!((all.len(), empty.len(), counts(&agent)), (1, 0, [4, 4, 0, 3]));
    let deleted: u64 = products.del(&["a", "b", "zzz"]).await.unwrap();
    assert_eq!((deleted, evicted(&agent, "explicit")), (2, 2.0));
    let length: u64 = products.strlen("h2").await.unwrap();
    assert_eq!((length, counts(&agent)), (0, [4, 4, 0, 3]));

    let timed = |operation| records(&agent, "heartline.cache.operation.duration", &[("cache.operation", operation)]);
    assert_eq!((timed("get"), timed("set"), timed("delete")), (5, 4, 1));
}

#[tokio::test]
async fn pipelines_and_transactions_count_each_command() {
    let (agent, server) = (agent(), Server::start("0"));
    let mut products = cache(&agent, &server).await;
    let mut pipeline = redis::pipe();
    pipeline.set("a", "1").get("a").get("b").cmd("PING").del("a");
    let _: (String, Option<String>, Option<String>, String, u64) = pipeline.query_async(&mut products).await.unwrap();
    assert_eq!((counts(&agent), evicted(&agent, "explicit")), ([1, 1, 0, 1], 1.0));
    let mut transaction = redis::pipe();
    transaction.atomic().set("a", "1").get("a").get("b");
    let _: (String, Option<String>, Option<String>) = transaction.query_async(&mut products).await.unwrap();
    assert_eq!(counts(&agent), [2, 2, 0, 2]);
}

#[tokio::test]
async fn errors_of_the_server_and_a_server_that_died_are_errors_and_reach_the_caller() {
    let (agent, server) = (agent(), Server::start("0"));
    let mut products = cache(&agent, &server).await;
    let () = products.lpush("list", "1").await.unwrap();
    let wrong = products.get::<_, String>("list").await.unwrap_err();
    assert_eq!((wrong.error_type(), counts(&agent)), ("WRONGTYPE", [0, 0, 1, 0]));
    drop(server);
    assert!(products.get::<_, Option<String>>("a").await.is_err());
    assert!(products.set::<_, _, ()>("a", "1").await.is_err());
    assert_eq!(counts(&agent), [0, 0, 3, 0]);
}

#[tokio::test]
async fn the_server_says_how_full_it_is_and_what_it_threw_out() {
    let (agent, server) = (agent(), Server::start("3mb"));
    let mut products = cache(&agent, &server).await;
    let polling = products.watch_server(Duration::from_millis(100)).unwrap();
    let () = products.set("kept", "1").await.unwrap();
    eventually("one key and the limit are seen", async || {
        number(&agent, "heartline.cache.entry.count", &[]) == Some(1.0)
            && number(&agent, "heartline.cache.limit", &[]) == Some(3.0 * 1024.0 * 1024.0)
            && number(&agent, "heartline.cache.size", &[]).is_some_and(|bytes| bytes > 100_000.0)
    })
    .await;
    let value = "x".repeat(10_000);
    for key in 0..500 {
        let () = products.set(key, &value).await.unwrap();
    }
    eventually("evictions by size are seen", async || evicted(&agent, "size") > 100.0).await;
    let () = products.pset_ex("soon", "1", 5).await.unwrap();
    eventually("an expiry is seen", async || evicted(&agent, "expired") >= 1.0).await;
    polling.stop();
}

#[test]
fn watching_outside_of_a_runtime_says_so() {
    let (agent, server) = (agent(), Server::start("0"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let products = runtime.block_on(cache(&agent, &server));
    let refused = products.watch_server(Duration::from_secs(1)).unwrap_err();
    assert!(refused.to_string().contains("tokio"), "{refused}");
}
