//! The switches that make the shop ill in known ways. A switch says only that a fault is on;
//! the parts of the shop that it reaches ask for it.

mod backlog;
mod fill;
mod leak;
mod pool;
mod scatter;
mod switches;

pub(crate) use fill::Recommendations;
pub(crate) use switches::{Fault, FaultSetting, FaultState, Faults};

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::jobs::Jobs;
use crate::store::Database;

/// What the faults with a task of their own work on.
#[derive(Clone)]
pub(crate) struct Targets {
    pub(crate) database: Database,
    pub(crate) jobs: Jobs,
    pub(crate) recommendations: Recommendations,
}

/// Starts the tasks of the faults that act by themselves. They end when aborted.
pub(crate) fn spawn(faults: &Faults, targets: Targets) -> Vec<JoinHandle<()>> {
    let mut tasks = pool::spawn(faults, &targets.database);
    tasks.push(tokio::spawn(leak::run(faults.clone())));
    tasks.push(tokio::spawn(fill::run(faults.clone(), targets.recommendations)));
    tasks.push(tokio::spawn(scatter::run(faults.clone())));
    tasks.push(tokio::spawn(backlog::run(faults.clone(), Arc::new(targets.jobs))));
    tasks
}
