//! What a person on call may make the shop do through its agent: fill and empty caches, run failed jobs again, throw jobs
//! away. Who may ask is the agent's business.

use std::sync::Arc;

use heartline::{ActionError, ActionOutcome, ActionRequest, Agent};

use crate::api::Shop;
use crate::cache::{self, CacheName, Wildcard};
use crate::jobs::{JobSelection, QueueName};
use crate::truth::Tier;

type Outcome = Result<ActionOutcome, ActionError>;

/// Registers all four.
pub(crate) fn register(agent: &Agent, shop: &Arc<Shop>) {
    let act =
        |name: &str, handler: fn(Arc<Shop>, ActionRequest) -> futures_util::future::BoxFuture<'static, Outcome>| {
            let shop = Arc::clone(shop);
            agent.action(name, move |request| handler(Arc::clone(&shop), request));
        };
    act("cache.warm", |shop, request| Box::pin(async move { warm(&shop, &request).await }));
    act("cache.invalidate", |shop, request| Box::pin(async move { invalidate(&shop, &request).await }));
    act("jobs.retry", |shop, request| Box::pin(async move { retry(&shop, &request).await }));
    act("jobs.clear", |shop, request| Box::pin(async move { clear(&shop, &request).await }));
}

async fn warm(shop: &Shop, request: &ActionRequest) -> Outcome {
    let name = cache_name(request)?;
    if request.text("tier").is_some() {
        return refuse("a cache of the shop is warmed in both tiers; leave `tier` out");
    }
    if let Some(keys) = request.texts("keys") {
        if name != CacheName::Products {
            return refuse("only products are warmed by key; use `all`: true");
        }
        let ids = keys.iter().map(|key| key.parse().map_err(|_| refused(&format!("{key:?} is no product number"))));
        let ids: Vec<i64> = ids.collect::<Result<_, _>>()?;
        if request.is_dry_run() {
            return Ok(ActionOutcome::new(ids.len() as u64, 0));
        }
        let filled = cache::warm_these(&shop.database, &shop.caches, &ids).await.map_err(|error| failed(&error))?;
        return Ok(ActionOutcome::new(ids.len() as u64, filled));
    }
    if !request.flag("all") {
        return refuse("the database does not know keys by prefix; use `keys` or `all`: true");
    }
    if request.is_dry_run() {
        return Ok(ActionOutcome::default().remark("how many entries that makes is known when it is done"));
    }
    let filled = cache::warm_one(&shop.database, &shop.caches, name).await.map_err(|error| failed(&error))?;
    Ok(ActionOutcome::new(filled, filled))
}

async fn invalidate(shop: &Shop, request: &ActionRequest) -> Outcome {
    let name = cache_name(request)?;
    let tier = match request.text("tier") {
        None => None,
        Some("l1") => Some(Tier::L1),
        Some("l2") => Some(Tier::L2),
        Some(other) => return refuse(&format!("there is no tier {other:?}; there are l1 and l2")),
    };
    let parts = match (request.texts("keys"), request.text("prefix")) {
        (Some(keys), _) => keys.into_iter().map(str::to_owned).collect(),
        (None, Some(prefix)) => vec![prefix.to_owned()],
        (None, None) => vec![String::new()],
    };
    if parts.iter().any(|part| part.contains('*')) {
        return refuse("keys of the shop have no `*`; use `prefix` or `all`: true");
    }
    let star = if request.texts("keys").is_some() { "" } else { "*" };
    let mut found = 0;
    for part in parts {
        let pattern = Wildcard::new(format!("{}:{part}{star}", name.label()));
        found += shop.caches.withdraw_from((name, tier), &pattern, request.is_dry_run()).await;
    }
    Ok(ActionOutcome::new(found, if request.is_dry_run() { 0 } else { found }).remark("entries, counted in each tier"))
}

async fn retry(shop: &Shop, request: &ActionRequest) -> Outcome {
    if request.text("state").is_some_and(|state| state != "failed") {
        return refuse("jobs that have not failed run by themselves; only failed ones are retried");
    }
    let (queue, selection) = jobs(request)?;
    shop.jobs.retry(queue, &selection).await.map(outcome).map_err(|error| failed(&error))
}

async fn clear(shop: &Shop, request: &ActionRequest) -> Outcome {
    let (queue, selection) = jobs(request)?;
    shop.jobs.clear(queue, &selection).await.map(outcome).map_err(|error| failed(&error))
}

fn jobs(request: &ActionRequest) -> Result<(QueueName, JobSelection), ActionError> {
    let asked = request.text("queue").unwrap_or_default();
    let queue = QueueName::ALL.into_iter().find(|queue| queue.label() == asked);
    let known = || QueueName::ALL.map(QueueName::label).join(", ");
    let queue = queue.ok_or_else(|| refused(&format!("there is no queue {asked:?}; there are: {}", known())))?;
    let state = request.text("state").unwrap_or("failed").to_owned();
    if !matches!(state.as_str(), "waiting" | "delayed" | "failed") {
        return Err(refused(&format!("the shop's store knows no {state} jobs; it knows waiting, delayed, failed")));
    }
    let ids = request.texts("ids").map(|ids| ids.into_iter().map(str::to_owned).collect());
    let older_than_seconds = request.integer("older_than");
    let limit = request.integer("limit").unwrap_or(1);
    Ok((queue, JobSelection { state, ids, older_than_seconds, limit, dry_run: request.is_dry_run() }))
}

fn outcome((matched, affected): (u64, u64)) -> ActionOutcome {
    ActionOutcome::new(matched, affected)
}

fn cache_name(request: &ActionRequest) -> Result<CacheName, ActionError> {
    let asked = request.text("cache").unwrap_or_default();
    let known = || CacheName::ALL.map(CacheName::label).join(", ");
    let name = CacheName::ALL.into_iter().find(|name| name.label() == asked);
    name.ok_or_else(|| refused(&format!("there is no cache {asked:?}; there are: {}", known())))
}

fn refuse(why: &str) -> Outcome {
    Err(refused(why))
}

fn refused(why: &str) -> ActionError {
    ActionError::Refused(why.to_owned())
}

fn failed(error: &dyn std::fmt::Display) -> ActionError {
    ActionError::Failed(error.to_string())
}
