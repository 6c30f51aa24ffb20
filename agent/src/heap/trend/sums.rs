//! Products of the curves with columns in a few operations each: hinges, steps and plateaus are sums over the end of a
//! column, so one pass over the column serves all of them. Pure arithmetic; knows no meaning of a curve.

use super::history::BUCKETS;
use super::shapes::{Grid, Kind, Shape};

/// A column's sums from each step to the end: of its values, of those times the steps since, of those times the work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    values: [f64; BUCKETS + 1],
    ramps: [f64; BUCKETS + 1],
    works: [f64; BUCKETS + 1],
}

impl Sums {
    /// The sums of a column over a grid.
    pub(super) fn of(column: &[f64], grid: &Grid<'_>) -> Self {
        let mut sums = Self { values: [0.0; BUCKETS + 1], ramps: [0.0; BUCKETS + 1], works: [0.0; BUCKETS + 1] };
        for step in (0..column.len()).rev() {
            sums.values[step] = sums.values[step + 1] + column[step];
            sums.works[step] = sums.works[step + 1] + column[step] * grid.work[step];
            sums.ramps[step] = sums.ramps[step + 1] + sums.values[step + 1];
        }
        sums
    }

    /// The product of the column with a curve; `None` for curves that are not made of hinges and steps.
    pub(super) fn along(&self, shape: &Shape, grid: &Grid<'_>) -> Option<f64> {
        let onset = shape.onset;
        match shape.kind {
            Kind::Leak => Some(self.ramps[onset]),
            Kind::WorkLeak => Some(self.works[onset] - grid.work[onset] * self.values[onset]),
            Kind::Step => Some(self.values[onset]),
            Kind::Plateau | Kind::LatePlateau => Some(self.ramps[onset] - self.ramps[shape.end()]),
            _ => None,
        }
    }
}

/// The sum and the sum of squares of curves over a grid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lengths {
    ones: Sums,
    works: Sums,
}

impl Lengths {
    /// For all curves over a grid.
    pub(super) fn of(grid: &Grid<'_>) -> Self {
        let ones = [1.0; BUCKETS];
        Self { ones: Sums::of(&ones[..grid.len()], grid), works: Sums::of(grid.work, grid) }
    }

    /// The squared length of a curve once centred; `None` as [`Sums::along`].
    pub(super) fn squared(&self, shape: &Shape, grid: &Grid<'_>) -> Option<f64> {
        let n = grid.len();
        let sum = self.ones.along(shape, grid)?;
        let squares_to = |last: usize| (last * (last + 1) * (2 * last + 1) / 6) as f64;
        let (onset, end) = (shape.onset, shape.end());
        let squares = match shape.kind {
            Kind::Leak => squares_to(n - 1 - onset),
            Kind::WorkLeak => {
                let start = grid.work[onset];
                self.works.works[onset] - 2.0 * start * self.ones.works[onset] + start * start * self.ones.values[onset]
            }
            Kind::Step => self.ones.values[onset],
            _ => squares_to(end - onset) + ((end - onset).pow(2) * (n - 1 - end)) as f64,
        };
        Some(squares - sum * sum / n as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_give_the_products_of_the_drawn_curves() {
        let n = 40;
        let load: Vec<f64> = (0..n).map(|at| 1.0 + 0.5 * (at as f64 / 3.0).sin()).collect();
        let work: Vec<f64> = (0..n).map(|at| load[..at].iter().sum()).collect();
        let grid = Grid { work: &work, before: Some(13), moves: true };
        let mut column: Vec<f64> = (0..n).map(|at| ((at * at) as f64 * 0.37).cos()).collect();
        let mean = column.iter().sum::<f64>() / n as f64;
        for value in &mut column {
            *value -= mean;
        }
        let (sums, lengths) = (Sums::of(&column, &grid), Lengths::of(&grid));
        let mut quick = 0;
        for shape in Shape::all(&grid) {
            let mut curve = vec![0.0; n];
            shape.draw(&grid, &mut curve);
            let mean = curve.iter().sum::<f64>() / n as f64;
            let (mut product, mut length) = (0.0, 0.0);
            for (value, drawn) in column.iter().zip(&curve) {
                product += value * (drawn - mean);
                length += (drawn - mean).powi(2);
            }
            let Some(along) = sums.along(&shape, &grid) else { continue };
            let squared = lengths.squared(&shape, &grid).unwrap();
            assert!((along - product).abs() < 1e-9 * (1.0 + product.abs()), "{shape:?}: {along} for {product}");
            assert!((squared - length).abs() < 1e-9 * (1.0 + length), "{shape:?}: {squared} for {length}");
            quick += 1;
        }
        assert!(quick > 100, "{quick}");
    }
}
