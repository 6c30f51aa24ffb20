//! What the control groups of Linux allow this process, version 1 and 2; absent on every other system.
//!
//! The files are found as the kernel documents it: `/proc/self/cgroup` names the group, `/proc/self/mountinfo` says
//! where its hierarchy is mounted, and every group from there up to the mount may set a limit. Without a namespace the
//! mount shows only a part of the hierarchy; its root is then the nearest group that can be read.

use std::fs;
use std::path::{Path, PathBuf};

/// Values at or above this mean "no limit" in version 1, which writes the largest page-aligned number.
const UNLIMITED: u64 = 1 << 62;

/// The groups of this process, found below `root` (`/`, or a picture of it in tests).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cgroups {
    unified: Vec<PathBuf>,
    memory: Vec<PathBuf>,
    cpu: Vec<PathBuf>,
}

impl Cgroups {
    /// Looks the groups up. Anything that cannot be read is left out.
    pub(super) fn below(root: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let (groups, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
        let mut found = Self::default();
        for line in groups.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(group)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            if controllers.is_empty() {
                found.unified = directories(root, &mounts, group, None);
            }
            for controller in controllers.split(',') {
                match controller {
                    "memory" => found.memory = directories(root, &mounts, group, Some("memory")),
                    "cpu" => found.cpu = directories(root, &mounts, group, Some("cpu")),
                    _ => {}
                }
            }
        }
        found
    }

    /// The smallest memory limit of any group above the process, in bytes.
    pub(super) fn memory_limit(&self) -> Option<u64> {
        self.tightest().map(|(limit, _)| limit)
    }

    /// What all processes of the group with that limit use of it, in bytes, without pages of files that the kernel takes back
    /// before it is short: the [working set](https://kubernetes.io/docs/reference/instrumentation/node-metrics/) of Kubernetes.
    pub(super) fn memory_usage(&self) -> Option<u64> {
        let (_, (group, usage, inactive)) = self.tightest()?;
        let used = number(&group.join(usage))?;
        let statistics = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let figures = statistics.lines().filter_map(|line| line.split_once(' '));
        let inactive = figures.filter(|(name, _)| *name == inactive).find_map(|(_, bytes)| bytes.trim().parse().ok());
        Some(used.saturating_sub(inactive.unwrap_or(0)))
    }

    /// The smallest memory limit, with its group and where that says what is used.
    fn tightest(&self) -> Option<(u64, (&Path, &'static str, &'static str))> {
        let limits = |groups: &'_ [PathBuf], limit: &str| -> Vec<(u64, usize)> {
            let limits = groups.iter().enumerate().filter_map(|(at, group)| Some((number(&group.join(limit))?, at)));
            limits.filter(|&(bytes, _)| bytes > 0 && bytes < UNLIMITED).collect()
        };
        let unified = limits(&self.unified, "memory.max").into_iter();
        let unified = unified.map(|(limit, at)| (limit, (&*self.unified[at], "memory.current", "inactive_file")));
        let first = limits(&self.memory, "memory.limit_in_bytes").into_iter();
        let first =
            first.map(|(limit, at)| (limit, (&*self.memory[at], "memory.usage_in_bytes", "total_inactive_file")));
        unified.chain(first).min_by_key(|(limit, _)| *limit)
    }

    /// The smallest CPU quota of any group above the process, in CPUs.
    pub(super) fn cpu_limit(&self) -> Option<f64> {
        let unified = self.unified.iter().filter_map(|group| {
            let text = fs::read_to_string(group.join("cpu.max")).ok()?;
            let (quota, period) = text.trim().split_once(' ')?;
            Some((quota.parse().ok()?, period.parse().ok()?))
        });
        let first = self.cpu.iter().filter_map(|group| {
            Some((number(&group.join("cpu.cfs_quota_us"))?, number(&group.join("cpu.cfs_period_us"))?))
        });
        let shares = unified.chain(first).filter(|&(quota, period): &(u64, u64)| quota > 0 && period > 0);
        shares.map(|(quota, period)| quota as f64 / period as f64).min_by(f64::total_cmp)
    }
}

/// A file with one number; `max` and `-1` are no number, and so no limit.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The directories of `group` and the groups above it, innermost first; `controller` is `None` for version 2.
fn directories(root: &Path, mounts: &str, group: &str, controller: Option<&str>) -> Vec<PathBuf> {
    let Some((shown, mount)) = mounts.lines().find_map(|line| mount_of(line, controller)) else { return Vec::new() };
    let mount = root.join(mount.trim_start_matches('/'));
    let inside = Path::new(group).strip_prefix(shown).unwrap_or(Path::new(""));
    let innermost = mount.join(inside.strip_prefix("/").unwrap_or(inside));
    innermost.ancestors().take_while(|path| path.starts_with(&mount)).map(Path::to_path_buf).collect()
}

/// From a line of `mountinfo` the part of the hierarchy that is mounted and where, if it is the one that is wanted.
fn mount_of<'a>(line: &'a str, controller: Option<&str>) -> Option<(&'a str, &'a str)> {
    let (mount, system) = line.split_once(" - ")?;
    let mut system = system.split(' ');
    let (kind, _source, options) = (system.next()?, system.next()?, system.next().unwrap_or_default());
    let wanted = match controller {
        None => kind == "cgroup2",
        Some(name) => kind == "cgroup" && options.split(',').any(|option| option == name),
    };
    let mut fields = mount.split(' ').skip(3);
    wanted.then_some((fields.next()?, fields.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of the parts of the file system that are read.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const UNIFIED: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_tightest_group_above_the_process_decides() {
        let root = machine(&[
            ("proc/self/cgroup", "0::/shop.slice/web\n"),
            ("proc/self/mountinfo", UNIFIED),
            ("sys/fs/cgroup/shop.slice/web/memory.max", "max\n"),
            ("sys/fs/cgroup/shop.slice/web/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/shop.slice/memory.max", "536870912\n"),
            ("sys/fs/cgroup/shop.slice/cpu.max", "max 100000\n"),
        ]);
        let groups = Cgroups::below(root.path());
        assert_eq!((groups.memory_limit(), groups.cpu_limit()), (Some(512 << 20), Some(1.5)));
    }

    #[test]
    fn a_container_without_a_namespace_reads_the_part_that_is_mounted() {
        let root = machine(&[
            ("proc/self/cgroup", "0::/docker/abc\n"),
            ("proc/self/mountinfo", "29 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n"),
            ("sys/fs/cgroup/memory.max", "1048576\n"),
        ]);
        assert_eq!(Cgroups::below(root.path()).memory_limit(), Some(1 << 20));
    }

    #[test]
    fn version_one_is_read_controller_by_controller() {
        let root = machine(&[
            ("proc/self/cgroup", "5:cpu,cpuacct:/web\n4:memory:/web\n0::/\n"),
            (
                "proc/self/mountinfo",
                "33 28 0:29 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
                 34 28 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
            ),
            ("sys/fs/cgroup/memory/web/memory.limit_in_bytes", "268435456\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/cpu,cpuacct/web/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/web/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ]);
        let groups = Cgroups::below(root.path());
        assert_eq!((groups.memory_limit(), groups.cpu_limit()), (Some(256 << 20), Some(0.5)));
    }

    #[test]
    fn what_the_group_with_the_limit_uses_is_its_own_and_without_files_of_the_kernels() {
        let root = machine(&[
            ("proc/self/cgroup", "0::/shop.slice/web\n"),
            ("proc/self/mountinfo", UNIFIED),
            ("sys/fs/cgroup/shop.slice/web/memory.max", "max\n"),
            ("sys/fs/cgroup/shop.slice/web/memory.current", "1000\n"),
            ("sys/fs/cgroup/shop.slice/memory.max", "536870912\n"),
            ("sys/fs/cgroup/shop.slice/memory.current", "90000\n"),
            ("sys/fs/cgroup/shop.slice/memory.stat", "anon 60000\nfile 30000\ninactive_file 20000\n"),
        ]);
        assert_eq!(Cgroups::below(root.path()).memory_usage(), Some(70_000));
        let root = machine(&[
            ("proc/self/cgroup", "4:memory:/web\n"),
            ("proc/self/mountinfo", "33 28 0:29 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"),
            ("sys/fs/cgroup/memory/web/memory.limit_in_bytes", "268435456\n"),
            ("sys/fs/cgroup/memory/web/memory.usage_in_bytes", "50000\n"),
            ("sys/fs/cgroup/memory/web/memory.stat", "inactive_file 1\ntotal_inactive_file 9000\n"),
        ]);
        assert_eq!(Cgroups::below(root.path()).memory_usage(), Some(41_000));
        let unlimited = machine(&[("proc/self/cgroup", "0::/web\n"), ("proc/self/mountinfo", UNIFIED)]);
        assert_eq!(Cgroups::below(unlimited.path()).memory_usage(), None);
    }

    #[test]
    fn without_control_groups_there_is_no_limit() {
        let root = machine(&[("proc/self/cgroup", "garbage\n::::\n"), ("proc/self/mountinfo", "- - -\n1 2\n")]);
        let groups = Cgroups::below(root.path());
        assert_eq!((groups.memory_limit(), groups.cpu_limit()), (None, None));
        assert_eq!(Cgroups::below(Path::new("/nonexistent")), Cgroups::default());
    }
}
