//! The Theil-Sen slope: the median of the slopes of all pairs of points, with Sen's interval. Pure.
//!
//! Up to 29 % of the points may lie anywhere without moving it. Source: P. K. Sen, "Estimates of the Regression
//! Coefficient Based on Kendall's Tau", Journal of the American Statistical Association 63 (1968).

/// A slope through points, per unit of their first coordinate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slope {
    /// The median of the slopes of all pairs.
    pub(super) median: f64,
    /// The lower end of its interval.
    pub(super) low: f64,
    /// The upper end.
    pub(super) high: f64,
    /// Share of the pairs that rise: 1 for a rising line, 0.5 without a trend.
    pub(super) rising: f64,
}

impl Slope {
    /// The slope through `points`, with an interval of `z` standard deviations; `None` for fewer than three points.
    pub(super) fn through(points: &[(f64, f64)], z: f64) -> Option<Self> {
        let count = points.len();
        if count < 3 {
            return None;
        }
        let pairs = points
            .iter()
            .enumerate()
            .flat_map(|(at, first)| points[at + 1..].iter().map(move |second| (first, second)));
        let mut slopes: Vec<f64> = pairs.filter(|(a, b)| b.0 > a.0).map(|(a, b)| (b.1 - a.1) / (b.0 - a.0)).collect();
        if slopes.is_empty() {
            return None;
        }
        let (n, size) = (count as f64, slopes.len() as f64);
        let deviation = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
        let half_width = z * deviation;
        let rising = slopes.iter().filter(|slope| **slope > 0.0).count() as f64 / size;
        Some(Self {
            median: select_rank(&mut slopes, (size - 1.0) / 2.0),
            low: select_rank(&mut slopes, (size - half_width) / 2.0 - 1.0),
            high: select_rank(&mut slopes, f64::midpoint(size, half_width)),
            rising,
        })
    }
}

/// The value at a rank, between two neighbours where the rank is no integer; infinite beyond the ends, because the
/// values then do not bound the slope.
pub(super) fn at_rank(sorted: &[f64], rank: f64) -> f64 {
    if rank < 0.0 {
        return f64::NEG_INFINITY;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a rank in the list")]
    let below = rank.floor() as usize;
    match (sorted.get(below), sorted.get(below + 1)) {
        (Some(low), Some(high)) => low + (high - low) * rank.fract(),
        (Some(last), None) if rank.fract() == 0.0 => *last,
        _ => f64::INFINITY,
    }
}

/// The same of values in any order, which it rearranges: sorting a thousand of them would take longer.
fn select_rank(values: &mut [f64], rank: f64) -> f64 {
    if rank < 0.0 {
        return f64::NEG_INFINITY;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a rank in the list")]
    let below = rank.floor() as usize;
    if below >= values.len() {
        return f64::INFINITY;
    }
    let (_, low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    match above.iter().copied().min_by(f64::total_cmp) {
        Some(next) => at_rank(&[*low, next], rank.fract()),
        None => at_rank(&[*low], rank.fract()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_has_its_own_slope_and_every_pair_rises() {
        let points: Vec<(f64, f64)> = (0..20).map(|x| (f64::from(x), 3.0 + 2.0 * f64::from(x))).collect();
        let slope = Slope::through(&points, 3.0).unwrap();
        assert_eq!((slope.median, slope.low, slope.high, slope.rising), (2.0, 2.0, 2.0, 1.0));
    }

    #[test]
    fn too_few_points_bound_nothing() {
        assert_eq!(Slope::through(&[(0.0, 1.0), (1.0, 2.0)], 3.0), None);
        let slope = Slope::through(&[(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)], 3.0).unwrap();
        assert_eq!((slope.low, slope.high), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(Slope::through(&[(1.0, 0.0), (1.0, 1.0), (1.0, 2.0)], 3.0), None, "no time passed");
    }

    proptest! {
        #[test]
        fn a_few_wild_points_do_not_move_it(
            slope in -50.0_f64..50.0,
            wild in prop::collection::vec((0_usize..40, -1e9_f64..1e9), 0..8),
        ) {
            let mut points: Vec<(f64, f64)> = (0..40).map(|x| (f64::from(x), slope * f64::from(x))).collect();
            for (at, value) in wild {
                points[at].1 = value;
            }
            let found = Slope::through(&points, 3.0).unwrap();
            prop_assert!((found.median - slope).abs() < 1e-6, "{} for {}", found.median, slope);
            prop_assert!(found.low <= found.median && found.median <= found.high);
        }
    }
}
