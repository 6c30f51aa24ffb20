//! How a model is run, and how it is shown that it can fail; which model is not known here.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Explores `model` with at most `preemptions` switches away from a thread that could go on.
pub(crate) fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Asserts that the model fails: a fault was planted.
pub(crate) fn finds(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let found = catch_unwind(AssertUnwindSafe(|| explore(preemptions, model)));
    assert!(found.is_err(), "the planted fault was not found");
}
