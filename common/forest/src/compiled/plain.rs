//! The trees as they are, walked one row and one split at a time. It can do whatever a [`Model`] can say, and is what the
//! faster forms are held against.

use crate::model::{CategoryRule, Input, Model, Node, Precision, Split, Test, Tree};

/// LightGBM's `kZeroThreshold`, an `f32` widened.
pub(crate) const ZERO: f64 = 1e-35_f32 as f64;

/// All trees.
#[derive(Debug, Clone)]
pub(crate) struct Plain {
    trees: Vec<Tree>,
    input: Input,
    margins: usize,
}

impl Plain {
    pub(crate) fn new(model: &Model) -> Self {
        Self { trees: model.trees().to_vec(), input: model.input(), margins: model.n_margins() }
    }

    pub(crate) fn bytes(&self) -> usize {
        let tree = |tree: &Tree| size_of_val(tree.nodes()) + size_of_val(tree.values()) + size_of_val(tree.labels());
        self.trees.iter().map(tree).sum()
    }

    pub(crate) fn leaf_bytes(&self) -> usize {
        self.trees.iter().map(|tree| size_of_val(tree.values()) + size_of_val(tree.labels())).sum()
    }

    /// Calls `found` with each tree's target, its leaf's numbers and its leaf's labels, in the trees' order. `row` has the
    /// columns' numbers, before the cast.
    pub(crate) fn leaves<'p>(&'p self, row: &[f64], mut found: impl FnMut(Option<usize>, &[f64], &'p [u32])) {
        for tree in &self.trees {
            let leaf = self.walk(tree, row);
            let labels = tree.labels().len() / tree.leaves().max(1);
            let labels = tree.labels().get(leaf * labels..(leaf + 1) * labels).unwrap_or_default();
            let each = if tree.target().is_some() { 1 } else { self.margins };
            let values = tree.values().get(leaf * each..(leaf + 1) * each).unwrap_or_default();
            match linear(tree, leaf, row) {
                Some(value) => found(tree.target(), &[value], labels),
                None => found(tree.target(), values, labels),
            }
        }
    }

    fn walk(&self, tree: &Tree, row: &[f64]) -> usize {
        let mut at = 0_u32;
        loop {
            match tree.nodes().get(at as usize) {
                Some(Node::Split(split)) => {
                    let x = row.get(split.column as usize).copied().unwrap_or(f64::NAN);
                    at = if goes_left(self.input, tree, split, x) { split.left } else { split.right };
                }
                Some(Node::Leaf(leaf)) => return *leaf as usize,
                // a tree's children are there: `Tree::new` checked it
                None => return 0,
            }
        }
    }
}

/// Where a number goes.
#[expect(clippy::cast_possible_truncation, reason = "the casts are the libraries'")]
fn goes_left(input: Input, tree: &Tree, split: &Split, x: f64) -> bool {
    match split.test {
        Test::AtMost(threshold) => {
            let x = if input.precision == Precision::Single { f64::from(x as f32) } else { x };
            if x.is_nan() || (split.zero_is_missing && x.abs() <= ZERO) { split.missing_left } else { x <= threshold }
        }
        Test::OneOf(_) if x.is_nan() => split.missing_left,
        Test::OneOf(set) => {
            let set = tree.sets().get(set as usize).map(Vec::as_slice).unwrap_or_default();
            category(input.category, x).is_some_and(|category| set.binary_search(&category).is_ok())
        }
    }
}

/// The category that a number is, if it is one.
#[expect(clippy::cast_possible_truncation, reason = "the casts are the libraries'")]
pub(crate) fn category(rule: CategoryRule, x: f64) -> Option<i64> {
    match rule {
        CategoryRule::Whole => (x.trunc() == x && x.abs() < 9e18).then_some(x as i64),
        CategoryRule::Truncated32 => {
            let x = x as f32;
            (0.0..9e18).contains(&x).then_some(x as i64)
        }
        CategoryRule::Truncated64 => (x > -1.0 && x < 2_147_483_648.0).then_some(x as i64),
    }
}

/// The value of a leaf that is a linear function, unless what it asks for is missing.
fn linear(tree: &Tree, leaf: usize, row: &[f64]) -> Option<f64> {
    let linear = tree.linear().get(leaf)?;
    let mut sum = linear.constant;
    for (column, coefficient) in &linear.terms {
        let x = row.get(*column as usize).copied().unwrap_or(f64::NAN);
        if x.is_nan() {
            return None;
        }
        sum += coefficient * x;
    }
    Some(sum)
}
