//! What a file may cost, at most, and what of it is wanted.

/// Bounds on reading a model. All are checked before the memory they stand for is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file once decompressed.
    pub max_bytes: usize,
    /// Trees of an ensemble.
    pub max_trees: usize,
    /// Nodes of all trees together, leaves included.
    pub max_nodes: usize,
    /// Splits between a root and its deepest leaf.
    pub max_depth: usize,
    /// Classes of one output.
    pub max_classes: usize,
    /// Outputs of a model.
    pub max_outputs: usize,
    /// Columns of the input.
    pub max_features: usize,
    /// Bytes of one name or text label.
    pub max_text: usize,
    /// Values on a pickle's stack at one time.
    pub max_pickle_stack: usize,
    /// Objects that a pickle makes.
    pub max_pickle_objects: usize,
}

impl Default for Limits {
    /// Far above what people serve, far below what hurts.
    fn default() -> Self {
        Self {
            max_bytes: 1 << 30,
            max_trees: 100_000,
            max_nodes: 32_000_000,
            max_depth: 4_096,
            max_classes: 10_000,
            max_outputs: 1_000,
            max_features: 100_000,
            max_text: 1_024,
            max_pickle_stack: 65_536,
            max_pickle_objects: 16_000_000,
        }
    }
}

/// How a file is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// What it may cost.
    pub limits: Limits,
    /// How many of a boosted model's rounds are taken.
    pub rounds: Rounds,
}

/// Which rounds of a model that stopped early predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rounds {
    /// As the file's own library does after loading it the way that it was saved: XGBoost's scikit-learn wrapper stops at the
    /// best round, its `Booster` does not.
    #[default]
    AsSaved,
    /// Up to the best round, if the file names one.
    Best,
    /// All that are in the file.
    All,
}

impl From<Limits> for Options {
    fn from(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }
}
