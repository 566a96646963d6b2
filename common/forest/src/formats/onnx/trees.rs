//! From nodes that ask and leaves that weigh to [`Tree`]s, by the rules of onnxruntime's `ml/tree_ensemble_common.h`: which
//! branch each comparison takes, where NaN goes, and chains of equalities that are one set.

use super::columns::Kind;
use crate::error::Error;
use crate::limits::Limits;
use crate::model::{Node, Split, Test, Tree, TreeParts};

/// Members up to here (and not below 0), and fewer of them, are compared as they are; others after a cast to `i32`.
const SMALL_MEMBER: f64 = 30.0;
const SMALL_COUNT: usize = 31;

/// What a node asks of its column's number; the answer is yes or no.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ask {
    AtMost(f64),
    Below(f64),
    AtLeast(f64),
    Above(f64),
    Is(f64),
    IsNot(f64),
    /// One of the members from here to there.
    OneOf(u32, u32),
}

/// A node. Children are positions among the tree's items.
#[derive(Debug, Clone, Copy)]
pub(super) enum Item {
    Split {
        column: u32,
        ask: Ask,
        yes: u32,
        no: u32,
        missing_yes: bool,
    },
    /// Its weights, from here to there.
    Leaf(u32, u32),
}

/// A leaf's weight for a target.
pub(super) type Weight = (u32, f64);

/// What trees share.
pub(super) struct Shared<'s> {
    pub(super) weights: &'s [Weight],
    /// Of sets, one after another.
    pub(super) members: &'s [f64],
}

/// Makes trees, one after another, and keeps account of them.
pub(super) struct Builder<'l> {
    pub(super) trees: Vec<Tree>,
    /// Whether any tree asks for equality or a set.
    pub(super) sets: bool,
    /// Whether any asks a number after its fraction is cut off: of column `width` + the column's own.
    pub(super) truncates: bool,
    /// For each target whether every row has a weight for it.
    pub(super) complete: Vec<bool>,
    /// Whether every leaf has a weight for every target.
    pub(super) full: bool,
    /// Whether a leaf has none.
    pub(super) empty: bool,
    limits: &'l Limits,
    kind: Kind,
    width: usize,
    targets: usize,
    nodes: usize,
    /// Numbers that may still be written.
    left: usize,
    /// For each target the leaf that named it last, and how many leaves of the tree did.
    named: Vec<(u32, u32)>,
}

impl<'l> Builder<'l> {
    /// `width` columns, so many targets, from a file of so many bytes.
    pub(super) fn new(kind: Kind, width: usize, targets: usize, size: usize, limits: &'l Limits) -> Self {
        Self {
            trees: Vec::new(),
            sets: false,
            truncates: false,
            complete: vec![false; targets],
            full: true,
            empty: false,
            limits,
            kind,
            width,
            targets,
            nodes: 0,
            left: size.saturating_mul(2),
            named: vec![(0, 0); targets],
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Adds a tree whose root is the first item.
    pub(super) fn add(&mut self, items: &[Item], shared: &Shared<'_>) -> Result<(), Error> {
        if self.trees.len() >= self.limits.max_trees {
            return Err(Error::limit("trees", self.limits.max_trees));
        }
        self.nodes = self.nodes.saturating_add(items.len());
        if self.nodes > self.limits.max_nodes {
            return Err(Error::limit("nodes of all trees", self.limits.max_nodes));
        }
        let mut parts = TreeParts { nodes: Vec::with_capacity(items.len()), ..TreeParts::default() };
        let leaves = self.nodes_of(items, shared, &mut parts)?;
        self.leaves(&leaves, shared.weights, &mut parts)?;
        self.trees.push(Tree::new(parts, self.limits)?);
        Ok(())
    }

    /// Walks once from the root; what is met twice, or never, is an error. Returns the leaves in the order met.
    fn nodes_of(
        &mut self,
        items: &[Item],
        shared: &Shared<'_>,
        parts: &mut TreeParts,
    ) -> Result<Vec<(u32, u32)>, Error> {
        let mut met = vec![false; items.len()];
        let mut leaves = Vec::with_capacity(items.len() / 2 + 1);
        // an item, and the split and side that lead to it
        let mut waiting: Vec<(u32, Option<(usize, bool)>)> = vec![(0, None)];
        while let Some((at, parent)) = waiting.pop() {
            let item = meet(items, &mut met, at)?;
            let node = parts.nodes.len();
            if let Some(Node::Split(split)) = parent.and_then(|(parent, _)| parts.nodes.get_mut(parent)) {
                let to = u32::try_from(node).map_err(|_| Error::limit("nodes of all trees", self.limits.max_nodes))?;
                *(if parent.is_some_and(|(_, left)| left) { &mut split.left } else { &mut split.right }) = to;
            }
            match item {
                Item::Leaf(from, to) => {
                    parts.nodes.push(Node::Leaf(u32::try_from(leaves.len()).unwrap_or(u32::MAX)));
                    leaves.push((from, to));
                }
                Item::Split { column, ask, yes, mut no, missing_yes } => {
                    if column as usize >= self.width {
                        return Err(Error::tree(at, format!("splits on feature {column}, of {}", self.width)));
                    }
                    let asked = match ask {
                        Ask::Is(value) => {
                            let mut set = vec![whole(value).map_err(|message| Error::tree(at, message))?];
                            no = chain(items, &mut met, at, &mut set)?;
                            self.set(set, parts, true)
                        }
                        Ask::IsNot(value) => {
                            let set = vec![whole(value).map_err(|message| Error::tree(at, message))?];
                            self.set(set, parts, false)
                        }
                        Ask::OneOf(from, to) => {
                            let members = shared.members.get(from as usize..to as usize).unwrap_or_default();
                            self.members(members, parts).map_err(|message| Error::tree(at, message))?
                        }
                        _ => self.threshold(ask).map_err(|message| Error::tree(at, message))?,
                    };
                    // NaN is unequal to everything
                    let missing_yes = missing_yes || matches!(ask, Ask::IsNot(_));
                    let column = if asked.truncated { column + u32::try_from(self.width).unwrap_or(0) } else { column };
                    let missing_left = missing_yes == asked.yes_left;
                    let split =
                        Split { column, test: asked.test, left: 0, right: 0, missing_left, zero_is_missing: false };
                    parts.nodes.push(Node::Split(split));
                    waiting.push((no, Some((node, !asked.yes_left))));
                    waiting.push((yes, Some((node, asked.yes_left))));
                }
            }
        }
        match met.iter().position(|met| !met) {
            None => Ok(leaves),
            Some(lost) => Err(Error::tree(u32::try_from(lost).unwrap_or(u32::MAX), "is reached from nowhere")),
        }
    }

    fn threshold(&self, ask: Ask) -> Result<Asked, &'static str> {
        let (value, below, yes_left) = match ask {
            Ask::AtMost(value) => (value, false, true),
            Ask::Above(value) => (value, false, false),
            Ask::Below(value) => (value, true, true),
            Ask::AtLeast(value) => (value, true, false),
            Ask::Is(_) | Ask::IsNot(_) | Ask::OneOf(..) => return Err("asks for a set where a threshold was expected"),
        };
        if value.is_nan() {
            return Err("has NaN as its threshold");
        }
        if below && value == f64::NEG_INFINITY {
            return Err("asks what is below −∞, which nothing is");
        }
        let test = Test::AtMost(if below { self.before(value) } else { value });
        Ok(Asked { test, yes_left, truncated: false })
    }

    /// The next number below, in the precision of the thresholds.
    #[expect(clippy::cast_possible_truncation, reason = "thresholds of floats are floats")]
    fn before(&self, value: f64) -> f64 {
        if self.kind == Kind::Double { value.next_down() } else { f64::from((value as f32).next_down()) }
    }

    fn set(&mut self, mut set: Vec<i64>, parts: &mut TreeParts, yes_left: bool) -> Asked {
        self.sets = true;
        set.sort_unstable();
        set.dedup();
        let number = u32::try_from(parts.sets.len()).unwrap_or(u32::MAX);
        parts.sets.push(set);
        Asked { test: Test::OneOf(number), yes_left, truncated: false }
    }

    /// onnxruntime, `TreeEnsembleAttributesV5::transformInputOneTree`: small sets become equalities, others a set of `i32`
    /// that a number is cast to.
    fn members(&mut self, members: &[f64], parts: &mut TreeParts) -> Result<Asked, String> {
        if members.is_empty() {
            return Err("asks for a member of an empty set".to_owned());
        }
        let set = members.iter().map(|member| whole(*member)).collect::<Result<Vec<_>, _>>()?;
        let small = |member: &f64| (0.0..=SMALL_MEMBER).contains(member);
        let truncated = members.len() >= SMALL_COUNT || !members.iter().all(small);
        if truncated && set.iter().any(|member| i32::try_from(*member).map_or(true, |member| member == i32::MIN)) {
            return Err("asks for a member of a set with a number that is beyond 32 bits".to_owned());
        }
        self.truncates |= truncated;
        Ok(Asked { truncated, ..self.set(set, parts, true) })
    }

    /// Writes the leaves: one number each if the tree adds to one target, else a number for every target, 0 where the leaf
    /// has none.
    fn leaves(&mut self, leaves: &[(u32, u32)], weights: &[Weight], parts: &mut TreeParts) -> Result<(), Error> {
        let of = |(from, to): (u32, u32)| weights.get(from as usize..to as usize).unwrap_or_default();
        let only = |leaf: (u32, u32)| match of(leaf) {
            [weight] => Some(*weight),
            _ => None,
        };
        let target = leaves.first().and_then(|leaf| only(*leaf)).map(|(target, _)| target);
        let target = target.filter(|target| leaves.iter().all(|leaf| only(*leaf).is_some_and(|(of, _)| of == *target)));
        if let Some(complete) = target.and_then(|target| self.complete.get_mut(target as usize)) {
            *complete = true;
            self.full &= self.targets == 1;
            parts.target = target;
            parts.values = leaves.iter().filter_map(|leaf| only(*leaf)).map(|(_, value)| value).collect();
            return Ok(());
        }
        let count = leaves.len().saturating_mul(self.targets);
        let left = self.left.checked_sub(count);
        self.left = left.ok_or_else(|| {
            Error::model("leaves name few of the targets: written out they take more memory than the file justifies")
        })?;
        parts.values = vec![0.0; count];
        self.named.fill((0, 0));
        for ((number, leaf), values) in (1_u32..).zip(leaves).zip(parts.values.chunks_exact_mut(self.targets.max(1))) {
            self.full &= of(*leaf).len() == self.targets;
            self.empty |= of(*leaf).is_empty();
            for (target, weight) in of(*leaf) {
                let (Some(value), Some(named)) =
                    (values.get_mut(*target as usize), self.named.get_mut(*target as usize))
                else {
                    return Err(Error::model(format!("a leaf weighs target {target}, of {}", self.targets)));
                };
                if std::mem::replace(&mut named.0, number) == number {
                    return Err(Error::model(format!("a leaf has two weights for target {target}")));
                }
                named.1 += 1;
                *value = *weight;
            }
        }
        let all = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
        for (complete, (_, named)) in self.complete.iter_mut().zip(&self.named) {
            *complete |= *named == all;
        }
        Ok(())
    }
}

/// A question in the model's form.
struct Asked {
    test: Test,
    /// Whether what passes the test is a yes.
    yes_left: bool,
    truncated: bool,
}

fn meet(items: &[Item], met: &mut [bool], at: u32) -> Result<Item, Error> {
    let (Some(item), Some(met)) = (items.get(at as usize), met.get_mut(at as usize)) else {
        return Err(Error::tree(at, format!("is a child but there are only {} nodes", items.len())));
    };
    if std::mem::replace(met, true) {
        return Err(Error::tree(at, "has two parents, or is its own ancestor"));
    }
    Ok(*item)
}

/// LightGBM's converter writes a set of categories as a chain of equalities that share their yes. Takes the rest of such a
/// chain into the set, and returns the no at its end.
fn chain(items: &[Item], met: &mut [bool], at: u32, set: &mut Vec<i64>) -> Result<u32, Error> {
    let Some(Item::Split { column, yes, mut no, missing_yes, .. }) = items.get(at as usize).copied() else {
        return Err(Error::tree(at, "is no split"));
    };
    while let Some(Item::Split {
        column: next_column,
        ask: Ask::Is(value),
        yes: next_yes,
        no: next_no,
        missing_yes: next,
    }) = items.get(no as usize).copied()
        && (next_column, next_yes) == (column, yes)
    {
        meet(items, met, no)?;
        if next != missing_yes {
            // onnxruntime 1.17 and 1.32 differ
            return Err(Error::tree(no, "sends NaN elsewhere than the equality before it, whose branch it shares"));
        }
        set.push(whole(value).map_err(|message| Error::tree(no, message))?);
        no = next_no;
    }
    Ok(no)
}

/// A number that an equality may ask for.
#[expect(clippy::cast_possible_truncation, reason = "whole numbers below 2^63")]
fn whole(value: f64) -> Result<i64, String> {
    if value.trunc() == value && value.abs() < 9e18 {
        return Ok(value as i64);
    }
    Err(format!("asks for equality with {value}; whole numbers are taken (thresholds are better asked by BRANCH_LEQ)"))
}
