//! The alert language and engine from outside: the shipped rules, bad files, scenarios and properties.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts and ranks of small lists")]

mod bad_files;
mod documents;
mod engine;
mod parity;
mod properties;
mod scenario;
mod scenarios;
mod shipped;
mod store;
