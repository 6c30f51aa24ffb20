//! What shoppers do, and how often. Weights are of steps; with two requests in a cart visit
//! and in a checkout they make 100 requests: browse 45, product 20, search 15, cart 8, history 5,
//! order 4, analytics 2, a dead link 1.

use std::time::Duration;

use goose::goose::GooseResponse;
use goose::prelude::*;
use rand::Rng;
use serde::Deserialize;

use crate::store::{CATEGORIES, SEARCH_WORDS};

/// The name dead links are counted under.
pub(super) const UNMATCHED: &str = "(unmatched)";
/// Shoppers mostly look at what is on the front pages.
const FRONT_PRODUCTS: i64 = 100;
const FRONT_SHARE: f64 = 0.9;
const PRODUCTS: i64 = 5_000;
const USERS: usize = 500;
const VENDORS: i64 = 20;
/// Share of browsing that goes on to the next page.
const NEXT_PAGE: f64 = 0.2;
/// Share of looks at a product that ask whether it changed.
const CONDITIONAL: f64 = 0.2;
/// Share of searches with two words.
const TWO_WORDS: f64 = 0.1;

/// What a shopper remembers.
#[derive(Debug, Default, Clone)]
struct Memory {
    user: usize,
    seen: Option<(i64, String)>,
    next_page: Option<String>,
}

#[derive(Deserialize)]
struct PageEnd {
    next_cursor: Option<String>,
}

/// What a shopper does next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Browse,
    Look,
    Search,
    LookBack,
    CheckOut,
    VisitCart,
    StudyFigures,
    FollowDeadLink,
}

const STEPS: [(Step, u32); 8] = [
    (Step::Browse, 45),
    (Step::Look, 20),
    (Step::Search, 15),
    (Step::LookBack, 5),
    (Step::CheckOut, 4),
    (Step::VisitCart, 2),
    (Step::StudyFigures, 2),
    (Step::FollowDeadLink, 1),
];

/// The shopper, who rests this long between two steps.
///
/// Goose would run weighted transactions in one fixed order for all users, so that hundreds of
/// shoppers check out at the same moment; here each throws dice for each step.
pub(super) fn scenario(rest: Duration) -> Result<Scenario, GooseError> {
    let scenario = scenario!("Shopper")
        .register_transaction(transaction!(arrive).set_on_start())
        .register_transaction(transaction!(shop).set_name("a step of a shopper"));
    if rest.is_zero() { Ok(scenario) } else { scenario.set_wait_time(rest, rest) }
}

async fn shop(user: &mut GooseUser) -> TransactionResult {
    match next_step() {
        Step::Browse => browse(user).await,
        Step::Look => look(user).await,
        Step::Search => search(user).await,
        Step::LookBack => look_back(user).await,
        Step::CheckOut => check_out(user).await,
        Step::VisitCart => visit_cart(user).await,
        Step::StudyFigures => study_figures(user).await,
        Step::FollowDeadLink => follow_dead_link(user).await,
    }
}

fn next_step() -> Step {
    let mut thrown = rand::rng().random_range(0..STEPS.iter().map(|(_, weight)| weight).sum());
    for (step, weight) in STEPS {
        if thrown < weight {
            return step;
        }
        thrown -= weight;
    }
    Step::Browse
}

/// Makes no request: remembers who the shopper is.
#[expect(clippy::unused_async, reason = "the signature is goose's")]
async fn arrive(user: &mut GooseUser) -> TransactionResult {
    let number = user.weighted_users_index % USERS + 1;
    user.set_session_data(Memory { user: number, ..Memory::default() });
    Ok(())
}

async fn browse(user: &mut GooseUser) -> TransactionResult {
    let next = memory(user).next_page.take();
    let path = next.unwrap_or_else(some_listing);
    let (_, _, body) = send(user, GooseMethod::Get, &path, "/products").await?;
    if let Ok(PageEnd { next_cursor: Some(cursor) }) = serde_json::from_slice(&body)
        && rand::rng().random_bool(NEXT_PAGE)
        && !path.contains("cursor=")
    {
        memory(user).next_page = Some(format!("{path}&cursor={cursor}"));
    }
    Ok(())
}

async fn look(user: &mut GooseUser) -> TransactionResult {
    let seen = memory(user).seen.take();
    let again = seen.filter(|_| rand::rng().random_bool(CONDITIONAL));
    let id = again.as_ref().map_or_else(some_product, |(id, _)| *id);
    let path = format!("/products/{id}");
    let mut request = user.get_request_builder(&GooseMethod::Get, &path)?;
    if let Some((_, etag)) = &again {
        request = request.header("if-none-match", etag);
    }
    let (_, etag, _) = send_built(user, request, "/products/{id}").await?;
    memory(user).seen = etag.map(|etag| (id, etag));
    Ok(())
}

async fn search(user: &mut GooseUser) -> TransactionResult {
    let word = |random: &mut rand::rngs::ThreadRng| SEARCH_WORDS[skewed(random, SEARCH_WORDS.len())];
    let query = {
        let mut random = rand::rng();
        let first = word(&mut random);
        if random.random_bool(TWO_WORDS) { format!("{first}+{}", word(&mut random)) } else { first.to_owned() }
    };
    send(user, GooseMethod::Get, &format!("/search?q={query}"), "/search").await?;
    Ok(())
}

async fn visit_cart(user: &mut GooseUser) -> TransactionResult {
    put_in_cart(user).await?;
    let path = format!("/users/{}/cart", memory(user).user);
    send(user, GooseMethod::Get, &path, "/users/{id}/cart").await?;
    Ok(())
}

async fn check_out(user: &mut GooseUser) -> TransactionResult {
    put_in_cart(user).await?;
    let path = format!("/users/{}/orders", memory(user).user);
    send(user, GooseMethod::Post, &path, "/users/{id}/orders").await?;
    Ok(())
}

async fn look_back(user: &mut GooseUser) -> TransactionResult {
    let path = format!("/users/{}/orders", memory(user).user);
    send(user, GooseMethod::Get, &path, "/users/{id}/orders").await?;
    Ok(())
}

async fn study_figures(user: &mut GooseUser) -> TransactionResult {
    let vendor = rand::rng().random_range(1..=VENDORS);
    send(user, GooseMethod::Get, &format!("/vendors/{vendor}/analytics"), "/vendors/{id}/analytics").await?;
    Ok(())
}

async fn follow_dead_link(user: &mut GooseUser) -> TransactionResult {
    let path = format!("/summer-sale/{}", rand::rng().random_range(2015..2025));
    send(user, GooseMethod::Get, &path, UNMATCHED).await?;
    Ok(())
}

async fn put_in_cart(user: &mut GooseUser) -> TransactionResult {
    let path = format!("/users/{}/cart/items", memory(user).user);
    let wanted = serde_json::json!({ "product_id": some_product(), "quantity": rand::rng().random_range(1..=2) });
    let request = user.get_request_builder(&GooseMethod::Post, &path)?.json(&wanted);
    send_built(user, request, "/users/{id}/cart/items").await?;
    Ok(())
}

fn memory(user: &mut GooseUser) -> &mut Memory {
    user.get_session_data_unchecked_mut::<Memory>()
}

fn some_listing() -> String {
    let mut random = rand::rng();
    let sort = if random.random_bool(0.3) { "price" } else { "id" };
    match random.random_range(0..=CATEGORIES.len()) {
        0 => format!("/products?sort={sort}"),
        n => format!("/products?category={}&sort={sort}", CATEGORIES[n - 1]),
    }
}

fn some_product() -> i64 {
    let mut random = rand::rng();
    if random.random_bool(FRONT_SHARE) {
        let front = usize::try_from(FRONT_PRODUCTS).unwrap_or_default();
        i64::try_from(skewed(&mut random, front)).unwrap_or_default() + 1
    } else {
        random.random_range(1..=PRODUCTS)
    }
}

/// An index below `length`, the small ones more often: the smaller of two throws.
fn skewed(random: &mut impl Rng, length: usize) -> usize {
    random.random_range(0..length).min(random.random_range(0..length))
}

type Answer = (u16, Option<String>, Vec<u8>);

async fn send(
    user: &mut GooseUser,
    method: GooseMethod,
    path: &str,
    route: &str,
) -> Result<Answer, Box<TransactionError>> {
    let request = user.get_request_builder(&method, path)?;
    send_built(user, request, route).await
}

/// Sends, and reads the answer to its end: an answer cut off would count as cancelled.
async fn send_built(
    user: &mut GooseUser,
    request: reqwest::RequestBuilder,
    route: &str,
) -> Result<Answer, Box<TransactionError>> {
    let (client, built) = request.build_split();
    let built = built?;
    let method = if built.method() == reqwest::Method::POST { GooseMethod::Post } else { GooseMethod::Get };
    let request = reqwest::RequestBuilder::from_parts(client, built);
    let request = GooseRequest::builder().method(method).name(route).set_request_builder(request).build();
    let GooseResponse { mut request, response } = user.request(request).await?;
    let response = response?;
    let status = response.status().as_u16();
    let etag = response.headers().get("etag").and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let body = response.bytes().await?;
    if status == 304 || (route == UNMATCHED && status == 404) {
        user.set_success(&mut request)?; // as it should be
    }
    Ok((status, etag, body.to_vec()))
}
