//! Tests of the model as a whole, and the documents that tests of the crate are made of.

pub(crate) mod fixture;
mod past;
mod scenarios;
