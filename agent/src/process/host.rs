//! The machine the process runs on: CPU, memory, swap, disks, networks (feature `system`).

use std::time::Duration;

use heartline_shared::Labels;
use sysinfo::{Disks, MemoryRefreshKind, Networks, RefreshKind, System};

use super::host_cpu::CpuTimes;
use crate::snapshot::{Collector, Families, Tick};

/// Disks and networks are read less often: a machine may have many.
const DEVICES_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest time over which CPU utilization is measured.
const UTILIZATION_SPAN: Duration = Duration::from_millis(900);

/// Reads the figures of the machine.
pub(crate) struct HostCollector {
    system: Option<System>,
    disks: Option<Disks>,
    networks: Option<Networks>,
    cpu: Option<(CpuTimes, Duration)>,
    shares: Option<Vec<(&'static str, f64)>>,
    devices_read_at: Option<Duration>,
}

impl HostCollector {
    /// A collector that has read nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            system: System::new_with_specifics(RefreshKind::nothing()).ok(),
            disks: Disks::new().ok(),
            networks: Networks::new().ok(),
            cpu: None,
            shares: None,
            devices_read_at: None,
        }
    }

    fn collect_cpu(&mut self, into: &mut Families, now: Tick) {
        let Some(times) = CpuTimes::now() else { return };
        for (mode, time) in times.iter() {
            into.number("system.cpu.time", Labels::from_pairs([("cpu.mode", mode)]), time.as_secs_f64());
        }
        match &self.cpu {
            Some((_, since)) if !due(Some(*since), now.mono, UTILIZATION_SPAN) => {}
            earlier => {
                self.shares = earlier.as_ref().and_then(|(earlier, _)| times.shares_since(earlier));
                self.cpu = Some((times, now.mono));
            }
        }
        for (mode, share) in self.shares.iter().flatten() {
            into.number("system.cpu.utilization", Labels::from_pairs([("cpu.mode", *mode)]), *share);
        }
    }

    fn collect_memory(&mut self, into: &mut Families) {
        let Some(system) = &mut self.system else { return };
        system.refresh_memory_specifics(MemoryRefreshKind::everything());
        // What can be had without swapping counts as free, as in `free -m`: page cache is not in use.
        let (total, available) = (system.total_memory(), system.available_memory());
        if total > 0 {
            into.integer("system.memory.limit", Labels::empty(), total);
            for (state, bytes) in [("used", total.saturating_sub(available)), ("free", available)] {
                let labels = Labels::from_pairs([("system.memory.state", state)]);
                into.integer("system.memory.usage", labels.clone(), bytes);
                into.number("system.memory.utilization", labels, bytes as f64 / total as f64);
            }
        }
        for (state, bytes) in [("used", system.used_swap()), ("free", system.free_swap())] {
            into.integer("system.paging.usage", Labels::from_pairs([("system.paging.state", state)]), bytes);
        }
    }

    fn collect_devices(&mut self, into: &mut Families, now: Tick) {
        if due(self.devices_read_at, now.mono, DEVICES_INTERVAL) {
            // what cannot be read keeps its last figures
            let _ = self.disks.as_mut().map(|disks| disks.refresh(true));
            let _ = self.networks.as_mut().map(|networks| networks.refresh(true));
            self.devices_read_at = Some(now.mono);
        }
        let mut devices: Vec<String> = Vec::new();
        for disk in self.disks.iter().flat_map(|disks| disks.iter()) {
            let device = disk.name().to_string_lossy().into_owned();
            let mount = disk.mount_point().to_string_lossy();
            let (total, available) = (disk.total_space(), disk.available_space());
            if total > 0 {
                let used = total.saturating_sub(available) as f64 / total as f64;
                let labels =
                    Labels::from_pairs([("system.device", device.as_str()), ("system.filesystem.mountpoint", &*mount)]);
                into.number("system.filesystem.utilization", labels, used);
            }
            // One device may be mounted several times; its traffic is one series.
            if !devices.contains(&device) {
                let usage = disk.usage();
                for (direction, bytes) in [("read", usage.total_read_bytes), ("write", usage.total_written_bytes)] {
                    let labels =
                        Labels::from_pairs([("system.device", device.as_str()), ("disk.io.direction", direction)]);
                    into.integer("system.disk.io", labels, bytes);
                }
                devices.push(device);
            }
        }
        for (interface, traffic) in self.networks.iter().flat_map(|networks| networks.iter()) {
            let interface = interface.to_string_lossy();
            for (direction, bytes, errors) in [
                ("receive", traffic.total_received(), traffic.total_errors_on_received()),
                ("transmit", traffic.total_transmitted(), traffic.total_errors_on_transmitted()),
            ] {
                let pairs = [("network.interface.name", &*interface), ("network.io.direction", direction)];
                into.integer("system.network.io", Labels::from_pairs(pairs), bytes);
                into.integer("system.network.errors", Labels::from_pairs(pairs), errors);
            }
        }
    }
}

impl Collector for HostCollector {
    fn collect(&mut self, into: &mut Families, now: Tick) {
        self.collect_cpu(into, now);
        self.collect_memory(into);
        self.collect_devices(into, now);
    }
}

fn due(read_at: Option<Duration>, now: Duration, interval: Duration) -> bool {
    read_at.is_none_or(|read_at| now.saturating_sub(read_at) >= interval)
}

#[cfg(test)]
mod tests {
    use heartline_shared::UnixMillis;

    use super::*;

    #[test]
    fn the_machines_memory_is_used_and_free_and_together_its_limit() {
        let mut families = Families::default();
        HostCollector::new().collect(&mut families, Tick { mono: Duration::from_secs(1), wall: UnixMillis(0) });
        let limit = families.sum("system.memory.limit").unwrap();
        assert!(limit > 1e6);
        assert_eq!(families.sum("system.memory.usage"), Some(limit));
        assert!((families.sum("system.memory.utilization").unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn every_series_is_unique() {
        let mut families = Families::default();
        let mut collector = HostCollector::new();
        for second in 1..3 {
            families = Families::default();
            collector.collect(&mut families, Tick { mono: Duration::from_secs(second), wall: UnixMillis(0) });
        }
        for family in families.into_sorted() {
            assert!(family.numbers.is_sorted_by(|a, b| a.labels < b.labels), "{}", family.name);
        }
    }
}
