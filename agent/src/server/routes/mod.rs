//! The table of routes: every path that the endpoint answers, by the file that answers it.

mod basics;
mod reserved;
mod views;

use super::route::Route;

/// All routes.
pub(super) const TABLE: &[&[Route]] = &[basics::ROUTES, reserved::ROUTES, views::ROUTES];
