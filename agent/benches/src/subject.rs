//! What is asked of a subject: closures that record, one set for each case. Timing is not done here.

/// Records so many values in a loop of its own.
pub type Loop = Box<dyn FnMut(usize)>;
/// Makes a loop for a thread: what a thread needs of its own, it makes here.
pub type Case = Box<dyn Fn() -> Loop + Send + Sync>;

/// One library in one way of using it.
#[derive(Default)]
pub struct Subject {
    /// Crate and way.
    pub name: &'static str,
    /// Whether its histograms know quantiles to 1 % or so, as ours do.
    pub is_accurate: bool,
    /// Whether it has labels, and an exporter that reads it while it records.
    pub exports: bool,
    /// Whether it only writes events down, to be counted elsewhere: then it is shown, and not what we are compared with.
    pub keeps_events: bool,
    /// One series by handle.
    pub handle: Option<Case>,
    /// 64 series by three labels.
    pub labels: Option<Case>,
    /// One counter by handle.
    pub counter: Option<Case>,
    /// One scope, timed.
    pub timed: Option<Case>,
    /// 64 series by handle, one record at a time.
    pub single: Option<Case>,
    /// What the library must do now and then, outside of the measurement.
    pub settle: Option<fn()>,
}

/// `record!(values, at => expression)`: the loop that every case shares; `at` is the place in the fixture.
#[macro_export]
macro_rules! record {
    ($at:ident => $body:expr) => {{
        let mut next = 0_usize;
        let run: $crate::subject::Loop = Box::new(move |records: usize| {
            for _ in 0..records {
                let $at = next % $crate::fixture::VALUES;
                next = next.wrapping_add(1);
                let _ = std::hint::black_box($body);
            }
        });
        run
    }};
}
