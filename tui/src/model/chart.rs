//! Which numbers have a history, and the time axis a chart is drawn over; the values are kept elsewhere.

use std::time::Duration;

use heartline_shared::UnixMillis;

use crate::text::Text;

/// A number with a history. `Target::chart` gives its values over an [`Axis`].
///
/// Those of the target as a whole, of pools, caches and queues reach back two hours; those of one route or query reach
/// back as far as their details are kept (minutes).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chart {
    /// Requests a second.
    RequestRate,
    /// Share of requests that failed, 0 to 1.
    RequestErrorRatio,
    /// Requests a second whose client went away.
    RequestCancelledRate,
    /// Median latency in seconds.
    RequestP50,
    /// 95th percentile of latency in seconds.
    RequestP95,
    /// 99th percentile of latency in seconds.
    RequestP99,
    /// Requests being served.
    RequestsInFlight,
    /// Queries a second.
    QueryRate,
    /// Share of queries that failed, 0 to 1.
    QueryErrorRatio,
    /// 95th percentile of query time in seconds.
    QueryP95,
    /// Bytes the program allocated and has not freed.
    HeapAllocated,
    /// Bytes the allocator keeps in physical memory.
    HeapResident,
    /// Resident memory of the process in bytes.
    ProcessRss,
    /// Share of the CPU limit in use.
    ProcessCpu,
    /// Share of time the runtime's workers were busy.
    RuntimeUtilization,
    /// 99th percentile of the schedule delay in seconds.
    RuntimeScheduleDelayP99,
    /// Tasks alive in the runtime.
    RuntimeTasks,
    /// How long the poll of the target took, in seconds.
    PollSeconds,
    /// Connections in use, of the pool of this name.
    PoolUsed(Text),
    /// Callers waiting for a connection, of the pool of this name.
    PoolPending(Text),
    /// Share of look-ups that hit, 0 to 1.
    CacheHitRatio {
        /// The cache.
        name: Text,
        /// Its tier.
        tier: Text,
    },
    /// Jobs waiting, of the queue of this name.
    QueueWaiting(Text),
    /// Jobs running, of the queue of this name.
    QueueActive(Text),
    /// Jobs completed a second, of the queue of this name.
    QueueCompletedRate(Text),
    /// Requests a second to one route.
    RouteRate {
        /// The method.
        method: Text,
        /// The route; `None` for requests that matched none.
        route: Option<Text>,
    },
    /// 95th percentile of the latency of one route in seconds.
    RouteP95 {
        /// The method.
        method: Text,
        /// The route; `None` for requests that matched none.
        route: Option<Text>,
    },
    /// Runs a second of one query.
    QuerySummaryRate {
        /// The database system.
        system: Text,
        /// The summary.
        summary: Text,
    },
    /// 95th percentile of the time of one query, in seconds.
    QuerySummaryP95 {
        /// The database system.
        system: Text,
        /// The summary.
        summary: Text,
    },
}

/// One of the things a target has any number of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    Pool(Text),
    Cache { name: Text, tier: Text },
    Queue(Text),
    Route { method: Text, route: Option<Text> },
    Query { system: Text, summary: Text },
}

impl Chart {
    /// What it is a chart of; `None` for one of the target as a whole.
    pub(super) fn named(&self) -> Option<Named> {
        match self {
            Self::PoolUsed(name) | Self::PoolPending(name) => Some(Named::Pool(name.clone())),
            Self::CacheHitRatio { name, tier } => Some(Named::Cache { name: name.clone(), tier: tier.clone() }),
            Self::QueueWaiting(name) | Self::QueueActive(name) | Self::QueueCompletedRate(name) => {
                Some(Named::Queue(name.clone()))
            }
            Self::RouteRate { method, route } | Self::RouteP95 { method, route } => {
                Some(Named::Route { method: method.clone(), route: route.clone() })
            }
            Self::QuerySummaryRate { system, summary } | Self::QuerySummaryP95 { system, summary } => {
                Some(Named::Query { system: system.clone(), summary: summary.clone() })
            }
            Self::RequestRate
            | Self::RequestErrorRatio
            | Self::RequestCancelledRate
            | Self::RequestP50
            | Self::RequestP95
            | Self::RequestP99
            | Self::RequestsInFlight
            | Self::QueryRate
            | Self::QueryErrorRatio
            | Self::QueryP95
            | Self::HeapAllocated
            | Self::HeapResident
            | Self::ProcessRss
            | Self::ProcessCpu
            | Self::RuntimeUtilization
            | Self::RuntimeScheduleDelayP99
            | Self::RuntimeTasks
            | Self::PollSeconds => None,
        }
    }
}

/// The time axis of a chart: `columns` values that end at `end` and together span `span`.
///
/// Column edges lie on multiples of the column's width, so that a sliding chart moves by whole columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// The newest point of the axis.
    pub end: UnixMillis,
    /// How much time it shows.
    pub span: Duration,
    /// How many values to give, the newest last.
    pub columns: usize,
}

impl Axis {
    /// Where the columns begin and how wide each is, in milliseconds; at least 1 ms wide.
    pub fn edges(self) -> (UnixMillis, u64) {
        let columns = u64::try_from(self.columns).unwrap_or(u64::MAX).max(1);
        let width = (u64::try_from(self.span.as_millis()).unwrap_or(u64::MAX) / columns).max(1);
        let last = self.end.0 / width * width;
        (UnixMillis(last.saturating_sub(width.saturating_mul(columns - 1))), width)
    }

    /// The column that shows `at`, if the axis reaches it.
    pub fn column_of(self, at: UnixMillis) -> Option<usize> {
        let (start, width) = self.edges();
        let column = usize::try_from(at.0.checked_sub(start.0)? / width).ok()?;
        (column < self.columns).then_some(column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_stand_still_while_time_passes_within_a_column() {
        let axis = |end| Axis { end: UnixMillis(end), span: Duration::from_mins(1), columns: 6 };
        assert_eq!(axis(1_000_000).edges(), (UnixMillis(950_000), 10_000));
        assert_eq!(axis(1_009_999).edges(), axis(1_000_000).edges());
        assert_eq!(axis(1_010_000).edges(), (UnixMillis(960_000), 10_000));
        assert_eq!(axis(1_000_000).column_of(UnixMillis(1_000_000)), Some(5));
        assert_eq!(axis(1_000_000).column_of(UnixMillis(950_000)), Some(0));
        assert_eq!(axis(1_000_000).column_of(UnixMillis(949_999)), None);
    }

    #[test]
    fn an_axis_without_columns_shows_nothing() {
        let axis = Axis { end: UnixMillis(5), span: Duration::ZERO, columns: 0 };
        assert_eq!(axis.column_of(UnixMillis(5)), None);
    }
}
