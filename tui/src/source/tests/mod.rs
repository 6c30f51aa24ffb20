//! Tests of polling against real servers.

mod farm;
