//! Growing curves in bounded memory.

/// Maximum number of points of a series.
const MAX_POINTS: usize = 1024;

/// The points of a curve. When there are too many, pairs are replaced by their means; from then on
/// twice as many values are averaged per point.
#[derive(Clone, Debug)]
pub(super) struct Series {
    points: Vec<(f64, f64)>,
    /// Values averaged per point.
    stride: u32,
    /// Sum and count of the values of the next point.
    sum: (f64, f64),
    count: u32,
}

impl Default for Series {
    fn default() -> Self {
        Series { points: Vec::new(), stride: 1, sum: (0.0, 0.0), count: 0 }
    }
}

impl Series {
    pub(super) fn push(&mut self, x: f64, y: f64) {
        self.sum = (self.sum.0 + x, self.sum.1 + y);
        self.count += 1;
        if self.count < self.stride {
            return;
        }
        let n = f64::from(self.count);
        self.points.push((self.sum.0 / n, self.sum.1 / n));
        (self.sum, self.count) = ((0.0, 0.0), 0);
        if self.points.len() == MAX_POINTS {
            let middle = |pair: &[(f64, f64)]| {
                ((pair[0].0 + pair[1].0) / 2.0, (pair[0].1 + pair[1].1) / 2.0)
            };
            self.points = self.points.chunks_exact(2).map(middle).collect();
            self.stride = self.stride.saturating_mul(2);
        }
    }

    pub(super) fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    /// The values in at most `most` columns, each the mean of equally many points.
    pub(super) fn columns(&self, most: usize) -> Vec<f64> {
        let width = self.points.len().div_ceil(most.max(1)).max(1);
        let mean = |points: &[(f64, f64)]| {
            points.iter().map(|point| point.1).sum::<f64>() / points.len() as f64
        };
        self.points.chunks(width).map(mean).collect()
    }
}

/// An exponential moving average with bias correction, as in fastai's `Recorder`.
#[derive(Clone, Copy, Debug)]
pub(super) struct MovingAverage {
    /// Weight of the previous average.
    beta: f64,
    sum: f64,
    weight: f64,
}

impl MovingAverage {
    /// Averages over about this many values.
    pub(super) fn over(values: u64) -> Self {
        MovingAverage { beta: 1.0 - 1.0 / values.max(1) as f64, sum: 0.0, weight: 0.0 }
    }

    pub(super) fn add(&mut self, value: f64) -> f64 {
        self.sum = self.beta * self.sum + (1.0 - self.beta) * value;
        self.weight = self.beta * self.weight + (1.0 - self.beta);
        self.sum / self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_series_keeps_its_shape() {
        let mut series = Series::default();
        for x in 0..1_000_000 {
            series.push(f64::from(x), 2.0 * f64::from(x));
        }
        let points = series.points();
        assert!((MAX_POINTS / 2..MAX_POINTS).contains(&points.len()), "{}", points.len());
        assert!(points.windows(2).all(|p| p[0].0 < p[1].0));
        assert!(points.iter().all(|p| p.1 == 2.0 * p.0));
        assert!(points[0].0 < 1000.0 && points[points.len() - 1].0 > 998_000.0);
    }

    #[test]
    fn columns_are_means() {
        let mut series = Series::default();
        (1..=7).for_each(|y| series.push(0.0, f64::from(y)));
        assert_eq!(series.columns(10), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!(series.columns(3), [2.0, 5.0, 7.0]);
        assert!(Series::default().columns(0).is_empty());
    }

    #[test]
    fn an_average_starts_at_the_first_value() {
        let mut smooth = MovingAverage::over(50);
        assert!((smooth.add(4.0) - 4.0).abs() < 1e-12);
        let mean = smooth.add(2.0);
        assert!(2.0 < mean && mean < 4.0, "{mean}");
        assert_eq!(MovingAverage::over(1).add(7.0), 7.0);
    }
}
