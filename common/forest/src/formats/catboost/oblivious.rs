//! A tree that asks the same at every node of a level. Leaf i is where bit d of i says whether a row passes split d, so the
//! last split is the root's (`catboost/libs/model/cpu/evaluator_impl.cpp`; `shap_values.cpp` walks it that way as well).

use serde::Deserializer;
use serde::de::{Deserialize, DeserializeSeed, Error as _};

use super::splits::{Question, RawSplit};
use super::trees::Builder;
use crate::error::Error;
use crate::model::{Node, Split, Test, TreeParts};

/// Trees up to here stay complete, as the forms for complete trees want them. Deeper ones, whose leaves are mostly empty, end
/// where all leaves below a node are alike.
const COMPLETE: usize = 8;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<'t> {
    /// `null` in a tree of one leaf.
    #[serde(borrow)]
    splits: Option<Vec<RawSplit<'t>>>,
    leaf_values: Vec<f64>,
    leaf_weights: Option<Vec<f64>>,
}

pub(super) struct ObliviousSeed<'s, 'b> {
    pub(super) builder: &'s mut Builder<'b>,
}

impl<'t> DeserializeSeed<'t> for ObliviousSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<(), D::Error> {
        let builder = self.builder;
        let raw = Raw::deserialize(deserializer)?;
        let splits = raw.splits.unwrap_or_default();
        if splits.len() > builder.limits.max_depth {
            let limit = Error::limit("depth of a tree", builder.limits.max_depth);
            return builder.end(Err(limit));
        }
        let leaves = u32::try_from(splits.len()).ok().and_then(|depth| 1_usize.checked_shl(depth));
        let margins = leaves.and_then(|leaves| raw.leaf_values.len().checked_div(leaves));
        let (Some(leaves), Some(margins @ 1..)) = (leaves, margins) else {
            let (values, splits) = (raw.leaf_values.len(), splits.len());
            return Err(D::Error::custom(format_args!("has {values} leaf_values for {splits} splits")));
        };
        if leaves * margins != raw.leaf_values.len() {
            let values = raw.leaf_values.len();
            return Err(D::Error::custom(format_args!("has {values} leaf_values for {leaves} leaves")));
        }
        let weights = raw.leaf_weights.unwrap_or_default();
        if !weights.is_empty() && weights.len() != leaves {
            return Err(D::Error::custom(format_args!("has {} leaf_weights for {leaves} leaves", weights.len())));
        }
        let margins_after = builder.answer::<D::Error>(margins)?.margins();
        let mut grower = Grower {
            levels: Vec::with_capacity(splits.len()),
            parts: TreeParts::default(),
            values: raw.leaf_values,
            weights,
            margins,
            merges: splits.len() > COMPLETE,
        };
        for split in &splits {
            let question = Question::new(split, builder.features).map_err(D::Error::custom)?;
            grower.level::<D::Error>(question)?;
        }
        let ends = if grower.merges { grower.count(splits.len(), 0) } else { leaves };
        let nodes = ends.saturating_mul(2) - 1;
        let covers = if grower.weights.is_empty() { 0 } else { nodes };
        builder.take(nodes, ends.saturating_mul(margins_after).saturating_add(covers))?;
        grower.parts.nodes.reserve_exact(nodes);
        grower.parts.cover.reserve_exact(covers);
        grower.grow::<D::Error>(splits.len(), 0)?;
        builder.push(grower.finish())
    }
}

/// What every node of a level asks.
struct Level {
    question: Question,
    test: Test,
    zero_is_left: bool,
}

struct Grower {
    levels: Vec<Level>,
    parts: TreeParts,
    values: Vec<f64>,
    weights: Vec<f64>,
    margins: usize,
    merges: bool,
}

impl Grower {
    fn level<E: serde::de::Error>(&mut self, question: Question) -> Result<(), E> {
        let sets = &mut self.parts.sets;
        let (test, zero_is_left) = question.test(|category| {
            sets.push(vec![category]);
            number(sets.len() - 1)
        })?;
        self.levels.push(Level { question, test, zero_is_left });
        Ok(())
    }

    /// Whether the 2^height leaves from there are alike.
    fn alike(&self, height: usize, first: usize) -> bool {
        let leaves = self.values.get(first * self.margins..(first + (1 << height)) * self.margins).unwrap_or_default();
        let mut leaves = leaves.chunks_exact(self.margins);
        let Some(one) = leaves.next() else { return true };
        leaves.all(|leaf| leaf.iter().zip(one).all(|(a, b)| a.to_bits() == b.to_bits()))
    }

    /// How many leaves are left of the 2^height from there. As deep as the tree, which has as many leaves as are in the file.
    fn count(&self, height: usize, first: usize) -> usize {
        match height.checked_sub(1) {
            Some(below) if !self.alike(height, first) => {
                self.count(below, first) + self.count(below, first + (1 << below))
            }
            _ => 1,
        }
    }

    /// The subtree over the 2^height leaves from there. Returns its root and its cover.
    fn grow<E: serde::de::Error>(&mut self, height: usize, first: usize) -> Result<(u32, f64), E> {
        let at = number(self.parts.nodes.len())?;
        let level = height.checked_sub(1).and_then(|below| Some((below, self.levels.get(below)?)));
        let Some((below, level)) = level.filter(|_| !self.merges || !self.alike(height, first)) else {
            return self.leaf(at, height, first);
        };
        let &Level { question: Question { column, missing_left, .. }, test, zero_is_left } = level;
        let place = self.parts.nodes.len();
        self.parts.nodes.push(Node::Leaf(0));
        if !self.weights.is_empty() {
            self.parts.cover.push(0.0);
        }
        let (zero, of_zero) = self.grow(below, first)?;
        let (one, of_one) = self.grow(below, first + (1 << below))?;
        let (left, right) = if zero_is_left { (zero, one) } else { (one, zero) };
        let split = Split { column, test, left, right, missing_left, zero_is_missing: false };
        if let Some(node) = self.parts.nodes.get_mut(place) {
            *node = Node::Split(split);
        }
        let cover = of_zero + of_one;
        if let Some(slot) = self.parts.cover.get_mut(place) {
            *slot = cover;
        }
        Ok((at, cover))
    }

    fn leaf<E: serde::de::Error>(&mut self, at: u32, height: usize, first: usize) -> Result<(u32, f64), E> {
        let leaf = if self.merges {
            let values = self.values.get(first * self.margins..(first + 1) * self.margins).unwrap_or_default();
            self.parts.values.extend_from_slice(values);
            number(self.parts.values.len() / self.margins - 1)?
        } else {
            number(first)?
        };
        self.parts.nodes.push(Node::Leaf(leaf));
        let cover: f64 = self.weights.get(first..first + (1 << height)).unwrap_or_default().iter().sum();
        if !self.weights.is_empty() {
            self.parts.cover.push(cover);
        }
        Ok((at, cover))
    }

    fn finish(mut self) -> TreeParts {
        if !self.merges {
            self.values.shrink_to_fit();
            self.parts.values = self.values;
        }
        self.parts
    }
}

pub(super) fn number<E: serde::de::Error>(number: usize) -> Result<u32, E> {
    u32::try_from(number).map_err(|_| E::custom("has more than 32 bits can number"))
}
