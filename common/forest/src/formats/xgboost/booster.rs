//! The booster: all trees, which margin each adds to, and the rounds that they were made in
//! (`src/gbm/gbtree.cc`, `gbtree_model.cc`).

use super::categories::{self, Names};
use super::document::{Document, Kind};
use super::tree::{Arrays, RawTree};
use crate::error::{Error, quote};
use crate::limits::Limits;

/// As the file has it.
#[derive(Debug, Default)]
pub(super) struct Booster {
    pub(super) trees: Vec<RawTree>,
    /// For each tree its margin.
    pub(super) targets: Vec<u32>,
    /// Where each round begins among the trees, and where the last one ends; since 2.0.
    pub(super) rounds: Option<Vec<u32>>,
    /// Trees that a round grows for each margin; since 1.6.
    pub(super) parallel: Option<usize>,
    /// DART's.
    pub(super) weights: Vec<f32>,
    /// For each feature its categories, where the file names them; since 3.1.
    pub(super) categories: Vec<Names>,
}

impl Booster {
    /// `learner.gradient_booster`
    pub(super) fn read<'b, D: Document<'b>>(document: &mut D, limits: &Limits) -> Result<Self, Error> {
        let mut booster = Self::default();
        let mut name = None;
        booster.member(document, &mut name, limits)?;
        match name.as_deref() {
            Some("gbtree" | "dart") if !booster.trees.is_empty() => Ok(booster),
            Some("gbtree" | "dart") => Err(document.wrong("has no trees; was the model fitted?")),
            Some(other) => Err(document.wrong(unknown(other))),
            None => Err(document.wrong("has no name")),
        }
    }

    fn member<'b, D: Document<'b>>(
        &mut self,
        document: &mut D,
        name: &mut Option<String>,
        limits: &Limits,
    ) -> Result<(), Error> {
        document.object(&mut |document, key| match &**key {
            "name" => {
                *name = Some(document.name(limits)?);
                Ok(())
            }
            "model" => self.model(document, limits),
            // before 3.3 DART keeps its trees within
            "gbtree" => document.object(&mut |document, key| match &**key {
                "model" => self.model(document, limits),
                "name" => document.skip(),
                other => Err(document.wrong(foreign(other))),
            }),
            "weight_drop" => self.weights(document),
            other => Err(document.wrong(foreign(other))),
        })
    }

    fn model<'b, D: Document<'b>>(&mut self, document: &mut D, limits: &Limits) -> Result<(), Error> {
        if !self.trees.is_empty() {
            return Err(document.wrong("is a second model of the same booster"));
        }
        document.object(&mut |document, key| match &**key {
            "trees" => self.trees(document, limits),
            "tree_info" => document.ints(&mut self.targets),
            "iteration_indptr" => document.ints(self.rounds.insert(Vec::new())),
            "gbtree_model_param" => document.object(&mut |document, key| {
                match &**key {
                    "num_parallel_tree" => self.parallel = Some(document.count()?),
                    _ => document.skip()?,
                }
                Ok(())
            }),
            "cats" => {
                self.categories = categories::read(document, limits)?;
                Ok(())
            }
            "weight_drop" => self.weights(document),
            "weights" | "boosted_rounds" => Err(document.wrong(unknown("gblinear"))),
            other => Err(document.wrong(foreign(other))),
        })
    }

    fn weights<'b, D: Document<'b>>(&mut self, document: &mut D) -> Result<(), Error> {
        document.expect(Kind::Array)?;
        if !self.weights.is_empty() {
            return Err(document.wrong("are the booster's weights a second time"));
        }
        document.floats(&mut self.weights)
    }

    fn trees<'b, D: Document<'b>>(&mut self, document: &mut D, limits: &Limits) -> Result<(), Error> {
        let mut arrays = Arrays::default();
        let mut nodes = 0_usize;
        document.array(&mut |document, number| {
            if number >= limits.max_trees {
                return Err(Error::limit("trees", limits.max_trees));
            }
            let tree = arrays.read(document, number, limits)?;
            nodes = nodes.saturating_add(tree.parts.nodes.len());
            if nodes > limits.max_nodes {
                return Err(Error::limit("nodes of all trees", limits.max_nodes));
            }
            self.trees.push(tree);
            Ok(())
        })
    }

    /// Checks what stands beside the trees against them, and against the margins.
    pub(super) fn check(&self, margins: usize) -> Result<(), Error> {
        let count = self.trees.len();
        let wrong = |key: &str, message: &str| {
            Err(Error::content(format!("learner.gradient_booster.model.{key}"), None, message))
        };
        if self.targets.len() != count {
            return wrong("tree_info", "has not one number for each tree");
        }
        if self.targets.iter().any(|target| *target as usize >= margins) {
            return wrong("tree_info", "names a margin that is not there");
        }
        if !self.weights.is_empty() && self.weights.len() != count {
            return wrong("weight_drop", "has not one number for each tree");
        }
        if !self.weights.iter().all(|weight| weight.is_finite()) {
            return wrong("weight_drop", "has a number that is not finite");
        }
        if let Some(rounds) = &self.rounds
            && !(rounds.first() == Some(&0)
                && rounds.last().map(|last| *last as usize) == Some(count)
                && rounds.is_sorted())
        {
            return wrong("iteration_indptr", "does not divide the trees into rounds");
        }
        if let Some(at) = self.trees.iter().position(|tree| tree.each != 1 && tree.each != margins) {
            return wrong(&format!("trees[{at}].tree_param.size_leaf_vector"), "is not the number of margins");
        }
        Ok(())
    }

    /// How many trees so many rounds are, if there are so many.
    pub(super) fn trees_of(&self, rounds: usize, parallel: Option<usize>) -> Option<usize> {
        if let Some(starts) = &self.rounds {
            return starts.get(rounds).map(|end| *end as usize);
        }
        let groups = self.targets.iter().max().map_or(0, |largest| *largest as usize + 1);
        let each = groups.checked_mul(self.parallel.or(parallel).unwrap_or(1))?;
        rounds.checked_mul(each).filter(|trees| *trees <= self.trees.len())
    }
}

fn unknown(name: &str) -> String {
    let known = "this reader knows `gbtree` and `dart`";
    format!("is the booster `{}`, which has no trees that are read here; {known}", quote(name))
}

fn foreign(key: &str) -> String {
    format!("`{}` is no part of a booster that is known here", quote(key))
}
