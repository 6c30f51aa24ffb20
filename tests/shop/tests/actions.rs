//! What a person on call does to the shop through its agent: caches filled and emptied, jobs retried and cleared, and what
//! the probes say when the database is gone.
#![expect(clippy::unwrap_used, reason = "an answer without what it must have fails the test")]

mod support;

use serde_json::{Value, json};
use support::{Shop, wait_until};

const TOKEN: &str = "an-admin-token-of-the-tests-of-32-bytes-or-more";

/// A shop whose agent takes actions.
struct Acting {
    shop: Shop,
    _token: tempfile::NamedTempFile,
}

impl Acting {
    fn start() -> Self {
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), TOKEN).unwrap();
        let shop = Shop::start(&[], &["--admin-token-file", token.path().to_str().unwrap()]);
        Self { shop, _token: token }
    }

    async fn act(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}{path}", self.shop.agent);
        let answer = self.shop.client.post(url).bearer_auth(TOKEN).json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    async fn fault(&self, name: &str) {
        let url = format!("{}/admin/faults/{name}", self.shop.url);
        let answer = self.shop.client.post(url).bearer_auth(TOKEN).json(&json!({"on": true})).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
    }

    async fn agent(&self, path: &str) -> (u16, String) {
        let answer = self.shop.client.get(format!("{}{path}", self.shop.agent)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// How the newest run of an action ended, once it has.
    async fn ended(&self, action: &str, operation: &Value) -> Value {
        let mut last = Value::Null;
        wait_until("the operation ends", async || {
            let listed: Value = serde_json::from_str(&self.agent("/api/v1/actions").await.1).unwrap();
            let rows = listed["actions"].as_array().unwrap();
            last = rows.iter().find(|row| row["name"] == action).unwrap()["last"].clone();
            last["operation_id"] == *operation
        })
        .await;
        last
    }
}

#[tokio::test]
async fn a_cache_is_emptied_and_filled_from_outside() {
    let acting = Acting::start();
    let everything = json!({"cache": "products", "all": true});
    let (status, tried) = acting.act("/api/v1/cache/invalidate?dry_run", &everything).await;
    assert_eq!((status, &tried["dry_run"], &tried["affected"]), (200, &json!(true), &json!(0)), "{tried}");
    let matched = tried["matched"].as_u64().unwrap();
    assert!(matched >= 5_000, "the catalogue is warm: {tried}");

    let (status, started) = acting.act("/api/performance/cache/invalidate", &everything).await;
    assert_eq!(status, 202, "{started}");
    let last = acting.ended("cache.invalidate", &started["operation_id"]).await;
    assert_eq!((&last["status"], &last["affected"]), (&json!("done"), &json!(matched)), "{last}");
    let (_, tried) = acting.act("/api/v1/cache/invalidate?dry_run", &everything).await;
    assert_eq!(tried["matched"], 0, "{tried}");

    let (status, started) = acting.act("/api/v1/cache/warm", &json!({"cache": "products", "keys": ["7", "8"]})).await;
    assert_eq!(status, 202, "{started}");
    let last = acting.ended("cache.warm", &started["operation_id"]).await;
    assert_eq!((&last["status"], &last["affected"]), (&json!("done"), &json!(2)), "{last}");
    let seven = json!({"cache": "products", "keys": ["7"]});
    let (_, tried) = acting.act("/api/v1/cache/invalidate?dry_run", &seven).await;
    assert_eq!(tried["matched"], 2, "once in each tier: {tried}");

    for (body, said) in [
        (json!({"cache": "wine", "all": true}), "no cache"),
        (json!({"cache": "products"}), "exactly one"),
        (json!({"cache": "products", "prefix": "a*"}), "`*`"),
    ] {
        let (status, problem) = acting.act("/api/v1/cache/invalidate?dry_run", &body).await;
        assert!(status == 400 && problem["detail"].as_str().unwrap().contains(said), "{body}: {problem}");
    }
    assert_eq!(acting.shop.end(), Some(0));
}

#[tokio::test]
async fn failed_jobs_are_retried_and_waiting_ones_cleared() {
    let acting = Acting::start();
    acting.fault("queue-backlog").await;
    let store = format!("sqlite://{}", acting.shop.data().join("jobs.db").display());
    let store = sqlx::SqlitePool::connect(&store).await.unwrap();
    // three letters that gave up, as after their last attempt
    let give_up = "UPDATE Jobs SET status = 'Failed', attempts = 4 WHERE id IN \
                   (SELECT id FROM Jobs WHERE job_type = 'email' AND status = 'Pending' LIMIT 3)";
    wait_until("three letters have failed", async || {
        sqlx::query(give_up).execute(&store).await.is_ok_and(|changed| changed.rows_affected() == 3)
    })
    .await;
    let retry = json!({"queue": "email", "state": "failed", "limit": 2});
    let (status, tried) = acting.act("/api/v1/jobs/retry?dry_run=true", &retry).await;
    assert_eq!((status, &tried["matched"], &tried["affected"]), (200, &json!(2), &json!(0)), "{tried}");
    let (status, retried) = acting.act("/api/performance/jobs/retry", &retry).await;
    assert_eq!((status, &retried["matched"], &retried["affected"]), (200, &json!(2), &json!(2)), "{retried}");
    let (_, rest) = acting.act("/api/v1/jobs/retry", &json!({"queue": "email"})).await;
    assert_eq!(rest["affected"], 1, "{rest}");

    let (status, cleared) = acting.act("/api/v1/jobs/clear", &json!({"queue": "email", "state": "waiting"})).await;
    assert!(status == 200 && cleared["affected"].as_u64().unwrap() > 0, "{cleared}");
    for (body, said) in [
        (json!({"queue": "email"}), "`state`"),
        (json!({"queue": "email", "state": "active"}), "active"),
        (json!({"queue": "post", "state": "failed"}), "no queue"),
    ] {
        let (status, problem) = acting.act("/api/v1/jobs/clear", &body).await;
        assert!(status == 400 && problem["detail"].as_str().unwrap().contains(said), "{body}: {problem}");
    }
    store.close().await;
    assert_eq!(acting.shop.end(), Some(0));
}

#[tokio::test]
async fn a_slow_request_is_kept_with_its_ids_and_what_it_spent() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let acting = Acting::start();
    acting.fault("slow-query").await;
    let mut kept = Value::Null;
    wait_until("a slow request is kept", async || {
        let url = format!("{}/users/1/orders", acting.shop.url);
        let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let request = acting.shop.client.get(url).header("traceparent", traceparent).header("x-request-id", "order-7");
        request.send().await.unwrap();
        let traces: Value = serde_json::from_str(&acting.agent("/api/v1/traces?limit=64").await.1).unwrap();
        let rows = traces["requests"]["slowest"].as_array().unwrap();
        let slow = rows.iter().find(|row| row["request_id"] == "order-7").cloned();
        kept = slow.unwrap_or(kept.clone());
        !kept.is_null()
    })
    .await;
    assert_eq!((&kept["trace_id"], &kept["route"]), (&json!(TRACE), &json!("/users/{id}/orders")), "{kept}");
    assert_eq!((&kept["status"], &kept["method"]), (&json!(200), &json!("GET")), "{kept}");
    let spent = kept["spent"]["queries"]["seconds"].as_f64().unwrap();
    let all = kept["duration_seconds"].as_f64().unwrap();
    assert!(kept["spent"]["queries"]["count"].as_u64().unwrap() >= 1 && spent > 0.0 && spent <= all, "{kept}");
    assert_eq!(acting.shop.end(), Some(0));
}

#[tokio::test]
async fn actions_are_closed_without_the_admin_token_and_counted() {
    let acting = Acting::start();
    let url = format!("{}/api/v1/metrics/reset", acting.shop.agent);
    let refused = acting.shop.client.post(url).json(&json!({})).send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 401);
    let (status, reset) = acting.act("/api/performance/metrics/reset", &json!({})).await;
    assert!(status == 200 && reset["reset_at"].as_str().unwrap().ends_with('Z'), "{reset}");
    let (status, purged) = acting.act("/api/v1/actions/heap.purge", &json!({})).await;
    assert_eq!(status, 200, "{purged}");
    let (status, problem) = acting.act("/api/v1/actions/nothing.such", &json!({})).await;
    assert_eq!(status, 404, "{problem}");
    let log = acting.shop.data().join("log");
    wait_until("the audit event is in a log file", async || {
        let files = std::fs::read_dir(&log).into_iter().flatten().flatten();
        let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
        texts.collect::<String>().contains("heartline::audit")
    })
    .await;
    let (_, page) = acting.agent("/metrics").await;
    let counted = |route: &str, outcome: &str| {
        let labels = format!("heartline_admin_requests_total{{outcome=\"{outcome}\",route=\"{route}\"}} 1");
        assert!(page.contains(&labels), "{labels}\n{page}");
    };
    counted("/api/v1/metrics/reset", "refused");
    counted("/api/v1/metrics/reset", "ok");
    assert_eq!(acting.shop.end(), Some(0));
}

#[tokio::test]
async fn the_shop_is_unavailable_when_its_database_goes() {
    let (shop, postgres) = Shop::start_on_postgres();
    let probe = async |path: &str| {
        let answer = shop.client.get(format!("{}{path}", shop.agent)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    wait_until("the shop is ready", async || probe("/readyz").await.0 == 200).await;
    assert_eq!(probe("/startupz").await.0, 200);
    drop(postgres);
    wait_until("the shop says so", async || probe("/health").await.0 == 503 && probe("/readyz").await.0 == 503).await;
    let (status, list) = probe("/readyz?verbose").await;
    assert!(status == 503 && list.contains("[-]database"), "{list}");
    assert_eq!(probe("/readyz?exclude=database").await.0, 200);
    assert_eq!(probe("/livez").await.0, 200);
    let (_, health) = probe("/health").await;
    assert!(health.contains("unhealthy") && !health.contains("database"), "{health}");
}

#[tokio::test]
async fn the_functions_that_run_are_named_from_outside() {
    let acting = Acting::start();
    let url = format!("{}/api/v1/profile/cpu?seconds=2&format=collapsed", acting.shop.agent);
    assert_eq!(acting.shop.client.get(&url).send().await.unwrap().status().as_u16(), 401, "for admins only");
    let (client, products) = (acting.shop.client.clone(), format!("{}/products?limit=50", acting.shop.url));
    let load = tokio::spawn(async move {
        loop {
            let _ = client.get(&products).send().await;
        }
    });
    let profile = acting.shop.client.get(&url).bearer_auth(TOKEN).send().await.unwrap();
    load.abort();
    assert_eq!(profile.status().as_u16(), 200);
    let stacks = profile.text().await.unwrap();
    assert!(stacks.contains("heartline_shop::"), "the shop's own functions are among them: {stacks}");
    let (status, planned) = acting.act("/api/v1/actions/profile.cpu?dry_run=true", &json!({"seconds": 3})).await;
    assert_eq!((status, &planned["matched"], &planned["affected"]), (200, &json!(297), &json!(0)), "{planned}");
}
