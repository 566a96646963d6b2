//! One tree: arrays with a number for each node (`src/tree/tree_model.cc`, `multi_target_tree_model.cc`).

use super::document::{Document, Kind};
use crate::error::{Error, quote};
use crate::limits::Limits;
use crate::model::{Node, Split, Test, TreeParts};

/// What `left_children` says of a leaf.
const LEAF: i32 = -1;
/// What `split_indices` says of a node that was pruned and is no part of the tree (`kDeletedNodeMarker`).
const DELETED: i32 = i32::MAX;
/// From here on a category is none (`OutOfRangeCat` in `src/common/categorical.h`).
const MAX_CATEGORY: i32 = 16_777_216;

/// A tree whose target stands elsewhere in the file.
#[derive(Debug)]
pub(super) struct RawTree {
    pub(super) parts: TreeParts,
    /// Numbers a leaf.
    pub(super) each: usize,
    /// Columns that its categorical splits ask.
    pub(super) categorical: Vec<u32>,
}

/// The arrays as they stand in the file; kept from tree to tree.
#[derive(Debug, Default)]
pub(super) struct Arrays {
    left: Vec<i32>,
    right: Vec<i32>,
    feature: Vec<i32>,
    condition: Vec<f32>,
    default_left: Vec<u8>,
    gain: Vec<f32>,
    cover: Vec<f32>,
    /// Of leaves that have several numbers: by node before 3.2, by leaf since.
    weights: Vec<f32>,
    split_type: Vec<u8>,
    categories: Vec<i32>,
    categorical: Vec<i32>,
    begins: Vec<i32>,
    sizes: Vec<i32>,
}

/// What stands beside the arrays.
#[derive(Default)]
struct Facts {
    nodes: Option<usize>,
    deleted: Option<usize>,
    /// Numbers a leaf.
    each: usize,
    id: Option<i64>,
    by_leaf: bool,
    /// Where `base_weights` stand, which are seldom needed.
    base_weights: Option<usize>,
}

impl Arrays {
    /// The tree where the document stands, which is number `number`.
    pub(super) fn read<'b, D: Document<'b>>(
        &mut self,
        document: &mut D,
        number: usize,
        limits: &Limits,
    ) -> Result<RawTree, Error> {
        self.clear();
        let mut facts = Facts::default();
        document.object(&mut |document, key| self.member(document, key, &mut facts))?;
        if facts.id.is_some_and(|id| usize::try_from(id) != Ok(number)) {
            return Err(document.wrong("has an `id` that is not its place among the trees"));
        }
        let count = self.left.len();
        if count > limits.max_nodes {
            return Err(Error::limit("nodes of all trees", limits.max_nodes));
        }
        if facts.each > 1 && !facts.by_leaf {
            let (here, Some(weights)) = (document.position(), facts.base_weights) else {
                return Err(document.wrong("has no `base_weights`, which hold the leaves"));
            };
            document.seek(weights);
            document.floats(&mut self.weights)?;
            document.seek(here);
        }
        self.check(&facts).map_err(|message| document.wrong(message))?;
        self.tree(&facts).map_err(|fault| match fault {
            Fault::Node(node, message) => Error::tree(u32::try_from(node).unwrap_or(u32::MAX), message),
            Fault::Tree(message) => document.wrong(message),
        })
    }

    fn clear(&mut self) {
        let Self { left, right, feature, condition, default_left, gain, cover, weights, .. } = self;
        [left, right, feature].into_iter().for_each(Vec::clear);
        [condition, gain, cover, weights].into_iter().for_each(Vec::clear);
        default_left.clear();
        self.split_type.clear();
        let Self { categories, categorical, begins, sizes, .. } = self;
        [categories, categorical, begins, sizes].into_iter().for_each(Vec::clear);
    }

    fn member<'b, D: Document<'b>>(&mut self, document: &mut D, key: &str, facts: &mut Facts) -> Result<(), Error> {
        match key {
            "left_children" => document.ints(&mut self.left),
            "right_children" => document.ints(&mut self.right),
            "split_indices" => document.ints(&mut self.feature),
            "split_conditions" => document.floats(&mut self.condition),
            "default_left" => document.ints(&mut self.default_left),
            "loss_changes" => document.floats(&mut self.gain),
            "sum_hessian" => document.floats(&mut self.cover),
            "split_type" => document.ints(&mut self.split_type),
            "categories" => document.ints(&mut self.categories),
            "categories_nodes" => document.ints(&mut self.categorical),
            "categories_segments" => document.ints(&mut self.begins),
            "categories_sizes" => document.ints(&mut self.sizes),
            "leaf_weights" => {
                facts.by_leaf = true;
                document.floats(&mut self.weights)
            }
            "base_weights" => {
                document.expect(Kind::Array)?;
                facts.base_weights = Some(document.position());
                document.skip()
            }
            "parents" | "leaf_child_counts" => document.skip(),
            "id" => {
                facts.id = Some(document.int()?);
                Ok(())
            }
            "tree_param" => document.object(&mut |document, key| {
                match &**key {
                    "num_nodes" => facts.nodes = Some(document.count()?),
                    "num_deleted" => facts.deleted = Some(document.count()?),
                    "size_leaf_vector" => facts.each = document.count()?,
                    _ => document.skip()?,
                }
                Ok(())
            }),
            _ => Err(document.wrong(format!("`{}` is no part of a tree that is known here", quote(key)))),
        }
    }

    /// That the arrays are of one length.
    fn check(&self, facts: &Facts) -> Result<(), String> {
        let count = self.left.len();
        if count == 0 {
            return Err("has no nodes".to_owned());
        }
        let vector = facts.each > 1;
        let optional = |length: usize| if length == 0 { count } else { length };
        // trees whose leaves have several numbers have no gain and no cover before 3.2
        let statistic = |length: usize| if vector { optional(length) } else { length };
        let lengths = [
            ("tree_param.num_nodes", facts.nodes.unwrap_or(0)),
            ("right_children", self.right.len()),
            ("split_indices", self.feature.len()),
            ("split_conditions", self.condition.len()),
            ("default_left", self.default_left.len()),
            ("split_type", optional(self.split_type.len())),
            ("loss_changes", statistic(self.gain.len())),
            ("sum_hessian", statistic(self.cover.len())),
        ];
        if let Some((name, length)) = lengths.into_iter().find(|(_, length)| *length != count) {
            return Err(format!("`{name}` is of {length} where there are {count} nodes"));
        }
        let leaves = self.left.iter().filter(|left| **left == LEAF).count();
        let rows = if facts.by_leaf { leaves } else { count };
        if vector && Some(self.weights.len()) != rows.checked_mul(facts.each) {
            return Err(format!("holds {} numbers for leaves of {} each", self.weights.len(), facts.each));
        }
        Ok(())
    }

    fn tree(&self, facts: &Facts) -> Result<RawTree, Fault> {
        let mut parts = TreeParts { sets: self.sets()?, ..TreeParts::default() };
        let mut categorical = Vec::new();
        let places = self.places(facts)?;
        let each = facts.each.max(1);
        let kept = places.kept();
        parts.nodes.reserve_exact(kept);
        let mut set = 0;
        for (at, place) in places.iter(self.left.len()) {
            if place.is_none() {
                continue;
            }
            if self.left.get(at) == Some(&LEAF) {
                let leaf =
                    u32::try_from(parts.values.len() / each).map_err(|_| Fault::Tree("has too many leaves".into()))?;
                parts.nodes.push(Node::Leaf(leaf));
                self.leaf(at, each, facts.by_leaf, &mut parts.values)?;
                continue;
            }
            let is_set = self.split_type.get(at) == Some(&1);
            let split = self.split(at, is_set.then_some(set), &places)?;
            if is_set {
                set += 1;
                categorical.push(split.column);
            }
            parts.nodes.push(Node::Split(split));
        }
        if set as usize != parts.sets.len() {
            return Err(Fault::Tree("`categories_nodes` names nodes that have no categorical split".to_owned()));
        }
        let widened = |numbers: &[f32]| -> Vec<f64> {
            let of = |(number, place): (&f32, Option<u32>)| place.map(|_| f64::from(*number));
            numbers.iter().zip(places.iter(numbers.len()).map(|(_, place)| place)).filter_map(of).collect()
        };
        parts.gain = widened(&self.gain);
        parts.cover = widened(&self.cover);
        Ok(RawTree { parts, each, categorical })
    }

    /// The numbers of a leaf.
    fn leaf(&self, at: usize, each: usize, by_leaf: bool, out: &mut Vec<f64>) -> Result<(), Fault> {
        let found = if each == 1 {
            self.condition.get(at..=at)
        } else {
            let number = if by_leaf { self.right.get(at).map(|leaf| usize::try_from(*leaf)) } else { Some(Ok(at)) };
            match number {
                Some(Ok(number)) => {
                    number.checked_mul(each).and_then(|from| self.weights.get(from..from.checked_add(each)?))
                }
                _ => None,
            }
        };
        let found = found.ok_or_else(|| Fault::Node(at, format!("is a leaf without its {each} numbers")))?;
        if !found.iter().all(|value| value.is_finite()) {
            return Err(Fault::Node(at, "is a leaf whose value is no finite number; did training diverge?".to_owned()));
        }
        out.extend(found.iter().map(|value| f64::from(*value)));
        Ok(())
    }

    /// `x < condition` goes left; a category of the set goes right.
    fn split(&self, at: usize, set: Option<u32>, places: &Places) -> Result<Split, Fault> {
        let fault = |message: &str| Fault::Node(at, message.to_owned());
        let (Some(left), Some(right)) = (self.left.get(at), self.right.get(at)) else {
            return Err(fault("has no children"));
        };
        // XGBoost takes the node after the left child for the right one
        if left.checked_add(1) != Some(*right) {
            return Err(fault("has children that do not stand side by side, as XGBoost writes and needs them"));
        }
        let place = |child: i32| {
            let child = usize::try_from(child).ok().and_then(|child| places.get(child, self.left.len()));
            child.ok_or_else(|| fault("has a child that is not there"))
        };
        let (left, right) = (place(*left)?, place(*right)?);
        let column = self.feature.get(at).and_then(|feature| u32::try_from(*feature).ok());
        let column = column.ok_or_else(|| fault("splits on a feature that is none"))?;
        let default_left = self.default_left.get(at) == Some(&1);
        let condition = self.condition.get(at).copied().unwrap_or(f32::NAN);
        let swapped = |test| Split {
            column,
            test,
            left: right,
            right: left,
            missing_left: !default_left,
            zero_is_missing: false,
        };
        match set {
            Some(set) => Ok(swapped(Test::OneOf(set))),
            None if condition.is_nan() => Err(fault("has NaN as its threshold")),
            // nothing is below, so all go right
            None if condition == f32::NEG_INFINITY => Ok(swapped(Test::AtMost(f64::INFINITY))),
            None => Ok(Split {
                column,
                test: Test::AtMost(f64::from(condition.next_down())),
                left,
                right,
                missing_left: default_left,
                zero_is_missing: false,
            }),
        }
    }

    /// The sets of the categorical splits, in the order of the nodes. Each category in the file is used once.
    fn sets(&self) -> Result<Vec<Vec<i64>>, Fault> {
        let fault = |message: &str| Fault::Tree(format!("`categories` {message}"));
        if self.begins.len() != self.categorical.len() || self.sizes.len() != self.categorical.len() {
            return Err(fault("are not divided as their nodes, segments and sizes say"));
        }
        let typed = (0_i32..).zip(&self.split_type).filter(|(_, kind)| **kind == 1).map(|(at, _)| at);
        if !typed.eq(self.categorical.iter().copied()) || self.split_type.iter().any(|kind| *kind > 1) {
            return Err(fault("and `split_type` do not name the same nodes"));
        }
        let mut rest = self.categories.as_slice();
        let mut sets = Vec::with_capacity(self.categorical.len());
        for (begin, size) in self.begins.iter().zip(&self.sizes) {
            let is_next = usize::try_from(*begin) == Ok(self.categories.len() - rest.len());
            let size = usize::try_from(*size).ok().filter(|size| is_next && *size > 0);
            let (own, after) = size
                .and_then(|size| rest.split_at_checked(size))
                .ok_or_else(|| fault("do not follow on one another, or a set is empty"))?;
            if own.iter().any(|category| !(0..MAX_CATEGORY).contains(category)) {
                return Err(fault("hold a number that is no category"));
            }
            sets.push(own.iter().map(|category| i64::from(*category)).collect());
            rest = after;
        }
        if rest.is_empty() { Ok(sets) } else { Err(fault("belong in part to no node")) }
    }

    /// Pruning leaves deleted nodes between the others.
    fn places(&self, facts: &Facts) -> Result<Places, Fault> {
        let deleted = self.feature.iter().filter(|feature| **feature == DELETED).count();
        if facts.deleted.is_some_and(|count| count != deleted) {
            return Err(Fault::Tree("`tree_param.num_deleted` is not how many nodes are marked as deleted".to_owned()));
        }
        if deleted == 0 {
            return Ok(Places::Same(self.left.len()));
        }
        let mut next = 0;
        let place = |feature: &i32| {
            (*feature != DELETED).then(|| {
                next += 1;
                next - 1
            })
        };
        Ok(Places::Moved(self.feature.iter().map(place).collect()))
    }
}

/// What is wrong, and where.
enum Fault {
    Node(usize, String),
    Tree(String),
}

/// Where nodes of the file stand in the tree.
enum Places {
    /// As in the file, so many.
    Same(usize),
    /// Without those that were deleted.
    Moved(Vec<Option<u32>>),
}

impl Places {
    fn get(&self, at: usize, count: usize) -> Option<u32> {
        match self {
            Self::Same(_) => u32::try_from(at).ok().filter(|_| at < count),
            Self::Moved(places) => places.get(at).copied().flatten(),
        }
    }

    fn iter(&self, count: usize) -> impl Iterator<Item = (usize, Option<u32>)> + '_ {
        (0..count).map(move |at| (at, self.get(at, count)))
    }

    fn kept(&self) -> usize {
        match self {
            Self::Same(count) => *count,
            Self::Moved(places) => places.iter().flatten().count(),
        }
    }
}
