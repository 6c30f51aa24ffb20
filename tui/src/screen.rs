//! What the person at the keyboard has chosen: the view, the window, the target, and per table the sort order, the
//! filter and the selected row. What the numbers are is not known here.

use std::collections::BTreeMap;
use std::time::Duration;

/// The views, in the order of their keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// The verdict and one compact panel for each subsystem.
    #[default]
    Overview,
    /// Routes and their percentiles.
    Requests,
    /// Database queries by summary.
    Queries,
    /// Connection pools.
    Pools,
    /// Caches by tier.
    Caches,
    /// Job queues.
    Queues,
    /// Memory, trend and verdict.
    Heap,
    /// The async runtime, the process, and what the agent itself costs.
    Runtime,
    /// Every alert rule and its state.
    Alerts,
    /// The fleet.
    Targets,
    /// Single requests: open, slow and failed ones, with where their time went.
    Traces,
}

impl View {
    /// All views, in the order of their keys.
    pub const ALL: [Self; 11] = [
        Self::Overview,
        Self::Requests,
        Self::Queries,
        Self::Pools,
        Self::Caches,
        Self::Queues,
        Self::Heap,
        Self::Runtime,
        Self::Alerts,
        Self::Targets,
        Self::Traces,
    ];

    /// Its name on the screen.
    pub fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Requests => "Requests",
            Self::Queries => "Queries",
            Self::Pools => "Pools",
            Self::Caches => "Caches",
            Self::Queues => "Queues",
            Self::Heap => "Heap",
            Self::Runtime => "Runtime",
            Self::Alerts => "Alerts",
            Self::Targets => "Targets",
            Self::Traces => "Traces",
        }
    }

    /// Its name where the room is scarce.
    pub fn short_title(self) -> &'static str {
        match self {
            Self::Overview => "Now",
            Self::Requests => "HTTP",
            Self::Queries => "DB",
            Self::Runtime => "Proc",
            view => view.title(),
        }
    }

    /// The key that shows it.
    pub fn key(self) -> char {
        let at = Self::ALL.iter().position(|view| *view == self).unwrap_or_default();
        ['1', '2', '3', '4', '5', '6', '7', '8', '9', '0', 'x'][at]
    }

    /// Whether it has rows, to be filtered and put in order.
    pub fn has_rows(self) -> bool {
        !matches!(self, Self::Overview | Self::Heap | Self::Runtime)
    }

    /// What its rows open; none for a view without rows, and for one that shows all of a row already.
    fn opens(self) -> Option<Opens> {
        match self {
            Self::Requests | Self::Queries | Self::Alerts | Self::Traces => Some(Opens::Detail),
            Self::Targets => Some(Opens::Target),
            Self::Overview | Self::Pools | Self::Caches | Self::Queues | Self::Heap | Self::Runtime => None,
        }
    }

    /// The view that many places further, around the end.
    #[must_use]
    pub fn step(self, forward: bool) -> Self {
        let at = Self::ALL.iter().position(|view| *view == self).unwrap_or_default();
        let count = Self::ALL.len();
        Self::ALL[(at + if forward { 1 } else { count - 1 }) % count]
    }
}

/// What the key that opens a row shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opens {
    /// The row's detail.
    Detail,
    /// The target that the row is about.
    Target,
}

/// How much time the charts show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// One minute.
    OneMinute,
    /// Five minutes.
    #[default]
    FiveMinutes,
    /// A quarter of an hour.
    FifteenMinutes,
    /// An hour.
    OneHour,
}

impl Window {
    /// The next longer one, and from the longest the shortest.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::OneMinute => Self::FiveMinutes,
            Self::FiveMinutes => Self::FifteenMinutes,
            Self::FifteenMinutes => Self::OneHour,
            Self::OneHour => Self::OneMinute,
        }
    }

    /// Its length.
    pub fn length(self) -> Duration {
        Duration::from_mins(match self {
            Self::OneMinute => 1,
            Self::FiveMinutes => 5,
            Self::FifteenMinutes => 15,
            Self::OneHour => 60,
        })
    }

    /// Its length as the header shows it.
    pub fn label(self) -> &'static str {
        match self {
            Self::OneMinute => "1m",
            Self::FiveMinutes => "5m",
            Self::FifteenMinutes => "15m",
            Self::OneHour => "1h",
        }
    }
}

/// What is chosen in the table of one view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableChoice {
    /// Index of the column that orders the rows; absent means the view's own order.
    pub sort: Option<usize>,
    /// Whether that order is turned around.
    pub reversed: bool,
    /// The identity of the selected row, which it keeps when rows are reordered; absent means the first.
    pub selected: Option<String>,
    /// Only rows whose text contains this are shown; empty shows all.
    pub filter: String,
}

/// Everything the person at the keyboard has chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Screen {
    /// The view shown.
    pub view: View,
    /// How much time the charts show.
    pub window: Window,
    /// Index of the target shown; one beyond the last means the last.
    pub target: usize,
    /// Whether the keys type into the filter.
    pub filtering: bool,
    /// Whether the selected row's detail fills the view.
    pub detail: bool,
    /// Whether the help covers the view, and from which line it is shown.
    pub help: Option<u16>,
    tables: BTreeMap<View, TableChoice>,
}

impl Screen {
    /// What the selected row opens; none where rows open nothing, and in a detail.
    pub fn opens(&self) -> Option<Opens> {
        self.view.opens().filter(|_| !self.detail)
    }

    /// What is chosen in the table of the view shown.
    pub fn table(&self) -> TableChoice {
        self.tables.get(&self.view).cloned().unwrap_or_default()
    }

    /// The same, to change it.
    pub fn table_mut(&mut self) -> &mut TableChoice {
        self.tables.entry(self.view).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stepping_through_the_views_comes_back_to_the_first() {
        let around = View::ALL.iter().fold(View::Overview, |view, _| view.step(true));
        assert_eq!(around, View::Overview);
        assert_eq!(View::Overview.step(false), View::Traces);
    }

    #[test]
    fn each_table_keeps_its_own_choice() {
        let mut screen = Screen { view: View::Requests, ..Screen::default() };
        screen.table_mut().filter.push_str("cart");
        screen.view = View::Queries;
        assert_eq!(screen.table().filter, "");
        screen.view = View::Requests;
        assert_eq!(screen.table().filter, "cart");
    }
}
