//! Gauss-Legendre quadrature over [0, 1]: with `n` points it integrates polynomials of a degree below `2n` exactly.

/// Points that a kernel takes at once.
pub(super) const MOST: usize = 8;

/// The points of a rule, in runs of one length.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// Of each run: 1 to 6, or 8.
    pub(super) run: usize,
    pub(super) runs: Vec<Points>,
}

/// The first [`Rule::run`] of each are meant.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Points {
    /// In (0, 1).
    pub(super) at: [f64; MOST],
    /// One less that.
    pub(super) rest: [f64; MOST],
    pub(super) weights: [f64; MOST],
}

impl Rule {
    /// Exact for products of so many linear factors.
    pub(super) fn new(factors: usize) -> Self {
        let needed = (factors / 2 + 1).max(1);
        let count = needed.div_ceil(MOST);
        let run = match needed.div_ceil(count) {
            7 => 8,
            run => run,
        };
        let mut rest = legendre(run * count).into_iter();
        let runs = (0..count).map(|_| Points::of(rest.by_ref().take(run))).collect();
        Self { run, runs }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.runs)
    }
}

impl Points {
    fn of(points: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut all = Self { at: [0.5; MOST], rest: [0.5; MOST], weights: [0.0; MOST] };
        let places = all.at.iter_mut().zip(&mut all.rest).zip(&mut all.weights);
        for (((at, rest), to), (x, weight)) in places.zip(points) {
            *at = 0.5 + 0.5 * x;
            *rest = 0.5 - 0.5 * x;
            *to = 0.5 * weight;
        }
        all
    }
}

/// The roots of the Legendre polynomial of degree `n`, by Newton's method, each with its weight over [-1, 1].
fn legendre(n: usize) -> Vec<(f64, f64)> {
    let mut points = vec![(0.0, 0.0); n];
    for near in 0..n.div_ceil(2) {
        let mut x = (std::f64::consts::PI * (near as f64 + 0.75) / (n as f64 + 0.5)).cos();
        let mut slope = 1.0;
        // it doubles the digits each time
        for _ in 0..8 {
            let (value, before) = polynomials(n, x);
            slope = n as f64 * (x * value - before) / (x * x - 1.0);
            x -= value / slope;
        }
        let weight = 2.0 / ((1.0 - x * x) * slope * slope);
        if let Some(point) = points.get_mut(near) {
            *point = (-x, weight);
        }
        if let Some(point) = points.get_mut(n - 1 - near) {
            *point = (x, weight);
        }
    }
    points
}

/// Those of degree `n` and `n - 1`.
fn polynomials(n: usize, x: f64) -> (f64, f64) {
    (1..=n).fold((1.0, 0.0), |(last, before), degree| {
        let degree = degree as f64;
        (((2.0 * degree - 1.0) * x * last - (degree - 1.0) * before) / degree, last)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_integrates_powers_exactly() {
        for factors in (0..40).chain([100, 257, 1000]) {
            let rule = Rule::new(factors);
            for power in [0, factors / 3, factors / 2, factors] {
                let power = i32::try_from(power).unwrap();
                let points = rule.runs.iter().flat_map(|of| of.at.iter().zip(&of.weights).take(rule.run));
                let found: f64 = points.map(|(at, weight)| at.powi(power) * weight).sum();
                let expected = 1.0 / f64::from(power + 1);
                assert!((found - expected).abs() < 1e-14 * f64::from(power + 10), "{factors}, {power}: {found}");
            }
        }
    }
}
