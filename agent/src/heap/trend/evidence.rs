//! The verdict in words: how much, how long, which time scales agree, what was ruled out and what was not.
//! Knows fits and amounts, decides nothing.

use heartline_shared::snapshot::Leak;

use super::forecast::Forecast;
use super::judgement::{Signal, View};
use super::shapes::{INNOCENT, Kind};

/// An innocent kind is ruled out from this log likelihood ratio on: the leak is then e² times as likely.
const RULED_OUT: f64 = 2.0;
/// A view is of now until it is this many of its buckets old: the finest are looked at every other bucket, until their
/// windows are too short to be judged at all.
const FRESH_BUCKETS: f64 = 2.0;
const MIB: f64 = 1_048_576.0;

/// Why growth is watched or suspected. `views` are the newest of each level.
pub(super) fn of_growth(view: &View, views: &[Option<View>], leak: Leak, patience: f64) -> Vec<String> {
    let (grown, lasted) = (view.grown_bytes(), view.duration());
    let what = match view.signal {
        Signal::Floor => "the floor of memory",
        Signal::Mean => "mean memory",
        Signal::ResidentOnly => "resident memory beyond what is allocated",
    };
    let adjusted = if view.fit.loads_used > 0 { ", the share that follows the load left out" } else { "" };
    let rate = bytes_text(grown / lasted * 3_600.0);
    let mut said = vec![format!("{what} rose by {} in {}, {rate}/h{adjusted}", bytes_text(grown), span_text(lasted))];
    said.push(format!(
        "it never gave back more than {} of that, and still rises at {:.0} % of its usual pace",
        bytes_text(view.fit.drawdown * view.scale),
        view.fit.last_third * 100.0
    ));
    said.extend(scales(view, views));
    said.extend(ruled_out(view));
    if view.signal == Signal::ResidentOnly {
        said.push("what is allocated does not grow with it: memory outside the allocator, or fragmentation".to_owned());
    }
    let cached = view.cached_grown * view.scale;
    if cached >= MIB {
        said.push(format!("{} that registered caches grew by are not counted", bytes_text(cached)));
    }
    if leak == Leak::Watching {
        said.push(format!("it becomes a suspicion when it lasts about {}", span_text(patience)));
    }
    said
}

/// Which time scales see the growth, of those that were looked at lately.
fn scales(view: &View, views: &[Option<View>]) -> Option<String> {
    let newest = views.iter().flatten().map(|view| view.age).fold(view.age, f64::max);
    let fresh = |view: &&View| view.age + FRESH_BUCKETS * view.bucket >= newest;
    let agrees = |view: &View| view.fit.z > 3.0 && view.fit.grown > 0.0 && view.fit.last_third > 0.0;
    // while a process is young, windows of several levels are as long as its life: one scale
    let mut seen: Vec<(String, bool)> = Vec::new();
    for view in views.iter().flatten().filter(fresh) {
        let span = span_text(view.window());
        match seen.iter_mut().find(|(known, _)| *known == span) {
            Some((_, sees_it)) => *sees_it |= agrees(view),
            None => seen.push((span, agrees(view))),
        }
    }
    let together = seen.len();
    let agreeing: Vec<String> = seen.into_iter().filter(|(_, sees_it)| *sees_it).map(|(span, _)| span).collect();
    (together > 1).then(|| match agreeing.as_slice() {
        [] => format!("none of the {together} time scales sees it alone"),
        list if list.len() == together => format!("all {together} time scales agree: {}", list.join(", ")),
        list => format!("{} of {together} time scales agree: {}", list.len(), list.join(", ")),
    })
}

fn ruled_out(view: &View) -> Vec<String> {
    let name = |kind: Kind| match kind {
        Kind::Step => Some("a single step"),
        Kind::Plateau => Some("a cache that is full"),
        Kind::LatePlateau => Some("a cache that is just full"),
        Kind::Saturating => Some("a warm-up"),
        Kind::Logarithm | Kind::AgeLogarithm => Some("logarithmic growth"),
        Kind::AgePower => Some("growth that slows with age"),
        Kind::Stairs => Some("a few steps"),
        Kind::Leak | Kind::WorkLeak => None,
    };
    let pick = |wanted: fn(f64) -> bool| {
        let kinds = INNOCENT.into_iter().zip(view.fit.ratios).filter(|(_, ratio)| ratio.is_finite());
        let mut names: Vec<&str> =
            kinds.filter(|(_, ratio)| wanted(*ratio)).filter_map(|(kind, _)| name(kind)).collect();
        names.dedup();
        names.join(", ")
    };
    let (out, open) = (pick(|ratio| ratio >= RULED_OUT), pick(|ratio| ratio < RULED_OUT));
    let sentences = [("ruled out", out), ("not quite ruled out", open)];
    let said = sentences.into_iter().filter(|(_, names)| !names.is_empty());
    said.map(|(what, names)| format!("{what}: {names}")).collect()
}

/// What growth that nobody suspects looks like, when something clearly fits better than a leak.
pub(super) fn of_calm(view: &View) -> Option<String> {
    let worth = view.fit.z > 3.0 && view.grown_bytes() > 4.0 * MIB && view.fit.grown > 0.02;
    let (kind, ratio) = INNOCENT.into_iter().zip(view.fit.ratios).min_by(|a, b| a.1.total_cmp(&b.1))?;
    let looks = match kind {
        Kind::Step | Kind::Stairs => "a step",
        Kind::Plateau | Kind::LatePlateau => "a cache that filled up",
        Kind::Saturating => "a warm-up that levels off",
        _ => "growth that slows down",
    };
    let grown = bytes_text(view.grown_bytes());
    (worth && ratio < 0.0)
        .then(|| format!("it grew by {grown} in this window, which looks like {looks}, not like a leak"))
}

/// What is said about the time to the limit, also where no figure can be given.
pub(super) fn of_forecast(forecast: &Forecast, limit: Option<f64>) -> String {
    match (limit, forecast.seconds, forecast.interval) {
        (None, ..) => "no memory limit is known, so nothing can be said about when it is reached".to_owned(),
        (_, Some(seconds), Some([low, high])) => {
            let [low, seconds, high] = [low, seconds, high].map(span_text);
            format!("at this pace the limit is reached in about {seconds} (between {low} and {high})")
        }
        _ => "the limit is too far away, or the growth too uneven, to say when it is reached".to_owned(),
    }
}

/// Bytes for people.
pub(in crate::heap) fn bytes_text(bytes: f64) -> String {
    const KIB: f64 = 1024.0;
    match bytes {
        _ if bytes >= KIB * MIB => format!("{:.1} GiB", bytes / KIB / MIB),
        _ if bytes >= MIB => format!("{:.1} MiB", bytes / MIB),
        _ if bytes >= KIB => format!("{:.1} KiB", bytes / KIB),
        _ => format!("{:.0} B", bytes.max(0.0)),
    }
}

/// A span of time for people.
pub(super) fn span_text(seconds: f64) -> String {
    match seconds {
        _ if seconds >= 2.0 * 86_400.0 => format!("{:.1} days", seconds / 86_400.0),
        _ if seconds >= 7_200.0 => format!("{:.1} h", seconds / 3_600.0),
        _ if seconds >= 120.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{seconds:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fit::{Fit, Fitting};
    use super::super::products::Problem;
    use super::*;

    /// The fit of 24 floors that rise.
    fn rising() -> Fit {
        let floors = (0..24).map(|at| 1.0 + 0.01 * f64::from(at) + 0.001 * f64::from(at % 3)).collect();
        let work = (0..24).map(f64::from).collect();
        let mut fitting = Fitting::of(Problem { floors, loads: Vec::new(), work, before: 0, moves: false });
        (0..100).find_map(|_| fitting.step()).expect("a fit is done in some twenty steps")
    }

    /// A view of buckets this long, looked at when the process was this old, in seconds.
    fn view(level: usize, bucket: f64, age: f64) -> View {
        View {
            fit: rising(),
            signal: Signal::Floor,
            level,
            whole: false,
            age,
            bucket,
            scale: 1e9,
            used: 0.0,
            limit: None,
            load_variation: 0.0,
            cached_grown: 0.0,
        }
    }

    #[test]
    fn time_scales_that_were_looked_at_long_ago_do_not_agree_with_anything() {
        let newest = view(1, 100.0, 10_000.0);
        let mut views = [Some(view(0, 50.0, 9_900.0)), Some(newest.clone()), Some(view(2, 200.0, 9_800.0)), None];
        let all = scales(&newest, &views);
        assert_eq!(all.as_deref(), Some("all 3 time scales agree: 20 min, 40 min, 80 min"));
        views[0] = Some(view(0, 50.0, 6_400.0));
        assert_eq!(scales(&newest, &views).as_deref(), Some("all 2 time scales agree: 40 min, 80 min"));
        // what the verdict rests on may itself be of an hour ago
        let old = views[0].clone().unwrap();
        assert_eq!(scales(&old, &views).as_deref(), Some("all 2 time scales agree: 40 min, 80 min"));
        views[2] = Some(view(2, 200.0, 9_000.0));
        assert_eq!(scales(&newest, &views), None, "one scale agrees with none");
    }
}
