//! The integrations against the real libraries: what goes through them is counted exactly, whichever way it ends.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod apalis;
mod axum;
mod moka;
mod mount;
mod postgres;
mod readings;
mod redis;
mod secrets;
mod sqlx;
mod tower;
