//! The shop over a real socket, on its embedded database and on PostgreSQL.
#![expect(clippy::unwrap_used, reason = "an answer without what it must have fails the test")]

mod support;

use serde_json::{Value, json};
use support::{Shop, wait_until};

#[tokio::test]
async fn the_shop_sells_on_the_embedded_database() {
    let shop = Shop::start(&[], &[]);
    sells(&shop).await;
    degrades_when_payment_is_out(&shop).await;
    assert_eq!(shop.end(), Some(0));
}

#[tokio::test]
async fn the_shop_sells_on_postgresql() {
    let (shop, _postgres) = Shop::start_on_postgres();
    sells(&shop).await;
    degrades_when_payment_is_out(&shop).await;
    assert_eq!(shop.end(), Some(0));
}

/// What both databases must do alike.
async fn sells(shop: &Shop) {
    pages_by_cursor_and_by_number_agree(shop).await;
    let (status, found) = shop.get("/search?q=oak+table").await;
    assert_eq!(status, 200);
    let names: Vec<_> = found["hits"].as_array().unwrap().iter().map(|hit| hit["name"].as_str().unwrap()).collect();
    assert!(!names.is_empty() && names.iter().all(|name| name.contains("oak") && name.contains("table")), "{names:?}");
    a_known_product_is_not_sent_again(shop).await;
    a_new_price_shows_everywhere(shop).await;
    an_order_takes_stock_and_leaves_work(shop).await;
    for (path, expected) in [
        ("/products/999999", 404),
        ("/products/abc", 400),
        ("/products?limit=1000", 400),
        ("/products?cursor=what", 400),
        ("/vendors/1/analytics?days=0", 400),
        ("/nothing", 404),
    ] {
        let (status, problem) = shop.get(path).await;
        assert_eq!(status, expected, "{path}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{path}: {problem}");
    }
    let (status, analytics) = shop.get("/vendors/1/analytics").await;
    assert_eq!(status, 200);
    assert!(
        analytics["orders"].as_i64().unwrap() > 0 && analytics["revenue_cents"].as_i64().unwrap() > 0,
        "{analytics}"
    );
}

async fn pages_by_cursor_and_by_number_agree(shop: &Shop) {
    let ids = |page: &Value| -> Vec<i64> {
        page["items"].as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()).collect()
    };
    let (_, first) = shop.get("/products?category=books&sort=price&limit=10").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let (_, by_cursor) = shop.get(&format!("/products?category=books&sort=price&limit=10&cursor={cursor}")).await;
    let (_, by_number) = shop.get("/products?category=books&sort=price&limit=10&page=2").await;
    assert_eq!(ids(&first).len(), 10);
    assert_eq!(ids(&by_cursor), ids(&by_number));
    assert!(ids(&first).iter().all(|id| !ids(&by_cursor).contains(id)));
}

async fn a_known_product_is_not_sent_again(shop: &Shop) {
    let url = format!("{}/products/7", shop.url);
    let answer = shop.client.get(&url).send().await.unwrap();
    let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
    assert!(answer.headers().contains_key("x-request-id"));
    let again = shop.client.get(&url).header("if-none-match", &etag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    assert!(again.bytes().await.unwrap().is_empty());
    let other = shop.client.get(&url).header("if-none-match", "\"other\"").send().await.unwrap();
    assert_eq!(other.status(), 200);
}

async fn a_new_price_shows_everywhere(shop: &Shop) {
    let (_, before) = shop.get("/products?limit=10").await;
    let id = before["items"][0]["id"].as_i64().unwrap();
    let price = before["items"][0]["price_cents"].as_i64().unwrap() + 1;
    let change = shop.client.put(format!("{}/products/{id}/price", shop.url)).json(&json!({ "price_cents": price }));
    assert_eq!(change.send().await.unwrap().status(), 204);
    let (_, product) = shop.get(&format!("/products/{id}")).await;
    let (_, page) = shop.get("/products?limit=10").await;
    assert_eq!(product["price_cents"], price);
    assert_eq!(page["items"][0]["price_cents"], price);
}

async fn an_order_takes_stock_and_leaves_work(shop: &Shop) {
    let stock = |product: &Value| product["stock"].as_i64().unwrap();
    let (_, before) = shop.get("/products/11").await;
    assert_eq!(shop.post("/users/3/orders", &json!({})).await.0, 422, "an empty cart cannot be ordered");
    let wanted = json!({ "product_id": 11, "quantity": 2 });
    assert_eq!(shop.post("/users/3/cart/items", &wanted).await.0, 201);
    let (_, cart) = shop.get("/users/3/cart").await;
    assert_eq!(cart["total_cents"], before["price_cents"].as_i64().unwrap() * 2);
    let (status, order) = shop.post("/users/3/orders", &json!({})).await;
    assert_eq!((status, &order["status"]), (201, &json!("paid")));
    let (_, after) = shop.get("/products/11").await;
    assert_eq!(stock(&after), stock(&before) - 2);
    let (_, history) = shop.get("/users/3/orders").await;
    assert_eq!(history["orders"][0]["id"], order["id"]);
    for queue in ["email", "sms", "analytics", "audit"] {
        wait_until(&format!("the {queue} job is done"), async || {
            let (_, truth) = shop.get("/admin/truth").await;
            let jobs = truth["jobs"].as_array().unwrap();
            jobs.iter().any(|line| line["queue"] == queue && line["completed"].as_u64().unwrap() > 0)
        })
        .await;
    }
}

async fn degrades_when_payment_is_out(shop: &Shop) {
    assert_eq!(shop.post("/admin/faults/payment-outage", &json!({ "on": true })).await.0, 200);
    let wanted = json!({ "product_id": 12, "quantity": 1 });
    for _ in 0..8 {
        assert_eq!(shop.post("/users/4/cart/items", &wanted).await.0, 201);
        let (status, order) = shop.post("/users/4/orders", &json!({})).await;
        assert_eq!((status, &order["status"]), (202, &json!("payment_deferred")));
    }
    wait_until("the agent shows the breaker open", async || {
        let metrics = shop.client.get(format!("{}/metrics", shop.agent)).send().await.unwrap().text().await.unwrap();
        metrics.lines().any(|line| {
            line.starts_with("heartline_circuit_breaker_status")
                && line.contains("circuit_breaker_state=\"open\"")
                && line.ends_with(" 1")
        })
    })
    .await;
    assert_eq!(shop.post("/admin/faults/payment-outage", &json!({ "on": false })).await.0, 200);
    wait_until("the deferred payments are taken", async || {
        let (_, history) = shop.get("/users/4/orders").await;
        history["orders"].as_array().unwrap().iter().all(|order| order["status"] == "paid")
    })
    .await;
}
