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
            let (_, leaf) = walk(self.input, tree.nodes(), tree.sets(), row);
            let leaf = leaf as usize;
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
}

/// Where a row ends in a tree: the node, and which leaf it is. `row` has the columns' numbers, before the cast.
pub(crate) fn walk(input: Input, nodes: &[Node], sets: &[Vec<i64>], row: &[f64]) -> (u32, u32) {
    let mut at = 0_u32;
    loop {
        match nodes.get(at as usize) {
            Some(Node::Split(split)) => {
                let x = row.get(split.column as usize).copied().unwrap_or(f64::NAN);
                at = if goes_left(input, sets, split, x) { split.left } else { split.right };
            }
            Some(Node::Leaf(leaf)) => return (at, *leaf),
            // a tree's children are there: `Tree::new` checked it
            None => return (0, 0),
        }
    }
}

/// Where a number goes. What counts as missing is decided before the cast, as [`super::Lookup::is_missing`] does.
#[expect(clippy::cast_possible_truncation, reason = "the casts are the libraries'")]
fn goes_left(input: Input, sets: &[Vec<i64>], split: &Split, x: f64) -> bool {
    match split.test {
        _ if x.is_nan() => split.missing_left,
        Test::AtMost(_) if split.zero_is_missing && x.abs() <= ZERO => split.missing_left,
        Test::AtMost(threshold) => {
            let x = if input.precision == Precision::Single { f64::from(x as f32) } else { x };
            x <= threshold
        }
        Test::OneOf(set) => {
            let set = sets.get(set as usize).map(Vec::as_slice).unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::super::Lookup;
    use super::*;

    #[test]
    fn what_the_cast_makes_zero_is_no_zero() {
        let above = ZERO.next_up();
        assert_eq!(f64::from(above as f32), ZERO);
        let input = Input { precision: Precision::Single, infinite_allowed: true, category: CategoryRule::Whole };
        let lookup = Lookup::numeric(0, true, Precision::Single, &[1.0]).unwrap();
        let test = Test::AtMost(1.0);
        let split = Split { column: 0, test, left: 1, right: 2, missing_left: false, zero_is_missing: true };
        for x in [above, ZERO, 0.0, -above, f64::NAN, 0.5] {
            assert_eq!(goes_left(input, &[], &split, x), !lookup.is_missing(x), "{x:e}");
        }
    }
}
