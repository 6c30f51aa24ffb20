//! When the next attempt is: at intervals while the receiver answers, after growing random waits while it does not, and not
//! before the time it asked for. Time and chance are parameters.

use std::time::Duration;

/// The first wait after a failure, before chance shortens it.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest.
const BACKOFF_MAX: Duration = Duration::from_mins(1);
/// The first export comes within this, so that a mistake in the settings shows soon.
const FIRST_MAX: Duration = Duration::from_secs(10);

/// When to try.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    /// When the newest regular export was due.
    regular: Duration,
    next: Duration,
    backoff: Duration,
}

impl Schedule {
    /// Of an agent that starts at `now`; `chance`, from 0 to 1, keeps a fleet that starts together from exporting together.
    pub(super) fn new(interval: Duration, now: Duration, chance: f64) -> Self {
        let first = now + interval.min(FIRST_MAX).mul_f64(chance);
        Self { interval, regular: first, next: first, backoff: BACKOFF_MIN }
    }

    /// How long until the next attempt.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        self.next.saturating_sub(now)
    }

    /// Whether what was read at `read` is too old to be sent at `now`: a newer reading holds all of it.
    pub(super) fn is_stale(&self, read: Duration, now: Duration) -> bool {
        now.saturating_sub(read) >= self.interval
    }

    /// The receiver answered for good: the next regular time, passing over those that were missed.
    pub(super) fn settled(&mut self, now: Duration) {
        self.backoff = BACKOFF_MIN;
        let missed = now.saturating_sub(self.regular).as_nanos() / self.interval.as_nanos().max(1);
        self.regular += self.interval.saturating_mul(u32::try_from(missed + 1).unwrap_or(u32::MAX));
        self.next = self.regular;
    }

    /// Everything was pushed because somebody asked: the next regular time is an interval later, however often he asks.
    pub(super) fn pushed(&mut self, now: Duration) {
        self.backoff = BACKOFF_MIN;
        self.regular = now + self.interval;
        self.next = self.regular;
    }

    /// Everything went along with metrics of somebody else, who is expected again after an interval: only when he is late is a push
    /// of the agent's own due.
    pub(super) fn pushed_along(&mut self, now: Duration) {
        self.backoff = BACKOFF_MIN;
        self.regular = now + self.interval + self.interval / 2;
        self.next = self.regular;
    }

    /// To be tried again: after `throttle` where the receiver asked for it, else after a wait that doubles each time, of
    /// which between half and all is waited.
    pub(super) fn failed(&mut self, now: Duration, throttle: Option<Duration>, chance: f64) {
        let wait = throttle.unwrap_or_else(|| self.backoff.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0));
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        self.next = now + wait;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_export_is_within_ten_seconds_and_the_others_are_at_intervals_from_it() {
        let mut schedule = Schedule::new(seconds(60), seconds(100), 0.5);
        assert_eq!(schedule.wait(seconds(100)), seconds(5));
        schedule.settled(seconds(106));
        assert_eq!(schedule.wait(seconds(106)), seconds(59));
        schedule.settled(seconds(105 + 200)); // asleep for three intervals
        assert_eq!(schedule.wait(seconds(305)), seconds(40));
    }

    #[test]
    fn however_often_a_push_is_asked_for_the_next_one_is_an_interval_later() {
        let mut schedule = Schedule::new(seconds(60), seconds(0), 0.0);
        for now in [10, 11, 12] {
            schedule.pushed(seconds(now));
            assert_eq!(schedule.wait(seconds(now)), seconds(60));
        }
    }

    #[test]
    fn one_who_takes_the_metrics_along_is_waited_for_half_an_interval() {
        let mut schedule = Schedule::new(seconds(60), seconds(0), 0.0);
        schedule.pushed_along(seconds(100));
        assert_eq!(schedule.wait(seconds(100)), seconds(90));
        schedule.pushed_along(seconds(161));
        assert_eq!(schedule.wait(seconds(161)), seconds(90));
        schedule.settled(seconds(251)); // he is gone
        assert_eq!(schedule.wait(seconds(251)), seconds(60));
    }

    #[test]
    fn waits_double_up_to_a_minute_and_are_random() {
        let mut schedule = Schedule::new(seconds(60), seconds(0), 0.0);
        let mut waits = Vec::new();
        for chance in [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0] {
            schedule.failed(seconds(9), None, chance);
            waits.push(schedule.wait(seconds(9)).as_millis());
        }
        assert_eq!(waits, [1_000, 1_000, 4_000, 4_000, 16_000, 16_000, 60_000, 30_000]);
        schedule.settled(seconds(10));
        schedule.failed(seconds(10), None, 1.0);
        assert_eq!(schedule.wait(seconds(10)), seconds(1), "success forgets");
    }

    #[test]
    fn a_receiver_that_asks_for_time_gets_it() {
        let mut schedule = Schedule::new(seconds(60), seconds(0), 0.0);
        schedule.failed(seconds(1), Some(seconds(33)), 1.0);
        assert_eq!(schedule.wait(seconds(1)), seconds(33));
    }

    #[test]
    fn after_an_interval_the_newest_wins() {
        let schedule = Schedule::new(seconds(10), seconds(0), 0.0);
        assert!(!schedule.is_stale(seconds(3), seconds(12)));
        assert!(schedule.is_stale(seconds(3), seconds(13)));
    }
}
