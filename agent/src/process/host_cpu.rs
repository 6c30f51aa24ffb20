//! CPU time of the machine by mode, from `/proc/stat`; absent on systems that have none.

use std::time::Duration;

/// The modes of OpenTelemetry's `cpu.mode`, with the columns of `/proc/stat` that make each (guest time is in user).
const MODES: [(&str, &[usize]); 7] = [
    ("idle", &[3]),
    ("interrupt", &[5, 6]),
    ("iowait", &[4]),
    ("nice", &[1]),
    ("steal", &[7]),
    ("system", &[2]),
    ("user", &[0]),
];

/// Time per mode since the machine booted, summed over its CPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CpuTimes([Duration; MODES.len()]);

impl CpuTimes {
    /// What the kernel says now.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn now() -> Option<Self> {
        let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?, u64::try_from(per_second).ok()?)
    }

    /// Not known on this system.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn now() -> Option<Self> {
        None
    }

    fn parse(stat: &str, ticks_per_second: u64) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let columns: Vec<u64> = line.split_whitespace().map_while(|column| column.parse().ok()).collect();
        let ticks =
            |columns_of: &[usize]| columns_of.iter().map(|&at| columns.get(at).copied().unwrap_or(0)).sum::<u64>();
        let time = |ticks: u64| Duration::from_secs_f64(ticks as f64 / ticks_per_second.max(1) as f64);
        (columns.len() >= 4).then(|| Self(MODES.map(|(_, columns_of)| time(ticks(columns_of)))))
    }

    /// Mode and time.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        MODES.iter().zip(self.0).map(|((mode, _), time)| (*mode, time))
    }

    /// Mode and share of the time since `earlier`; `None` when no time passed.
    pub(super) fn shares_since(&self, earlier: &Self) -> Option<Vec<(&'static str, f64)>> {
        let spent = || self.0.iter().zip(&earlier.0).map(|(now, then)| now.saturating_sub(*then).as_secs_f64());
        let total: f64 = spent().sum();
        (total > 0.0).then(|| MODES.iter().zip(spent()).map(|((mode, _), time)| (*mode, time / total)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 20 300 4000 50 6 4 8 90 10\ncpu0 1 2 3 4\nintr 5\n";

    #[test]
    fn columns_become_modes_and_guest_time_is_not_counted_twice() {
        let times = CpuTimes::parse(STAT, 100).unwrap();
        let seconds: Vec<(&str, f64)> = times.iter().map(|(mode, time)| (mode, time.as_secs_f64())).collect();
        assert_eq!(
            seconds,
            [
                ("idle", 40.0),
                ("interrupt", 0.1),
                ("iowait", 0.5),
                ("nice", 0.2),
                ("steal", 0.08),
                ("system", 3.0),
                ("user", 1.0)
            ]
        );
    }

    #[test]
    fn shares_add_up_to_one_and_need_time_to_pass() {
        let earlier = CpuTimes::parse(STAT, 100).unwrap();
        let later = CpuTimes::parse("cpu  200 20 400 4200\n", 100).unwrap();
        let shares = later.shares_since(&earlier).unwrap();
        assert!((shares.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9);
        assert_eq!(shares.iter().find(|(mode, _)| *mode == "user"), Some(&("user", 0.25)));
        assert_eq!(earlier.shares_since(&earlier), None);
    }

    #[test]
    fn what_is_no_such_file_is_unknown() {
        assert_eq!(CpuTimes::parse("", 100), None);
        assert_eq!(CpuTimes::parse("cpu one two\n", 100), None);
    }
}
