//! The tier in Redis: answers within a deadline or counts as away; comes back by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncTypedCommands, Client, RedisError};

use super::{Entry, Wildcard};
use crate::clock;

/// How long an answer may take; a cache that is slower than the database is of no use.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(250);
/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// After a failure Redis is left alone this long, so that its absence costs requests nothing.
const AWAY_MS: i64 = 500;
/// Every key begins with this, so that the shop can share a Redis.
const PREFIX: &str = "heartline-shop:";

/// Redis is away: either it failed just now, or it did a moment ago and is not asked again yet.
#[derive(Debug, thiserror::Error)]
#[error("Redis is away: {0}")]
pub(super) struct Away(String);

/// All caches in one Redis.
#[derive(Clone)]
pub(super) struct RedisTier {
    connection: ConnectionManager,
    away_until_ms: Arc<AtomicI64>,
    time_to_live: Duration,
}

impl RedisTier {
    /// Does not wait for Redis to be there.
    pub(super) fn open(url: &str, time_to_live: Duration) -> Result<Self, RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(200));
        let connection = ConnectionManager::new_lazy_with_config(Client::open(url)?, config)?;
        Ok(Self { connection, away_until_ms: Arc::default(), time_to_live })
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Arc<str>>, Away> {
        let mut connection = self.connection.clone();
        let body = self.ask(async { AsyncTypedCommands::get(&mut connection, full(key)).await }).await?;
        Ok(body.map(Arc::from))
    }

    pub(super) async fn put(&self, key: &str, entry: &Entry) -> Result<(), Away> {
        let mut connection = self.connection.clone();
        let mut pipe = redis::pipe();
        pipe.set_ex(full(key), &*entry.body, self.time_to_live.as_secs()).ignore();
        for tag in entry.tags.iter() {
            let set = tag_key(tag);
            pipe.sadd(&set, full(key)).ignore();
            pipe.expire(&set, i64::try_from(self.time_to_live.as_secs()).unwrap_or(i64::MAX)).ignore();
        }
        self.ask(async { pipe.query_async::<()>(&mut connection).await }).await
    }

    pub(super) async fn remove(&self, key: &str) -> Result<(), Away> {
        let mut connection = self.connection.clone();
        self.ask(async { connection.del(full(key)).await.map(drop) }).await
    }

    pub(super) async fn withdraw_tag(&self, tag: &str) -> Result<u64, Away> {
        let mut connection = self.connection.clone();
        let set = tag_key(tag);
        let keys: Vec<String> = self.ask(async { connection.smembers(&set).await }).await?.into_iter().collect();
        if keys.is_empty() {
            return Ok(0);
        }
        let mut connection = self.connection.clone();
        self.ask(async {
            let removed = connection.del(&keys).await?;
            connection.del(&set).await?;
            Ok(removed as u64)
        })
        .await
    }

    pub(super) async fn withdraw_pattern(&self, pattern: &Wildcard) -> Result<u64, Away> {
        let keys = self.keys(pattern).await?;
        if keys.is_empty() {
            return Ok(0);
        }
        let mut connection = self.connection.clone();
        self.ask(async { connection.del(&keys).await.map(|removed| removed as u64) }).await
    }

    pub(super) async fn count_pattern(&self, pattern: &Wildcard) -> Result<u64, Away> {
        self.keys(pattern).await.map(|keys| keys.len() as u64)
    }

    async fn keys(&self, pattern: &Wildcard) -> Result<Vec<String>, Away> {
        let mut connection = self.connection.clone();
        let found = full(&pattern.for_redis());
        self.ask(async {
            let mut keys = Vec::new();
            let mut scan = connection.scan_match::<_, String>(found).await?;
            while let Some(key) = scan.next().await {
                keys.push(key?);
            }
            Ok(keys)
        })
        .await
    }

    /// A sign of life, asked even while Redis counts as away.
    pub(super) async fn ping(&self) -> Result<(), Away> {
        let mut connection = self.connection.clone();
        let answer = tokio::time::timeout(ANSWER_TIMEOUT * 2, connection.ping()).await;
        match answer {
            Ok(Ok(_)) => {
                self.away_until_ms.store(0, Ordering::Relaxed);
                Ok(())
            }
            Ok(Err(error)) => Err(Away(error.to_string())),
            Err(_) => Err(Away(format!("no answer within {:?}", ANSWER_TIMEOUT * 2))),
        }
    }

    async fn ask<T>(&self, question: impl Future<Output = Result<T, RedisError>>) -> Result<T, Away> {
        if clock::now_ms() < self.away_until_ms.load(Ordering::Relaxed) {
            return Err(Away("it failed a moment ago".to_owned()));
        }
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, question).await;
        let error = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {ANSWER_TIMEOUT:?}"),
        };
        self.away_until_ms.store(clock::now_ms() + AWAY_MS, Ordering::Relaxed);
        Err(Away(error))
    }
}

fn full(key: &str) -> String {
    format!("{PREFIX}{key}")
}

fn tag_key(tag: &str) -> String {
    format!("{PREFIX}tag:{tag}")
}
