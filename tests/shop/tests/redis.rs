//! The second cache tier in a real Redis, which goes away and comes back.

mod support;

use heartline_tests::servers::Redis;
use serde_json::json;
use support::{Shop, wait_until};

#[tokio::test]
async fn requests_are_served_while_redis_is_away_and_redis_is_used_again_when_it_is_back() {
    let redis = Redis::start().unwrap();
    let shop = Shop::start(&[("REDIS_URL", &redis.url())], &[]);

    // Product 4000 is not on the front pages: only L2 is warm with it.
    assert_eq!(shop.get("/products/4000").await.0, 200);
    assert_eq!(shop.lookups("products", "l2").await, [1, 0, 0], "warmed into Redis");

    let port = redis.kill();
    for id in 3000..3010 {
        assert_eq!(shop.get(&format!("/products/{id}")).await.0, 200, "served from the database");
    }
    assert!(shop.lookups("products", "l2").await[2] >= 10, "the look-ups in Redis failed");

    let back = Redis::start_on(port).unwrap();
    let mut id = 3100;
    wait_until("Redis is used again", async || {
        id += 1;
        assert_eq!(shop.get(&format!("/products/{id}")).await.0, 200);
        shop.lookups("products", "l2").await[1] > 0
    })
    .await;
    // What was loaded while it was back is in it: gone from L1, it comes from L2.
    assert_eq!(shop.get("/products/4500").await.0, 200);
    let hits = shop.lookups("products", "l2").await[0];
    withdraw_from_all_and_load_again(&shop, hits).await;
    drop(back);
    assert_eq!(shop.end(), Some(0));
}

async fn withdraw_from_all_and_load_again(shop: &Shop, hits: u64) {
    let (status, withdrawn) = shop.post("/admin/cache/withdraw", &json!({ "tag": "product-4500" })).await;
    assert_eq!(status, 200);
    assert!(withdrawn["entries"].as_u64().is_some_and(|entries| entries >= 2), "from L1 and from Redis: {withdrawn}");
    let misses = shop.lookups("products", "l2").await[1];
    assert_eq!(shop.get("/products/4500").await.0, 200);
    assert_eq!(shop.lookups("products", "l2").await, [hits, misses + 1, shop.lookups("products", "l2").await[2]]);
}
