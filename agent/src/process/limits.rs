//! How much memory, CPU and how many descriptors the process may use, and who says so: the tightest limit counts.

use std::path::Path;

use super::cgroup::Cgroups;

/// The source of what control groups say.
const CGROUP: &str = "cgroup";

/// A limit with the name of what sets it: `cgroup`, `rlimit`, `host` or `config`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limit<T> {
    /// The limit.
    pub(crate) value: T,
    /// The value of the attribute `heartline.limit.source`.
    pub(crate) source: &'static str,
}

/// The memory the process may use, in bytes; `configured` is what the service said.
pub(crate) fn memory_limit(configured: Option<u64>) -> Option<Limit<u64>> {
    let limit = |source, value: Option<u64>| value.map(|value| Limit { value, source });
    let known = [
        limit("config", configured),
        limit(CGROUP, Cgroups::below(Path::new("/")).memory_limit()),
        limit("rlimit", address_space()),
        limit("host", host_memory()),
    ];
    known.into_iter().flatten().filter(|limit| limit.value > 0).min_by_key(|limit| limit.value)
}

/// What all processes that a memory limit is for use of it together, in bytes; `None` for limits of one process.
pub(crate) fn used_under(limit: Limit<u64>) -> Option<u64> {
    (limit.source == CGROUP).then(|| Cgroups::below(Path::new("/")).memory_usage())?
}

/// The CPUs the process may use; a quota may be a fraction.
pub(crate) fn cpu_limit() -> Option<Limit<f64>> {
    let quota = Cgroups::below(Path::new("/")).cpu_limit().map(|value| Limit { value, source: CGROUP });
    let usable = usable_cpus().map(|value| Limit { value, source: "host" });
    [quota, usable].into_iter().flatten().min_by(|a, b| a.value.total_cmp(&b.value))
}

/// How many descriptors the process may open.
pub(crate) fn descriptor_limit() -> Option<u64> {
    #[cfg(unix)]
    return soft_limit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    #[cfg(not(unix))]
    None
}

/// What the process may use of a resource, if that is limited.
#[cfg(unix)]
fn soft_limit(resource: nix::sys::resource::Resource) -> Option<u64> {
    let (soft, _hard) = nix::sys::resource::getrlimit(resource).ok()?;
    (soft != nix::sys::resource::RLIM_INFINITY).then_some(soft)
}

fn address_space() -> Option<u64> {
    #[cfg(unix)]
    {
        use nix::sys::resource::Resource;
        [Resource::RLIMIT_AS, Resource::RLIMIT_DATA].into_iter().filter_map(soft_limit).min()
    }
    #[cfg(not(unix))]
    None
}

fn host_memory() -> Option<u64> {
    let kind = sysinfo::MemoryRefreshKind::nothing().with_ram();
    let system = sysinfo::System::new_with_specifics(sysinfo::RefreshKind::nothing().with_memory(kind)).ok()?;
    Some(system.total_memory()).filter(|&bytes| bytes > 0)
}

/// CPUs the scheduler may put the process on.
fn usable_cpus() -> Option<f64> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Ok(set) = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)) {
        let usable = (0..nix::sched::CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).count();
        return Some(usable as f64);
    }
    let parallelism = std::thread::available_parallelism().ok()?;
    Some(f64::from(u32::try_from(parallelism.get()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_limit_counts_and_says_who_set_it() {
        assert_eq!(memory_limit(Some(4096)), Some(Limit { value: 4096, source: "config" }));
        let generous = memory_limit(Some(u64::MAX)).unwrap();
        assert!(generous.source != "config" && generous.value > 1 << 20, "{generous:?}");
    }

    #[test]
    fn this_machine_has_a_cpu_and_descriptors() {
        assert!(cpu_limit().unwrap().value > 0.0);
        assert!(descriptor_limit().is_none_or(|limit| limit > 16));
    }
}
