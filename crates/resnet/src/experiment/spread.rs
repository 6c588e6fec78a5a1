//! Means over seeds, and their differences.

use serde::Serialize;

/// Mean and standard deviation over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of the sample (divided by n - 1); none for one value.
    pub std: Option<f64>,
}

impl Spread {
    /// That of some values; none without any.
    ///
    /// ```
    /// use resnet::experiment::Spread;
    /// let spread = Spread::of(&[6.0, 8.0, 7.0]).unwrap();
    /// assert_eq!((spread.mean, spread.std), (7.0, Some(1.0)));
    /// ```
    pub fn of(values: &[f64]) -> Option<Spread> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let std = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        (!values.is_empty()).then_some(Spread { mean, std })
    }
}

/// A difference between means over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// In percentage points.
    pub points: f64,
    /// The pooled standard deviation of the two samples; none unless both have two seeds or more.
    pub std: Option<f64>,
}

impl Difference {
    /// One mean minus another, each with its number of seeds.
    pub(super) fn new((one, seeds): (Spread, usize), (other, others): (Spread, usize)) -> Self {
        let squares = |spread: Spread, seeds: usize| Some(spread.std?.powi(2) * (seeds - 1) as f64);
        let squares = squares(one, seeds).zip(squares(other, others));
        let freedom = (seeds + others) as f64 - 2.0;
        Difference {
            points: one.mean - other.mean,
            std: squares.map(|(one, other)| ((one + other) / freedom).sqrt()),
        }
    }

    /// How many standard deviations it is, if that is known.
    pub fn deviations(&self) -> Option<f64> {
        self.std.filter(|&std| std > 0.0).map(|std| self.points.abs() / std)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_measured_by_the_pooled_deviation() {
        // Variances of 1 and 4, each with two degrees of freedom.
        let errors = [[12.0, 13.0, 14.0], [20.0, 22.0, 24.0]];
        let [one, other] = errors.map(|errors| Spread::of(&errors).unwrap());
        let found = Difference::new((one, 3), (other, 3));
        assert_eq!((found.points, found.std), (-9.0, Some(2.5f64.sqrt())));
        assert!((found.deviations().unwrap() - 9.0 / 2.5f64.sqrt()).abs() < 1e-12);
        // One seed has no spread to measure by, nor have equal runs.
        let alone = Spread::of(&[12.0]).unwrap();
        assert_eq!(Difference::new((alone, 1), (other, 3)).std, None);
        assert_eq!(Difference { points: 1.0, std: Some(0.0) }.deviations(), None);
    }
}
