//! How much load: requests a second, how they begin, how many users it takes.

use std::time::Duration;

/// The load profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Profile {
    /// 100 requests a second.
    Basic,
    /// 500 requests a second from the first second on.
    Spike,
    /// Up to 1,000 requests a second within two minutes.
    Stress,
    /// 200 requests a second for half an hour.
    Endurance,
    /// No load.
    None,
}

/// What goose is told.
///
/// Goose is a closed loop with a throttle in front: as long as more users wait for the throttle
/// than for answers, requests leave at the throttle's rate whatever the service does, as in an
/// open loop. The number of users covers answers of up to two seconds. Beyond that all users wait
/// for answers, and the rate falls below the profile's: the service is saturated, and the
/// generator's report shows fewer requests than the profile names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Requests a second, at most.
    pub(super) rate: usize,
    /// Users, each with one request at a time.
    pub(super) users: usize,
    /// Over how long the users come.
    pub(super) ramp: Duration,
    /// How long a user rests between two requests.
    pub(super) rest: Duration,
    /// When the load ends by itself.
    pub(super) run_time: Option<Duration>,
}

impl Profile {
    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Spike => "spike",
            Self::Stress => "stress",
            Self::Endurance => "endurance",
            Self::None => "none",
        }
    }

    pub(super) fn shape(self) -> Option<Shape> {
        let steady = |rate, run_time| {
            Some(Shape { rate, users: rate * 2, ramp: Duration::from_secs(1), rest: Duration::ZERO, run_time })
        };
        match self {
            Self::Basic => steady(100, None),
            Self::Spike => steady(500, None),
            Self::Endurance => steady(200, Some(Duration::from_mins(30))),
            // The ramp is in the users: each asks about twice a second.
            Self::Stress => Some(Shape {
                rate: 1_000,
                users: 560,
                ramp: Duration::from_mins(2),
                rest: Duration::from_millis(500),
                run_time: None,
            }),
            Self::None => None,
        }
    }
}
