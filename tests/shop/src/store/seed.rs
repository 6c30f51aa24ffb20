//! The shop's stock: the same 5,000 products, 500 users and 1,000 orders every time.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::QueryBuilder;

use super::database::{Database, Lease, Session, StoreError, on};
use super::statement::Statement;

const VENDORS: i64 = 20;
const USERS: i64 = 500;
const PRODUCTS: i64 = 5_000;
const ORDERS: i64 = 1_000;
/// Enough that half an hour of load sells nothing out.
const STOCK: std::ops::Range<i64> = 50_000..250_000;
/// Rows of one INSERT: below the 32,766 values SQLite binds.
const ROWS_PER_INSERT: usize = 500;
/// Keeps two services that start on one empty PostgreSQL database from seeding it twice.
const ADVISORY_LOCK: i64 = 0x5eed_5eed;

/// The categories products fall into.
pub(crate) const CATEGORIES: [&str; 12] = [
    "books", "garden", "kitchen", "lighting", "music", "office", "outdoor", "pets", "sports", "tools", "toys", "travel",
];
const MATERIALS: [&str; 20] = [
    "oak", "walnut", "steel", "copper", "brass", "ceramic", "glass", "linen", "wool", "cotton", "leather", "bamboo",
    "cork", "marble", "canvas", "titanium", "paper", "rubber", "velvet", "granite",
];
const THINGS: [&str; 40] = [
    "lamp", "table", "chair", "shelf", "kettle", "teapot", "notebook", "backpack", "tent", "blanket", "guitar", "drum",
    "hammer", "wrench", "ladder", "basket", "mirror", "clock", "vase", "bowl", "knife", "skillet", "puzzle", "kite",
    "leash", "collar", "racket", "helmet", "compass", "lantern", "hammock", "binder", "stapler", "planter", "trowel",
    "hose", "suitcase", "wallet", "atlas", "novel",
];
const STYLES: [&str; 15] = [
    "classic", "compact", "folding", "rustic", "modern", "vintage", "slim", "heavy", "portable", "handmade", "quiet",
    "bright", "sturdy", "elegant", "simple",
];

/// Words shoppers search for: they occur in names, so each has hits.
pub(crate) const SEARCH_WORDS: [&str; 60] = [
    "lamp", "table", "chair", "shelf", "kettle", "teapot", "notebook", "backpack", "tent", "blanket", "guitar", "drum",
    "hammer", "wrench", "ladder", "basket", "mirror", "clock", "vase", "bowl", "knife", "skillet", "puzzle", "kite",
    "leash", "collar", "racket", "helmet", "compass", "lantern", "hammock", "binder", "stapler", "planter", "trowel",
    "hose", "suitcase", "wallet", "atlas", "novel", "oak", "walnut", "steel", "copper", "brass", "ceramic", "glass",
    "linen", "wool", "cotton", "leather", "bamboo", "cork", "marble", "canvas", "titanium", "paper", "rubber",
    "velvet", "granite",
];

/// How many rows the main tables hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Totals {
    /// Rows of `products`.
    pub(crate) products: i64,
    /// Rows of `users`.
    pub(crate) users: i64,
    /// Rows of `orders`.
    pub(crate) orders: i64,
}

impl Database {
    /// How many rows the main tables hold.
    pub(crate) async fn totals(&self) -> Result<Totals, StoreError> {
        const SQL: &str = "SELECT (SELECT COUNT(*) FROM products) AS products, \
             (SELECT COUNT(*) FROM users) AS users, (SELECT COUNT(*) FROM orders) AS orders";
        let mut lease = self.read().await?;
        self.observe(Statement::Totals, async { on!(lease.session(), c => sqlx::query_as(SQL).fetch_one(c).await) })
            .await
    }

    /// Fills an empty database in one transaction; a filled one is left as it is. A progress bar
    /// is drawn when standard error is a terminal.
    pub(crate) async fn seed(&self, now_ms: i64) -> Result<Totals, StoreError> {
        let totals = self.totals().await?;
        if totals.products > 0 {
            return Ok(totals);
        }
        let bar = progress_bar();
        let mut lease = self.write().await?;
        if seed_all(&mut lease, now_ms, &bar).await.map_err(setup)? {
            self.commit(lease).await?;
        }
        bar.finish_and_clear();
        self.totals().await
    }
}

fn setup(source: sqlx::Error) -> StoreError {
    StoreError::Setup { what: "seeding the database".to_owned(), source }
}

fn progress_bar() -> ProgressBar {
    let rows = u64::try_from(VENDORS + USERS + PRODUCTS + ORDERS).unwrap_or_default();
    let bar = ProgressBar::with_draw_target(Some(rows), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("seeding {wide_bar} {pos}/{len} rows") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Whether rows were written: another service may have been faster.
async fn seed_all(lease: &mut Lease, now_ms: i64, bar: &ProgressBar) -> Result<bool, sqlx::Error> {
    if let Session::Postgres(connection) = lease.session() {
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(ADVISORY_LOCK).execute(connection).await?;
    }
    let present: i64 =
        on!(lease.session(), c => sqlx::query_scalar("SELECT COUNT(*) FROM products").fetch_one(c).await)?;
    if present > 0 {
        return Ok(false);
    }
    let mut random = StdRng::seed_from_u64(0x5403);
    seed_people(lease, now_ms, bar).await?;
    let prices = seed_products(lease, now_ms, &mut random, bar).await?;
    seed_orders(lease, now_ms, &mut random, (&prices, bar)).await?;
    if let Session::Postgres(connection) = lease.session() {
        sqlx::query("SELECT setval(pg_get_serial_sequence('orders', 'id'), (SELECT MAX(id) FROM orders))")
            .execute(connection)
            .await?;
    }
    Ok(true)
}

async fn seed_people(lease: &mut Lease, now_ms: i64, bar: &ProgressBar) -> Result<(), sqlx::Error> {
    const CITIES: [&str; 5] = ["Lisbon", "Bergen", "Graz", "Ghent", "Turku"];
    on!(lease.session(), c => {
        let mut insert = QueryBuilder::new("INSERT INTO vendors (id, name, city) ");
        insert.push_values(1..=VENDORS, |mut row, id| {
            let style = STYLES[index(id, STYLES.len())];
            row.push_bind(id)
                .push_bind(format!("{}{} Goods {id}", style[..1].to_uppercase(), &style[1..]))
                .push_bind(CITIES[index(id, CITIES.len())]);
        });
        insert.build().execute(c).await?;
    });
    on!(lease.session(), c => {
        let mut insert = QueryBuilder::new("INSERT INTO users (id, email, name, phone, created_at_ms) ");
        insert.push_values(1..=USERS, |mut row, id| {
            row.push_bind(id)
                .push_bind(format!("customer{id}@example.com"))
                .push_bind(format!("Customer {id}"))
                .push_bind(format!("+1-202-555-{:04}", 100 + id % 100))
                .push_bind(now_ms);
        });
        insert.build().execute(c).await?;
    });
    bar.inc(u64::try_from(VENDORS + USERS).unwrap_or_default());
    Ok(())
}

/// Returns the price of each product: orders sell at it.
async fn seed_products(
    lease: &mut Lease,
    now_ms: i64,
    random: &mut StdRng,
    bar: &ProgressBar,
) -> Result<Vec<i64>, sqlx::Error> {
    let prices: Vec<i64> = (0..PRODUCTS).map(|_| random.random_range(299..40_000)).collect();
    let stock: Vec<i64> = (0..PRODUCTS).map(|_| random.random_range(STOCK)).collect();
    let ids: Vec<i64> = (1..=PRODUCTS).collect();
    for chunk in ids.chunks(ROWS_PER_INSERT) {
        on!(lease.session(), c => {
            let mut insert = QueryBuilder::new(
                "INSERT INTO products (id, vendor_id, sku, name, description, category, price_cents, stock, updated_at_ms) ",
            );
            insert.push_values(chunk, |mut row, &id| {
                let (name, description, category) = words(id);
                row.push_bind(id)
                    .push_bind(vendor_of(id))
                    .push_bind(format!("SKU-{id:05}"))
                    .push_bind(name)
                    .push_bind(description)
                    .push_bind(category)
                    .push_bind(prices[index(id - 1, prices.len())])
                    .push_bind(stock[index(id - 1, stock.len())])
                    .push_bind(now_ms);
            });
            insert.build().execute(c).await?;
        });
        bar.inc(chunk.len() as u64);
    }
    Ok(prices)
}

async fn seed_orders(
    lease: &mut Lease,
    now_ms: i64,
    random: &mut StdRng,
    (prices, bar): (&[i64], &ProgressBar),
) -> Result<(), sqlx::Error> {
    const MONTH_MS: i64 = 30 * 24 * 3_600_000;
    let mut lines = Vec::new();
    let mut heads = Vec::new();
    for id in 1..=ORDERS {
        let first = random.random_range(1..=PRODUCTS - 10);
        let count = random.random_range(1..=4);
        let mut total = 0;
        for step in 0..count {
            let product = first + step * 2;
            let quantity = random.random_range(1..=3);
            let price = prices[index(product - 1, prices.len())];
            total += price * quantity;
            lines.push((id, product, quantity, price));
        }
        heads.push((id, random.random_range(1..=USERS), total, now_ms - random.random_range(0..MONTH_MS)));
    }
    on!(lease.session(), c => {
        let mut insert = QueryBuilder::new("INSERT INTO orders (id, user_id, status, total_cents, payment_reference, placed_at_ms) ");
        insert.push_values(&heads, |mut row, &(id, user, total, at)| {
            row.push_bind(id)
                .push_bind(user)
                .push_bind("paid")
                .push_bind(total)
                .push_bind(format!("seed-{id}"))
                .push_bind(at);
        });
        insert.build().execute(c).await?;
    });
    for chunk in lines.chunks(ROWS_PER_INSERT) {
        on!(lease.session(), c => {
            let mut insert = QueryBuilder::new("INSERT INTO order_items (order_id, product_id, vendor_id, quantity, unit_price_cents) ");
            insert.push_values(chunk, |mut row, &(order, product, quantity, price)| {
                row.push_bind(order)
                    .push_bind(product)
                    .push_bind(vendor_of(product))
                    .push_bind(quantity)
                    .push_bind(price);
            });
            insert.build().execute(c).await?;
        });
    }
    bar.inc(heads.len() as u64);
    Ok(())
}

/// Name, description and category of a product: every combination of words occurs before one repeats.
fn words(id: i64) -> (String, String, &'static str) {
    let thing = THINGS[index(id, THINGS.len())];
    let material = MATERIALS[index(id / 40, MATERIALS.len())];
    let style = STYLES[index(id / 800 + id, STYLES.len())];
    let category = CATEGORIES[index(id, CATEGORIES.len())];
    let name = format!("{}{} {material} {thing}", style[..1].to_uppercase(), &style[1..]);
    let description = format!("A {style} {thing} of {material} for {category}. Made in small series, number {id}.");
    (name, description, category)
}

fn vendor_of(product: i64) -> i64 {
    product % VENDORS + 1
}

fn index(id: i64, length: usize) -> usize {
    usize::try_from(id).unwrap_or_default() % length
}
