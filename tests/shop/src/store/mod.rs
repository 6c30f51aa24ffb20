//! The shop's data: one repository over two databases. It knows nothing of HTTP, caches or jobs.

mod analytics;
mod carts;
mod database;
mod orders;
mod outbox;
mod products;
mod seed;
mod statement;

pub(crate) use analytics::VendorAnalytics;
pub(crate) use carts::CartLine;
pub(crate) use database::{CONNECTIONS_MAX, Database, StoreError};
pub(crate) use orders::{Order, OrderLine, OrderStatus, PlaceOrderError};
pub(crate) use products::{Product, ProductQuery, ProductSort, SearchHit, Start};
pub(crate) use seed::{CATEGORIES, SEARCH_WORDS};
pub(crate) use statement::Statement;
