//! A scope that is timed; it does not know what happens in it.

use super::Histogram;
use crate::clock::Stamp;

/// Records how long it lived. Cost: two readings of the cycle counter and one record.
#[derive(Debug)]
#[must_use = "dropping the timer ends what it times"]
pub struct Timer<'a> {
    histogram: &'a Histogram,
    start: Stamp,
}

impl Histogram {
    /// Times from now until the timer is dropped.
    ///
    /// ```
    /// # fn main() -> Result<(), heartline::Error> {
    /// let agent = heartline::Agent::builder("shop").start()?;
    /// let parsing = agent.histogram("shop.parse.duration", &[]);
    /// {
    ///     let _timer = parsing.start();
    ///     // what is timed
    /// }
    /// assert_eq!(parsing.value().count, 1);
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn start(&self) -> Timer<'_> {
        Timer { histogram: self, start: Stamp::now() }
    }
}

impl Drop for Timer<'_> {
    #[inline]
    fn drop(&mut self) {
        self.histogram.record_units(self.start.elapsed_nanos());
    }
}
