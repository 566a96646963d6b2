//! Which XGBoost made a file: its rules changed with it.

use crate::error::Error;

/// The newest whose rules are known by heart.
const NEWEST: Version = Version { major: 3, minor: 4, patch: i32::MAX };

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    major: i32,
    minor: i32,
    patch: i32,
}

impl Version {
    /// From the three numbers of `version`.
    pub(super) fn new(numbers: &[i32]) -> Result<Self, Error> {
        if let [major, minor, patch] = *numbers {
            let version = Self { major, minor, patch };
            if version.since(1, 0, 0) && version <= NEWEST {
                return Ok(version);
            }
        }
        let made: Vec<String> = numbers.iter().take(3).map(ToString::to_string).collect();
        let known = format!("this reader knows 1.0 to {}.{}", NEWEST.major, NEWEST.minor);
        let advice = "load the model in one of these and save it again, or take a newer arborgate";
        Err(Error::content("", None, format!("made by XGBoost {}; {known}; {advice}", made.join("."))))
    }

    fn since(self, major: i32, minor: i32, patch: i32) -> bool {
        self >= Self { major, minor, patch }
    }

    /// Trees are added to the base margin; before, the base margin was added to the sum of the trees
    /// (`PredValue` in `cpu_predictor.cc`, and in `gbtree.cc` for DART).
    pub(super) fn sums_from_base(self, dart: bool) -> bool {
        self.since(1, if dart { 4 } else { 3 }, 0)
    }

    /// The base score of `binary:logitraw` is a margin; before, a probability as that of `binary:logistic`.
    pub(super) fn has_raw_base(self) -> bool {
        self.since(1, 3, 1)
    }

    /// DART multiplies a leaf by its tree's weight; before, it first added the leaf to 0, which makes 0 of −0.
    pub(super) fn weighs_leaves(self) -> bool {
        self.since(3, 3, 0)
    }

    /// The logistic function keeps clear of an overflow (`common/math.h`).
    pub(super) fn has_clamped_sigmoid(self) -> bool {
        self.since(1, 6, 0)
    }

    /// A category that is in no set goes left. Before, sets were made on GPUs only, or followed the direction of what is
    /// missing (`common/categorical.h`).
    pub(super) fn has_stable_categories(self) -> bool {
        self.since(1, 7, 3)
    }

    /// A base score of 0 or 1 is moved inwards (`regression_loss.h`).
    pub(super) fn has_clamped_base(self) -> bool {
        self.since(3, 2, 0)
    }

    /// Expectiles are given as what each is above the one before (`regression_obj.cu`).
    pub(super) fn has_expectiles(self) -> bool {
        self.since(3, 3, 0)
    }

    /// Names of categories are cut by bytes. Before, the Python package cut them by characters, so that one beyond ASCII
    /// damages all that follow (`_data_utils.py`).
    pub(super) fn has_whole_categories(self) -> bool {
        self.since(3, 4, 0)
    }

    /// A row's quantiles are sorted (`quantile_obj.cu`).
    pub(super) fn sorts_quantiles(self) -> bool {
        self.since(3, 4, 0)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_it_knows() {
        for known in [[1, 0, 0], [1, 7, 6], [2, 1, 4], [3, 4, 99]] {
            Version::new(&known).unwrap();
        }
        for unknown in [&[0, 90, 0][..], &[3, 5, 0], &[4, 0, 0], &[1, 0], &[1, 0, 0, 0], &[], &[1, -1, 0], &[-1, 7, 0]]
        {
            assert!(Version::new(unknown).is_err(), "{unknown:?}");
        }
    }
}
