//! One tree of the text (`Tree::Tree(const char*, …)` in `src/io/tree.cpp`; `NumericalDecision` and `CategoricalDecision` in
//! `include/LightGBM/tree.h`).

use super::lines::{Keys, Value};
use crate::error::Error;
use crate::limits::Limits;
use crate::model::{Linear, Node, Split, Test, Tree, TreeParts};

pub(super) const KEYS: &[&str] = &[
    "num_leaves",
    "num_cat",
    "split_feature",
    "split_gain",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "leaf_value",
    "leaf_weight",
    "leaf_count",
    "internal_value",
    "internal_weight",
    "internal_count",
    "cat_boundaries",
    "cat_threshold",
    "is_linear",
    "leaf_const",
    "num_features",
    "leaf_features",
    "leaf_coeff",
    "shrinkage",
];

/// `kZeroThreshold`, an `f32` widened: what lies within is 0 before anything is asked (`RowPairFunctionFromDenseMatrix`).
pub(super) const ZERO: f64 = 1e-35_f32 as f64;

/// What may still be built, of all trees together.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) nodes: usize,
    /// Members of sets of categories, which are bits in the file.
    pub(super) categories: usize,
}

/// The tree that `keys` say, which adds to margin `target`.
pub(super) fn tree(keys: &Keys<'_>, target: u32, budget: &mut Budget, limits: &Limits) -> Result<Tree, Error> {
    let num_leaves = keys.get("num_leaves")?;
    let leaves = num_leaves.count()?;
    let Some(splits) = leaves.checked_sub(1) else {
        return Err(num_leaves.fault("is 0"));
    };
    let left = budget.nodes.checked_sub(leaves + splits);
    budget.nodes = left.ok_or_else(|| Error::limit("nodes of all trees", limits.max_nodes))?;
    // before room is made for any node: a split's numbers take this much of the text
    let values = keys.get("leaf_value")?.finite(leaves)?;
    let sets = sets(keys, splits, budget)?;
    let mut nodes = Vec::with_capacity(leaves + splits);
    if splits > 0 {
        self::splits(keys, splits, sets.len(), &mut nodes)?;
    }
    nodes.extend((0..leaves).map_while(|leaf| u32::try_from(leaf).ok()).map(Node::Leaf));
    let parts = TreeParts {
        nodes,
        sets,
        target: Some(target),
        values,
        labels: Vec::new(),
        linear: linear(keys, leaves)?,
        cover: cover(keys, leaves, splits)?,
        gain: gain(keys, leaves, splits)?,
    };
    Tree::new(parts, limits)
}

/// Splits stand before leaves in [`Tree::nodes`].
fn splits(keys: &Keys<'_>, splits: usize, sets: usize, nodes: &mut Vec<Node>) -> Result<(), Error> {
    let columns = keys.get("split_feature")?.counts(splits)?;
    let of_thresholds = keys.get("threshold")?;
    let thresholds = of_thresholds.floats(splits)?;
    let of_types = keys.get("decision_type")?;
    let types = of_types.counts(splits)?;
    let (of_left, of_right) = (keys.get("left_child")?, keys.get("right_child")?);
    let children = of_left.ints(splits)?.into_iter().zip(of_right.ints(splits)?);
    for (((column, threshold), kind), (left, right)) in columns.into_iter().zip(thresholds).zip(types).zip(children) {
        let (test, missing_left, zero_is_missing) = match Kind::new(kind) {
            Some(Kind::Category) => (Test::OneOf(category_set(threshold, sets, &of_thresholds)?), false, false),
            Some(Kind::Number { default_left, missing }) => {
                let missing_left = match missing {
                    Missing::None => 0.0 <= threshold,
                    Missing::Zero | Missing::Nan => default_left,
                };
                (Test::AtMost(with_zeros_flushed(threshold)), missing_left, missing == Missing::Zero)
            }
            None => return Err(of_types.fault(format!("has {kind}, which no split of LightGBM has"))),
        };
        let left = child(left, splits, &of_left)?;
        let right = child(right, splits, &of_right)?;
        nodes.push(Node::Split(Split { column, test, left, right, missing_left, zero_is_missing }));
    }
    Ok(())
}

/// What `decision_type` says: bit 0, a category; bit 1, missing goes left; bits 2 and 3, what is missing.
enum Kind {
    Category,
    Number { default_left: bool, missing: Missing },
}

#[derive(PartialEq, Clone, Copy)]
enum Missing {
    None,
    Zero,
    Nan,
}

impl Kind {
    fn new(bits: u32) -> Option<Self> {
        let missing = match bits >> 2 {
            0 => Missing::None,
            1 => Missing::Zero,
            2 => Missing::Nan,
            _ => return None,
        };
        // a category that is missing goes right, whatever the other bits say
        Some(if bits & 1 == 1 { Self::Category } else { Self::Number { default_left: bits & 2 == 2, missing } })
    }
}

/// A threshold that asks of a number what the file's asks after the number, if within ±[`ZERO`], became 0.
fn with_zeros_flushed(threshold: f64) -> f64 {
    if (0.0..=ZERO).contains(&threshold) {
        ZERO
    } else if (-ZERO..0.0).contains(&threshold) {
        (-ZERO).next_down()
    } else {
        threshold
    }
}

/// The threshold of a category is the number of its set.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a small whole number")]
fn category_set(threshold: f64, sets: usize, value: &Value<'_>) -> Result<u32, Error> {
    if threshold.fract() == 0.0 && threshold >= 0.0 && threshold < sets as f64 {
        return Ok(threshold as u32);
    }
    Err(value.fault(format!("names set {threshold} of categories, of {sets}")))
}

/// A child is a split, or the complement of a leaf.
fn child(child: i32, splits: usize, value: &Value<'_>) -> Result<u32, Error> {
    let at = if child < 0 { usize::try_from(!child).map(|leaf| leaf + splits) } else { usize::try_from(child) };
    let most = if child < 0 { 2 * splits } else { splits - 1 };
    let at = at.ok().filter(|at| *at <= most).and_then(|at| u32::try_from(at).ok());
    at.ok_or_else(|| value.fault(format!("names {child}, of {splits} splits and {} leaves", splits + 1)))
}

/// The sets of categories, as bits of 32 to a word: set k is the words from `cat_boundaries[k]` on.
fn sets(keys: &Keys<'_>, splits: usize, budget: &mut Budget) -> Result<Vec<Vec<i64>>, Error> {
    let num_cat = keys.get("num_cat")?;
    let count = num_cat.count()?;
    if count > splits {
        return Err(num_cat.fault(format!("is {count} where there are {splits} splits")));
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    let of_bounds = keys.get("cat_boundaries")?;
    let bounds = of_bounds.counts(count + 1)?;
    if !bounds.is_sorted() || bounds.first() != Some(&0) {
        return Err(of_bounds.fault("does not ascend from 0"));
    }
    let of_words = keys.get("cat_threshold")?;
    let words = of_words.counts(bounds.last().map_or(0, |last| *last as usize))?;
    let members: usize = words.iter().map(|word| word.count_ones() as usize).sum();
    let left = budget.categories.checked_sub(members);
    budget.categories =
        left.ok_or_else(|| of_words.fault("holds more categories than a file of this size justifies"))?;
    let mut sets = Vec::with_capacity(count);
    for (from, to) in bounds.iter().zip(bounds.iter().skip(1)) {
        let words = words.get(*from as usize..*to as usize).unwrap_or_default();
        let mut set = Vec::with_capacity(words.iter().map(|word| word.count_ones() as usize).sum());
        for (at, word) in (0_i64..).zip(words) {
            set.extend((0..32).filter(|bit| word >> bit & 1 == 1).map(|bit| at * 32 + bit));
        }
        sets.push(set);
    }
    Ok(sets)
}

/// Leaves that are linear functions: all their features, then all their coefficients, leaf by leaf.
fn linear(keys: &Keys<'_>, leaves: usize) -> Result<Vec<Linear>, Error> {
    let is_linear = keys.find("is_linear").map(|value| value.is_set()).transpose()?.unwrap_or(false);
    if !is_linear {
        return Ok(Vec::new());
    }
    let constants = keys.get("leaf_const")?.finite(leaves)?;
    let of_counts = keys.get("num_features")?;
    let counts = of_counts.counts(leaves)?;
    let total = counts.iter().try_fold(0_usize, |total, count| total.checked_add(*count as usize));
    let total = total.ok_or_else(|| of_counts.fault("has too many"))?;
    let features = keys.get("leaf_features")?.counts(total)?;
    let coefficients = keys.get("leaf_coeff")?.finite(total)?;
    let mut terms = features.into_iter().zip(coefficients);
    let leaf =
        |(constant, count): (f64, u32)| Linear { constant, terms: terms.by_ref().take(count as usize).collect() };
    Ok(constants.into_iter().zip(counts).map(leaf).collect())
}

/// Rows of the training data: what `pred_contrib` weighs by (`data_count`).
fn cover(keys: &Keys<'_>, leaves: usize, splits: usize) -> Result<Vec<f64>, Error> {
    let (Some(of_splits), Some(of_leaves)) = (keys.find("internal_count"), keys.find("leaf_count")) else {
        return Ok(Vec::new());
    };
    if splits == 0 {
        // a constant; some versions write no count for it
        return Ok(Vec::new());
    }
    let of_splits = of_splits.counts(splits)?;
    let all = of_splits.into_iter().chain(of_leaves.counts(leaves)?);
    Ok(all.map(f64::from).collect())
}

fn gain(keys: &Keys<'_>, leaves: usize, splits: usize) -> Result<Vec<f64>, Error> {
    let Some(value) = keys.find("split_gain").filter(|_| splits > 0) else { return Ok(Vec::new()) };
    let mut gain = value.rough_singles(splits)?;
    gain.resize(leaves + splits, 0.0);
    Ok(gain)
}
