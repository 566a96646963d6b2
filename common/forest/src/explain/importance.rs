//! How much each feature matters to a model as a whole, as the file's library counts it.

use crate::model::{Model, Tree};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportanceKind {
    /// What splits on the feature gained. XGBoost: `total_gain`; LightGBM: `gain`; scikit-learn: `feature_importances_`, which
    /// sum to 1. Of `HistGradientBoosting`, which has none in scikit-learn, the sum over its splits.
    Gain,
    /// How many splits ask the feature. XGBoost: `weight`; LightGBM: `split`. Of an oblivious tree each node counts, not
    /// each level.
    Splits,
}

impl Model {
    /// A number for each feature; `None` if the file does not say what splits gained (CatBoost, ONNX), or they are drawn by lot
    /// (`IsolationForest`). Columns made from a feature count for it. Of the trees that were read: see [`crate::Rounds`].
    pub fn importance(&self, kind: ImportanceKind) -> Option<Vec<f64>> {
        let says_gain = |tree: &Tree| tree.leaves() == 1 || !tree.gain().is_empty();
        let gain = kind == ImportanceKind::Gain;
        if gain && !(self.trees().iter().any(|tree| !tree.gain().is_empty()) && self.trees().iter().all(says_gain)) {
            return None;
        }
        let (library, class) = (self.source().library.as_str(), self.source().class.as_str());
        if gain && library == "scikit-learn" && !class.starts_with("HistGradientBoosting") {
            return (class != "IsolationForest").then(|| self.normalised());
        }
        // LightGBM counts no split that gained nothing (`GBDT::FeatureImportance`)
        let counts = |gained: f64| library != "LightGBM" || gained > 0.0;
        let mut all = vec![0.0; self.n_features()];
        for tree in self.trees() {
            self.add(tree, &mut all, |gained| match kind {
                ImportanceKind::Gain if counts(gained) => gained,
                ImportanceKind::Splits if counts(gained) || tree.gain().is_empty() => 1.0,
                _ => 0.0,
            });
        }
        Some(all)
    }

    /// Adds what each split of a tree counts to its feature.
    fn add(&self, tree: &Tree, to: &mut [f64], counts: impl Fn(f64) -> f64) {
        let gains = tree.gain().iter().copied().chain(std::iter::repeat(0.0));
        for (node, gain) in tree.nodes().iter().zip(gains) {
            let crate::model::Node::Split(split) = node else { continue };
            let prepared = self.columns().get(split.column as usize);
            let feature = prepared.map_or(split.column, |column| column.feature);
            if let Some(to) = to.get_mut(feature as usize) {
                *to += counts(gain);
            }
        }
    }

    /// As scikit-learn does (`_tree.pyx`, `_forest.py`, `_gb.py`): the mean over the trees that have a split, then shares of
    /// all. A forest's tree counts as shares of its own, a boosted one by the fraction of rows at its root.
    fn normalised(&self) -> Vec<f64> {
        let boosted = self.source().class.starts_with("GradientBoosting");
        let mut all = vec![0.0; self.n_features()];
        for tree in self.trees().iter().filter(|tree| tree.leaves() > 1) {
            let mut own = vec![0.0; self.n_features()];
            self.add(tree, &mut own, |gain| gain);
            let total = if boosted { tree.cover().first().copied().unwrap_or(0.0) } else { own.iter().sum() };
            if total > 0.0 {
                all.iter_mut().zip(own).for_each(|(all, own)| *all += own / total);
            }
        }
        let total: f64 = all.iter().sum();
        if total > 0.0 {
            all.iter_mut().for_each(|share| *share /= total);
        }
        all
    }
}
