//! Does memory leak, how sure is that, and when does it run out?

use super::MEMORY;
use crate::board::Board;
use crate::panel::Panel;
use crate::thresholds::Steps;

const SUSPECTED: &[(&str, &str, &str)] = &[("0", "no leak", "green"), ("1", "suspected", "red")];

pub(super) fn board() -> Board {
    Board::new("heartline-memory", "Memory & leaks", "Does memory leak, how sure is that, and when does it run out?")
        .stats(stats())
        .row("Against the limit", against_the_limit())
        .row("The verdict", verdict())
        .row("The allocator", allocator())
        .folded("Paging and counted allocations", paging())
}

fn stats() -> Vec<Panel> {
    vec![
        Panel::stat("Memory", "The fullest instance: share of its limit.", format!("max({MEMORY})")).alert("MemoryUtilization"),
        Panel::stat("Resident", "Resident memory of the chosen instances.", "sum(process_memory_usage_bytes)"),
        Panel::stat("Allocated", "What the program allocated and has not freed. Far below resident: fragmentation, not a leak.", "sum(jemalloc_allocated_bytes)"),
        Panel::stat("Leak", "The verdict of the leak detector, which tells leaks from warm-up, caches, load and fragmentation.", "max(heartline_memory_leak_suspected)")
            .words(SUSPECTED)
            .unit("none"),
        Panel::stat("Confidence", "How sure the verdict is.", "max(heartline_memory_leak_confidence_ratio)"),
        Panel::stat("Growth", "Slope of the memory floor; the fastest instance.", "max(heartline_memory_growth_bytes_per_second)"),
        Panel::stat("Limit reached in", "At this growth. Minutes: restart one instance after the other now, then find the call site in the dashboard's heap view.", "min(heartline_memory_time_to_limit_seconds)")
            .alert("MemoryTimeToLimit")
            .no_value("not growing"),
    ]
}

fn against_the_limit() -> Vec<Panel> {
    vec![
        Panel::lines("Resident memory and limit", "A stair after each release is normal; a straight line upwards is a leak. Vertical lines are restarts and new versions.")
            .query("{{instance}} resident", "process_memory_usage_bytes")
            .query("{{instance}} limit", "max by (job, instance) (heartline_memory_limit_bytes)")
            .from_zero(),
        Panel::lines("Share of the limit", "Where the memory alert looks.").query("{{instance}}", MEMORY).alert("MemoryUtilization").from_zero(),
        Panel::lines("Virtual memory", "Address space; grows with threads and reserved arenas and costs nothing by itself.")
            .query("{{instance}}", "process_memory_virtual_bytes")
            .from_zero(),
        Panel::lines("Time to the limit", "At the present growth; no line while memory does not grow.")
            .query("{{instance}}", "heartline_memory_time_to_limit_seconds")
            .alert("MemoryTimeToLimit")
            .no_value("not growing"),
    ]
}

fn verdict() -> Vec<Panel> {
    vec![
        Panel::states(
            "Leak suspected",
            "When the detector suspected a leak. Compare its begin with the versions and restarts marked above.",
        )
        .query("{{instance}}", "max by (job, instance) (heartline_memory_leak_suspected)")
        .words(SUSPECTED)
        .unit("none"),
        Panel::lines("Growth", "Robust slope of the memory floor. Around zero is healthy, whatever the load.")
            .query("{{instance}}", "heartline_memory_growth_bytes_per_second"),
        Panel::lines(
            "Confidence",
            "How sure the verdict is. It rises while growth goes on without another explanation.",
        )
        .query("{{instance}}", "heartline_memory_leak_confidence_ratio")
        .between(0.0, 1.0),
    ]
}

fn allocator() -> Vec<Panel> {
    vec![
        Panel::stack("Where memory is", "Allocated by the program; lost in pages partly used; kept by the allocator. A growing second or third band is fragmentation: purge, or look at allocation patterns.")
            .query("allocated", "sum(jemalloc_allocated_bytes)")
            .query("in partly used pages", "sum(jemalloc_active_bytes) - sum(jemalloc_allocated_bytes)")
            .query("kept in memory", "sum(jemalloc_resident_bytes) - sum(jemalloc_active_bytes)"),
        Panel::lines("jemalloc", "All figures of the allocator. Retained is address space only.")
            .query("allocated {{instance}}", "jemalloc_allocated_bytes")
            .query("active {{instance}}", "jemalloc_active_bytes")
            .query("resident {{instance}}", "jemalloc_resident_bytes")
            .query("mapped {{instance}}", "jemalloc_mapped_bytes")
            .query("retained {{instance}}", "jemalloc_retained_bytes")
            .from_zero(),
        Panel::lines("Share lost to fragmentation", "Resident bytes that hold no allocation. Above a third for long: purge arenas or bound caches by bytes.")
            .query("{{instance}}", "1 - jemalloc_allocated_bytes / jemalloc_resident_bytes")
            .between(0.0, 1.0)
            .drawn_steps(Steps::rising(&[(0.5, "orange")])),
        Panel::lines("The allocator's own bookkeeping", "Grows with the number of extents; small beside the rest.")
            .query("{{instance}}", "jemalloc_metadata_bytes")
            .from_zero(),
    ]
}

fn paging() -> Vec<Panel> {
    vec![
        Panel::lines("Page faults", "Major faults read from disk: memory is short. Minor ones come with new memory.")
            .query(
                "{{system_paging_fault_type}} {{instance}}",
                "sum by (job, instance, system_paging_fault_type) (rate(process_paging_faults_total))",
            )
            .from_zero(),
        Panel::lines("Live bytes counted", "Where the service has a counting allocator.")
            .query("{{instance}}", "heartline_heap_live_bytes")
            .from_zero(),
        Panel::lines("Allocation rate", "Bytes allocated per second. High rates cost CPU even when nothing leaks.")
            .query("{{instance}}", "rate(heartline_heap_allocated_bytes_total)")
            .from_zero(),
        Panel::lines("Allocations", "Allocations per second.")
            .query("{{instance}}", "rate(heartline_heap_allocations_total)")
            .from_zero(),
    ]
}
