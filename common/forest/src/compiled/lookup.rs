//! From numbers to ranks. A model compares a column with few distinct thresholds, so that a number's place among them, its
//! rank, answers every comparison: `x <= keys[i]` is `rank(x) <= i`. Categories are ranked by their place in a list.

use super::plain::{ZERO, category};
use crate::model::{CategoryRule, Precision};

/// The rank of NaN.
pub(crate) const MISSING: u16 = u16::MAX;
/// The rank of a category that no split names.
pub(crate) const OTHER: u16 = u16::MAX - 1;
/// Keys of one lookup, at most: ranks go from 0 to this.
pub(crate) const MOST_KEYS: usize = OTHER as usize - 1;

/// One column's keys.
#[derive(Debug, Clone)]
pub(crate) struct Lookup {
    /// Of the model's columns.
    pub(crate) column: u32,
    /// Whether zero ranks as NaN does.
    pub(crate) zero_is_missing: bool,
    pub(crate) keys: Keys,
}

/// Ascending, each once.
#[derive(Debug, Clone)]
pub(crate) enum Keys {
    Single(Sorted<f32>),
    Double(Sorted<f64>),
    Categories(CategoryRule, Vec<i64>),
}

/// Keys padded with infinities to one less than a power of two, for a search without branches.
#[derive(Debug, Clone)]
pub(crate) struct Sorted<T> {
    padded: Vec<T>,
    /// Steps of a search: the padded length is `2^steps - 1`.
    steps: u32,
    len: usize,
}

/// What can be searched.
pub(crate) trait Key: Copy + PartialOrd {
    const INFINITY: Self;
}

impl Key for f32 {
    const INFINITY: Self = Self::INFINITY;
}

impl Key for f64 {
    const INFINITY: Self = Self::INFINITY;
}

impl<T: Key> Sorted<T> {
    /// `keys` ascend and are none of them NaN.
    pub(crate) fn new(mut keys: Vec<T>) -> Self {
        let len = keys.len();
        let steps = usize::BITS - len.leading_zeros();
        keys.resize((1 << steps) - 1, T::INFINITY);
        keys.shrink_to_fit();
        Self { padded: keys, steps, len }
    }

    pub(crate) fn padded(&self) -> &[T] {
        &self.padded
    }

    /// The keys alone.
    pub(crate) fn ascending(&self) -> &[T] {
        self.padded.get(..self.len).unwrap_or_default()
    }

    pub(crate) fn steps(&self) -> u32 {
        self.steps
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many keys are below `x`; 0 for NaN.
    #[inline(always)]
    pub(crate) fn rank(&self, x: T) -> u16 {
        let mut below = 0;
        for step in (0..self.steps).rev().map(|step| 1_usize << step) {
            // the padded length is one less than twice the first step, so this is always there
            let passed = self.padded.get(below + step - 1).is_some_and(|key| *key < x);
            below += if passed { step } else { 0 };
        }
        below as u16
    }
}

impl Lookup {
    /// Whether a number counts as missing.
    #[inline(always)]
    pub(crate) fn is_missing(&self, x: f64) -> bool {
        x.is_nan() || (self.zero_is_missing && x.abs() <= ZERO)
    }

    /// The rank of a column's number, before any cast.
    #[expect(clippy::cast_possible_truncation, reason = "the cast is the library's")]
    #[inline(always)]
    pub(crate) fn rank(&self, x: f64) -> u16 {
        if self.is_missing(x) {
            return MISSING;
        }
        match &self.keys {
            Keys::Single(keys) => keys.rank(x as f32),
            Keys::Double(keys) => keys.rank(x),
            Keys::Categories(rule, keys) => {
                let place = category(*rule, x).and_then(|category| keys.binary_search(&category).ok());
                place.map_or(OTHER, |place| place as u16)
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.keys {
            Keys::Single(keys) => size_of_val(keys.padded()),
            Keys::Double(keys) => size_of_val(keys.padded()),
            Keys::Categories(_, keys) => size_of_val(keys.as_slice()),
        }
    }

    /// Of thresholds as the model has them; `None` if there are too many.
    pub(crate) fn numeric(
        column: u32,
        zero_is_missing: bool,
        precision: Precision,
        thresholds: &[f64],
    ) -> Option<Self> {
        let keys = match precision {
            Precision::Single => Keys::Single(Sorted::new(ascending(thresholds.iter().map(|t| round_down(*t))))),
            Precision::Double => Keys::Double(Sorted::new(ascending(thresholds.iter().copied()))),
        };
        let lookup = Self { column, zero_is_missing, keys };
        (lookup.len() <= MOST_KEYS).then_some(lookup)
    }

    pub(crate) fn len(&self) -> usize {
        match &self.keys {
            Keys::Single(keys) => keys.len(),
            Keys::Double(keys) => keys.len(),
            Keys::Categories(_, keys) => keys.len(),
        }
    }

    /// Which `i` makes `rank(x) <= i` the same as `x <= threshold`; `threshold` is one that the lookup was made of.
    pub(crate) fn place(&self, threshold: f64) -> Option<u16> {
        let below = match &self.keys {
            Keys::Single(keys) => keys.rank(round_down(threshold)),
            Keys::Double(keys) => keys.rank(threshold),
            Keys::Categories(..) => return None,
        };
        Some(below)
    }
}

fn ascending<T: Key>(keys: impl Iterator<Item = T>) -> Vec<T> {
    let mut keys: Vec<T> = keys.collect();
    keys.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    keys.dedup_by(|a, b| a == b);
    keys
}

/// The largest `f32` that is not above `threshold`: `x <= threshold` then says the same of every `f32`.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what it is for")]
pub(crate) fn round_down(threshold: f64) -> f32 {
    let nearest = threshold as f32;
    if f64::from(nearest) > threshold { nearest.next_down() } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: &[f64] = &[
        0.1,
        -0.1,
        0.0,
        -0.0,
        1e-50,
        -1e-50,
        1e-310,
        1e300,
        -1e300,
        3.5,
        16_777_217.0,
        -16_777_217.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        3.402_823_466_385_288_6e38,
        3.9e-39,
        1e-45,
    ];

    #[test]
    fn a_rounded_threshold_says_the_same() {
        for threshold in THRESHOLDS.iter().copied() {
            let rounded = round_down(threshold);
            let near = [rounded, rounded.next_up(), rounded.next_down(), threshold as f32];
            for x in near.into_iter().chain([0.0, -0.0, f32::MAX, f32::MIN, 1e-45, -1e-45, f32::MIN_POSITIVE]) {
                assert_eq!(x <= rounded, f64::from(x) <= threshold, "{x:e} <= {threshold:e}");
            }
        }
    }

    #[test]
    fn a_rank_answers_every_comparison() {
        for precision in [Precision::Single, Precision::Double] {
            for count in 0..THRESHOLDS.len() {
                let thresholds = &THRESHOLDS[..count];
                let lookup = Lookup::numeric(0, false, precision, thresholds).unwrap();
                let near =
                    |t: &f64| [*t, t.next_up(), t.next_down(), f64::from(*t as f32), f64::from((*t as f32).next_up())];
                for x in THRESHOLDS.iter().flat_map(near) {
                    for threshold in thresholds {
                        let cast = if precision == Precision::Single { f64::from(x as f32) } else { x };
                        let place = lookup.place(*threshold).unwrap();
                        assert_eq!(
                            lookup.rank(x) <= place,
                            cast <= *threshold,
                            "{x:e} <= {threshold:e}, {precision:?}"
                        );
                    }
                }
            }
        }
    }
}
