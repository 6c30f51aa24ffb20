//! Addresses of this process by name: `names` turns them into functions, files and lines, `mapping` says in which file they
//! are, and `build_id` which build of it.

mod build_id;
mod mapping;
mod names;

pub(crate) use build_id::identify;
pub(crate) use mapping::Mapping;
pub(crate) use names::{Detail, Frame, Symbols};
