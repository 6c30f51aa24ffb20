//! Load on the shop, by goose: which profiles there are, what shoppers do, and the child process
//! that does it, so that the service's own figures are not mixed with the generator's.

mod attack;
mod counts;
mod process;
mod profile;
mod shopper;

pub(crate) use attack::run;
pub(crate) use process::Load;
pub(crate) use profile::Profile;
