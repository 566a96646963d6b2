//! What of a row's answer is asked. A worker computes nothing else.

/// A set of kinds, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Asked(u8);

impl Asked {
    /// The probabilities of a classifier, the values of a regressor, the score of an outlier detector.
    pub const VALUES: Self = Self(1);
    /// Of each output of a classifier the predicted class.
    pub const LABELS: Self = Self(2);
    /// What the trees sum to, before it becomes a value.
    pub const MARGINS: Self = Self(4);
    /// Of each tree the leaf that the row ends in.
    pub const LEAVES: Self = Self(8);
    /// Of each margin what each feature contributed, and the base.
    pub const CONTRIBUTIONS: Self = Self(16);
    /// What is asked unless anything is said.
    pub const DEFAULT: Self = Self(1 | 2);

    /// Of the layout's byte.
    pub fn from_bits(bits: u8) -> Option<Self> {
        (bits != 0 && bits < 32).then_some(Self(bits))
    }

    /// The layout's byte.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is asked.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Default for Asked {
    fn default() -> Self {
        Self::DEFAULT
    }
}
