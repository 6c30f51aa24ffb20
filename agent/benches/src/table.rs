//! Figures as a table: nanoseconds of every subject in every case, and how many times ours they are.

use std::fmt::Write as _;

use crate::subject::Subject;
use crate::timing::{Rounds, typical};

/// The figures of all subjects, ours first, in one case.
#[derive(Debug)]
pub struct Column {
    /// What was done.
    pub case: &'static str,
    /// Whether peers that cannot export are left out of the worst ratio: they do less.
    pub needs_export: bool,
    /// By subject.
    pub rounds: Vec<Option<Rounds>>,
}

/// The smallest ratio of a peer's time to ours.
#[derive(Debug)]
pub struct Worst {
    /// Their time by ours.
    pub ratio: f64,
    /// Whose.
    pub peer: &'static str,
    /// In which case.
    pub case: &'static str,
}

/// The table as text.
pub fn render(subjects: &[Subject], columns: &[Column]) -> String {
    let mut text = format!("{:<28}", "ns a record (x ours)");
    for column in columns {
        let _ = write!(text, "{:>20}", column.case);
    }
    for (row, subject) in subjects.iter().enumerate() {
        let _ = write!(text, "\n{:<28}", subject.name);
        for column in columns {
            let figure = match (ratio(column, row), column.rounds[row].as_ref()) {
                (_, None) => "-".to_owned(),
                (_, Some(rounds)) if row == 0 => format!("{:.2}", typical(rounds)),
                (ratio, Some(rounds)) => format!("{:.1} ({:.1}x)", typical(rounds), ratio.unwrap_or(f64::NAN)),
            };
            let _ = write!(text, "{figure:>20}");
        }
    }
    text
}

/// The worst ratio over peers of equal function: thread-safe, with histograms that can be exported or merged.
pub fn worst(subjects: &[Subject], columns: &[Column]) -> Option<Worst> {
    let of = |column: &Column| {
        let case = column.case;
        let peers = subjects
            .iter()
            .enumerate()
            .skip(1)
            .filter(|(_, peer)| !peer.keeps_events && (peer.exports || !column.needs_export));
        let ratios = peers.filter_map(|(row, peer)| Some(Worst { ratio: ratio(column, row)?, peer: peer.name, case }));
        ratios.collect::<Vec<_>>()
    };
    columns.iter().flat_map(of).min_by(|a, b| a.ratio.total_cmp(&b.ratio))
}

fn ratio(column: &Column, row: usize) -> Option<f64> {
    let (ours, theirs) = (column.rounds.first()?.as_ref()?, column.rounds.get(row)?.as_ref()?);
    Some(typical(theirs) / typical(ours))
}
