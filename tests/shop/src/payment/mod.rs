//! Taking payments: a small provider behind HTTP, and the circuit breaker in front of it.

mod gateway;
mod provider;

pub(crate) use gateway::{ChargeError, Gateway};
pub(crate) use provider::{Charge, Provider, Receipt};
