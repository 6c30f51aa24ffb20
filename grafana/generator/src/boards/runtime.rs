//! Does the async runtime keep up, and what of the machine does the process use?

use super::CPU;
use crate::board::Board;
use crate::panel::Panel;
use crate::template::quantile;

const DELAY: &str = "tokio_schedule_delay_seconds";

pub(super) fn board() -> Board {
    Board::new(
        "heartline-runtime",
        "Runtime",
        "Does the async runtime keep up, and what of the machine does the process use?",
    )
    .stats(stats())
    .row("tokio", tokio())
    .row("Process", process())
    .folded("tokio in detail (services built with tokio_unstable)", unstable())
    .folded("Host (services with the feature `system`)", host())
}

fn stats() -> Vec<Panel> {
    vec![
        Panel::stat("Runtime busy", "Share of time the workers were busy, busiest instance. Near 100 %: more cores, or less work on the runtime.", "max(tokio_runtime_utilization_ratio)"),
        Panel::stat("Delay p99", "How late a task is polled after it is due. Above 50 ms something blocks a worker: look for synchronous calls.", quantile(0.99, DELAY, ""))
            .alert("RuntimeStall"),
        Panel::stat("Tasks", "Tasks alive. Climbing at an even load: tasks are spawned and never end.", "sum(tokio_task_count)"),
        Panel::stat("Global queue", "Tasks that no worker took yet.", "sum(tokio_global_queue_depth)"),
        Panel::stat("CPU", "Busiest instance: share of its CPU limit.", format!("max({CPU})")).alert("CpuUtilization"),
        Panel::stat("Threads", "Threads of the chosen instances.", "sum(process_thread_count)"),
    ]
}

fn tokio() -> Vec<Panel> {
    vec![
        Panel::lines(
            "Workers busy",
            "Share of time each worker was busy. One at 100 % beside idle ones: a task that never yields.",
        )
        .query("{{instance}} worker {{tokio_worker_index}}", "rate(tokio_worker_busy_time_seconds_total)")
        .unit("percentunit")
        .between(0.0, 1.0),
        Panel::heatmap(
            "Schedule delay",
            "How late tasks were polled. A band far from the bottom is time that every request loses.",
            DELAY,
        ),
        Panel::lines(
            "Schedule delay by instance",
            "p99. One instance alone: its machine is overcommitted, or it blocks a worker.",
        )
        .query("{{instance}}", quantile(0.99, DELAY, "job, instance"))
        .alert("RuntimeStall")
        .from_zero(),
        Panel::lines("Runtime busy", "Share of time all workers of an instance were busy.")
            .query("{{instance}}", "tokio_runtime_utilization_ratio")
            .between(0.0, 1.0),
        Panel::lines("Tasks alive", "Should follow requests in flight.")
            .query("{{instance}}", "tokio_task_count")
            .from_zero(),
        Panel::lines("Global queue", "Tasks waiting for any worker: a queue that stays is overload.")
            .query("{{instance}}", "tokio_global_queue_depth")
            .from_zero(),
        Panel::lines("Workers", "Worker threads; should equal the CPUs the process may use.")
            .query("{{instance}} workers", "tokio_worker_count")
            .query("{{instance}} CPU limit", "max by (job, instance) (heartline_cpu_limit)")
            .from_zero(),
        Panel::lines("Parks", "How often workers went to sleep. Very high with little work: many tiny wake-ups.")
            .query("{{instance}}", "sum by (job, instance) (rate(tokio_worker_parks_total))")
            .from_zero(),
    ]
}

fn process() -> Vec<Panel> {
    vec![
        Panel::stack(
            "CPU time",
            "Cores in use, by mode. Much system time: many small reads and writes, or page faults.",
        )
        .query("{{cpu_mode}}", "sum by (cpu_mode) (rate(process_cpu_time_seconds_total))"),
        Panel::lines("CPU of the limit", "Share of the CPU limit; at 100 % the process is throttled.")
            .query("{{instance}}", CPU)
            .alert("CpuUtilization")
            .from_zero(),
        Panel::lines("Threads", "Runtime workers, blocking pool and the service's own.")
            .query("{{instance}}", "process_thread_count")
            .from_zero(),
        Panel::lines(
            "File descriptors",
            "Share of the limit in use. Climbing without load: sockets or files are not closed.",
        )
        .query("{{instance}}", "process_unix_file_descriptor_count / heartline_process_file_descriptor_limit")
        .between(0.0, 1.0),
        Panel::lines("Context switches", "Involuntary ones mean more runnable threads than cores.")
            .query(
                "{{process_context_switch_type}}",
                "sum by (process_context_switch_type) (rate(process_context_switches_total))",
            )
            .from_zero(),
        Panel::lines("Disk", "Bytes read and written by the process.")
            .query("{{disk_io_direction}}", "sum by (disk_io_direction) (rate(process_disk_io_bytes_total))")
            .from_zero(),
    ]
}

fn unstable() -> Vec<Panel> {
    let by_instance = |metric: &str| format!("sum by (job, instance) (rate({metric}))");
    vec![
        Panel::lines("Blocking threads", "Busy at their limit: blocking work queues up; see the depth beside.")
            .query(
                "{{tokio_thread_state}} {{instance}}",
                "sum by (job, instance, tokio_thread_state) (tokio_blocking_thread_count)",
            )
            .from_zero(),
        Panel::lines("Waiting for a blocking thread", "Work that waits for a blocking thread.")
            .query("{{instance}}", "tokio_blocking_queue_depth")
            .from_zero(),
        Panel::lines("Poll duration p99", "One poll above a millisecond holds up everything else on its worker.")
            .query("{{instance}}", quantile(0.99, "tokio_poll_duration_seconds", "job, instance"))
            .from_zero(),
        Panel::lines(
            "Polls, steals, overflows",
            "Steals balance the workers; overflows say that one task spawns too many.",
        )
        .query("polls {{instance}}", by_instance("tokio_worker_polls_total"))
        .query("steals {{instance}}", by_instance("tokio_worker_steals_total"))
        .query("overflows {{instance}}", by_instance("tokio_worker_overflows_total"))
        .from_zero(),
        Panel::lines("Tasks spawned", "Tasks begun per second.")
            .query("{{instance}}", by_instance("tokio_task_spawned_total"))
            .from_zero(),
        Panel::lines("Forced yields", "Tasks that used up their budget: long loops over ready work.")
            .query("{{instance}}", by_instance("tokio_budget_forced_yields_total"))
            .from_zero(),
    ]
}

fn host() -> Vec<Panel> {
    vec![
        Panel::lines(
            "CPU of the host",
            "Share of the machine in use, all processes together. High while ours is low: a neighbour.",
        )
        .query("{{instance}}", "sum by (job, instance) (system_cpu_utilization_ratio)")
        .from_zero(),
        Panel::stack("CPU time of the host", "Cores in use, by mode.")
            .query("{{cpu_mode}}", "sum by (cpu_mode) (rate(system_cpu_time_seconds_total))"),
        Panel::stack("Memory of the host", "Bytes by state. Nothing free and swap in use: everything becomes slow.")
            .query("{{system_memory_state}}", "sum by (system_memory_state) (system_memory_usage_bytes)"),
        Panel::lines("Memory and swap", "Memory there is, the share in use, and swap by state.")
            .query("{{instance}} memory", "system_memory_limit_bytes")
            .query(
                "{{instance}} swap {{system_paging_state}}",
                "sum by (job, instance, system_paging_state) (system_paging_usage_bytes)",
            )
            .from_zero(),
        Panel::lines("Share of memory", "Share of the machine's memory, by state.")
            .query("{{instance}} {{system_memory_state}}", "system_memory_utilization_ratio")
            .between(0.0, 1.0),
        Panel::lines("Disks", "Bytes by device and direction.")
            .query(
                "{{system_device}} {{disk_io_direction}}",
                "sum by (system_device, disk_io_direction) (rate(system_disk_io_bytes_total))",
            )
            .from_zero(),
        Panel::lines(
            "Disk operations",
            "Operations by device and direction; many with few bytes are small random reads.",
        )
        .query(
            "{{system_device}} {{disk_io_direction}}",
            "sum by (system_device, disk_io_direction) (rate(system_disk_operations_total))",
        )
        .from_zero(),
        Panel::lines("File systems", "Share in use. At 100 % writes fail: delete or enlarge.")
            .query(
                "{{system_filesystem_mountpoint}}",
                "max by (job, instance, system_filesystem_mountpoint) (system_filesystem_utilization_ratio)",
            )
            .between(0.0, 1.0),
        Panel::lines("Network", "Bytes by interface and direction.")
            .query(
                "{{network_interface_name}} {{network_io_direction}}",
                "sum by (network_interface_name, network_io_direction) (rate(system_network_io_bytes_total))",
            )
            .from_zero(),
        Panel::lines("Network faults", "Errors and dropped packets. Anything but zero is worth a look at the machine.")
            .query(
                "errors {{network_interface_name}}",
                "sum by (network_interface_name) (rate(system_network_errors_total))",
            )
            .query(
                "dropped {{network_interface_name}}",
                "sum by (network_interface_name) (rate(system_network_packet_dropped_total))",
            )
            .from_zero(),
    ]
}
