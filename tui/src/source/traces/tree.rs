//! The spans of a request as a tree, and what took most of its time. How they are sent is not known here.

use std::collections::{BTreeMap, HashMap};

use super::wire::Span;
use super::{Branch, Most, On, Part};
use crate::text::Text;

/// Spans in the order they began, with the place of the one each is beneath: those beneath a span behind it, and those of
/// one name that are alike as one.
pub(super) fn branches(spans: &[Span]) -> Vec<Branch> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut beneath: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    for (at, span) in spans.iter().enumerate() {
        // a span begins after the one it is beneath: what says otherwise is beneath the request
        let above = span.parent.as_ref().and_then(|parent| places.get(parent)).copied();
        if at > 0 {
            beneath[above.unwrap_or_default()].push(at);
        }
        places.entry(span.id.clone()).or_insert(at);
    }
    let mut rows = Vec::new();
    let mut ahead: Vec<(usize, usize)> = if spans.is_empty() { vec![] } else { vec![(0, 0)] };
    let mut taken = vec![false; spans.len()];
    while let Some((at, depth)) = ahead.pop() {
        if taken[at] {
            continue;
        }
        taken[at] = true;
        let mut row = spans[at].branch(depth);
        let is_plain = |at: usize| beneath[at].is_empty() && spans[at].is_plain();
        if at > 0 && is_plain(at) {
            let alike = ahead.iter().filter(|(other, deep)| {
                *deep == depth
                    && is_plain(*other)
                    && spans[*other].name == spans[at].name
                    && spans[*other].ended == spans[at].ended
            });
            // those ahead of the same depth are beneath the same span; the next one is the last
            let alike: Vec<usize> = alike.map(|(other, _)| *other).collect();
            for other in alike.into_iter().rev() {
                taken[other] = true;
                row.add(&spans[other]);
            }
        }
        rows.push(row);
        ahead.extend(beneath[at].iter().rev().map(|below| (*below, depth + 1)));
    }
    rows
}

/// What took most of a request: its own work or the name with the most time that is not spent beneath it; without spans
/// its largest part.
pub(super) fn most(branches: Option<&[Branch]>, parts: &[Part]) -> Option<Most> {
    let (of_part, named) = match branches {
        None => (parts.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds)), None),
        Some(branches) => (parts.iter().find(|part| part.on == On::Own), most_named(branches)),
    };
    let words = |on: On| Text::new(if on == On::Own { "own work" } else { on.words() });
    let of_part =
        of_part.map(|part| Most { name: words(part.on), seconds: part.seconds, count: part.count.unwrap_or(1) });
    [named, of_part].into_iter().flatten().max_by(|a, b| a.seconds.total_cmp(&b.seconds))
}

fn most_named(branches: &[Branch]) -> Option<Most> {
    let mut by_name: BTreeMap<&Text, (f64, u64)> = BTreeMap::new();
    for (at, branch) in branches.iter().enumerate().skip(1) {
        let beneath = branches[at + 1..].iter().take_while(|below| below.depth > branch.depth);
        let within: f64 = beneath.filter(|below| below.depth == branch.depth + 1).map(|below| below.seconds).sum();
        let entry = by_name.entry(&branch.name).or_default();
        entry.0 += (branch.seconds - within).max(0.0);
        entry.1 += branch.count;
    }
    let most = by_name.into_iter().max_by(|(_, (a, _)), (_, (b, _))| a.total_cmp(b))?;
    let (name, (seconds, count)) = most;
    Some(Most { name: name.clone(), seconds, count })
}
