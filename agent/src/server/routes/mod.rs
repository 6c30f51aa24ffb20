//! The table of routes: every path that the endpoint answers, by the file that answers it.

mod actions;
mod basics;
mod health;
mod heap;
mod open;
mod profile;
mod reserved;
mod slow;
mod spans;
mod views;

use super::route::Route;

/// All routes.
pub(super) const TABLE: &[&[Route]] = &[
    actions::ROUTES,
    basics::ROUTES,
    health::ROUTES,
    heap::ROUTES,
    open::ROUTES,
    profile::ROUTES,
    reserved::ROUTES,
    slow::ROUTES,
    views::ROUTES,
];
