//! The layer under a real axum server: templates, unmatched paths, panics, and clients that go away.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::routing::{get, post};
use heartline::Agent;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::readings::{agent, eventually, number, records, values};

const DURATION: &str = "http.server.request.duration";
const ACTIVE: &str = "http.server.active_requests";

/// Serves `app` on a free port.
pub(crate) async fn serve(app: Router) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

/// Sends one request and reads until the server closes.
async fn send(address: std::net::SocketAddr, line: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn count(agent: &Agent, route: &str, status: &str) -> u64 {
    records(agent, DURATION, &[("http.route", route), ("http.response.status_code", status)])
}

/// Both layers count alike.
const LAYERS: [fn(Router, &Agent) -> Router; 2] =
    [|router, agent| router.layer(agent.axum_layer()), |router, agent| router.layer(agent.http_layer())];

fn shop() -> Router {
    let orders = Router::new()
        .route("/{id}", get(async |Path(id): Path<u64>| format!("order {id}")))
        .route("/", post(async || (http::StatusCode::CREATED, "created")));
    Router::new()
        .route("/products/{id}", get(async |Path(id): Path<String>| id))
        .route("/fail", get(async || http::StatusCode::BAD_GATEWAY))
        .nest("/api/orders", orders)
}

#[tokio::test]
async fn templates_are_routes_nested_ones_in_full_and_paths_never_become_labels() {
    for layered in LAYERS {
        templates_are_routes(layered).await;
    }
}

async fn templates_are_routes(layered: fn(Router, &Agent) -> Router) {
    let agent = agent();
    let address = serve(layered(shop(), &agent)).await;
    for path in ["/products/a", "/products/b", "/products/%00%1b", "/api/orders/7", "/fail", "/nowhere/1", "/nowhere/2"]
    {
        assert!(send(address, &format!("GET {path}")).await.starts_with("HTTP/1.1 "));
    }
    assert!(send(address, "POST /api/orders").await.starts_with("HTTP/1.1 201"));
    assert!(send(address, "DELETE /products/a").await.starts_with("HTTP/1.1 405"));
    assert!(send(address, "HEAD /products/a").await.starts_with("HTTP/1.1 200"));

    assert_eq!(count(&agent, "/products/{id}", "200"), 4);
    assert_eq!(count(&agent, "/products/{id}", "405"), 1);
    assert_eq!(count(&agent, "/api/orders/{id}", "200"), 1);
    assert_eq!(count(&agent, "/api/orders", "201"), 1);
    assert_eq!(count(&agent, "/fail", "502"), 1);
    assert_eq!(records(&agent, DURATION, &[("http.route", "/fail"), ("error.type", "502")]), 1);
    assert_eq!(records(&agent, DURATION, &[("http.response.status_code", "404")]), 2);
    let routes = ["", "/api/orders", "/api/orders/{id}", "/fail", "/products/{id}"];
    assert_eq!(values(&agent, DURATION, "http.route"), routes);
    assert_eq!(values(&agent, DURATION, "error.type"), ["", "502"]);
    assert_eq!(number(&agent, ACTIVE, &[]), Some(0.0));
}

#[tokio::test]
async fn a_router_that_is_nested_twice_has_its_routes_under_both_templates() {
    for layered in LAYERS {
        let agent = agent();
        let orders = layered(Router::new().route("/{id}", get(async || "an order")), &agent);
        let app = Router::new().nest("/api/orders", orders.clone()).nest("/v2/orders", orders);
        let address = serve(app).await;
        for path in ["/v2/orders/1", "/api/orders/1", "/v2/orders/2", "/v2/orders/3"] {
            assert!(send(address, &format!("GET {path}")).await.starts_with("HTTP/1.1 200"));
        }
        assert_eq!((count(&agent, "/api/orders/{id}", "200"), count(&agent, "/v2/orders/{id}", "200")), (1, 3));
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_or_within_the_body_is_cancelled() {
    for layered in LAYERS {
        who_leaves_is_cancelled(layered).await;
    }
}

async fn who_leaves_is_cancelled(layered: fn(Router, &Agent) -> Router) {
    let agent = agent();
    let endless = async || {
        let beat = tokio::time::interval(Duration::from_millis(5));
        let frames = futures_util::stream::unfold(beat, async |mut beat| {
            beat.tick().await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"tick\n")), beat))
        });
        Body::from_stream(frames)
    };
    let app =
        Router::new().route("/slow", get(async || std::future::pending::<()>().await)).route("/endless", get(endless));
    let address = serve(layered(app, &agent)).await;
    for (route, reads) in [("/slow", false), ("/endless", true)] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {route} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        if reads {
            let mut some = [0; 64];
            assert!(stream.read(&mut some).await.unwrap() > 0);
        }
        eventually("the request is in flight", async || number(&agent, ACTIVE, &[]) == Some(1.0)).await;
        drop(stream);
        eventually("the request is gone", async || number(&agent, ACTIVE, &[]) == Some(0.0)).await;
        assert_eq!(records(&agent, DURATION, &[("http.route", route), ("error.type", "cancelled")]), 1);
    }
}

#[tokio::test]
async fn a_handler_that_panics_is_a_panic_and_the_next_request_is_served() {
    for layered in LAYERS {
        who_panics_is_a_panic(layered).await;
    }
}

async fn who_panics_is_a_panic(layered: fn(Router, &Agent) -> Router) {
    let agent = agent();
    let app = Router::new()
        .route("/broken", get(async || -> &'static str { panic!("on purpose") }))
        .route("/fine", get(async || "fine"));
    let address = serve(layered(app, &agent)).await;
    assert_eq!(send(address, "GET /broken").await, "");
    assert!(send(address, "GET /fine").await.ends_with("fine"));
    assert_eq!(records(&agent, DURATION, &[("http.route", "/broken"), ("error.type", "panic")]), 1);
    assert_eq!(number(&agent, ACTIVE, &[]), Some(0.0));
}

#[tokio::test]
async fn a_timed_handler_is_counted_without_a_layer_and_its_neighbour_is_not() {
    let agent = agent();
    let product = async |Path(id): Path<u64>| format!("product {id}");
    let app = Router::new()
        .route("/products/{id}", get(agent.timed("/products/{id}", product)))
        .route("/metrics", get(async || "metrics"));
    let address = serve(app).await;
    assert!(send(address, "GET /products/7").await.ends_with("product 7"));
    assert!(send(address, "GET /products/seven").await.starts_with("HTTP/1.1 400"));
    assert!(send(address, "GET /metrics").await.ends_with("metrics"));
    assert_eq!(values(&agent, DURATION, "http.route"), ["/products/{id}"]);
    assert_eq!((count(&agent, "/products/{id}", "200"), count(&agent, "/products/{id}", "400")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_from_many_connections_are_counted_exactly() {
    let agent = agent();
    let address = serve(shop().layer(agent.axum_layer())).await;
    let clients = (0..50).map(|client| {
        tokio::spawn(async move {
            for request in 0..20 {
                send(address, &format!("GET /products/{client}-{request}")).await;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    assert_eq!(count(&agent, "/products/{id}", "200"), 1_000);
    assert_eq!(number(&agent, ACTIVE, &[]), Some(0.0));
}
