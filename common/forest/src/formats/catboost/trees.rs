//! The trees, one after another, each made a tree of the model before the next is read, and an account of what they take.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::answer::Answer;
use super::features::Features;
use super::info::Info;
use super::json;
use super::nested::NestedSeed;
use super::oblivious::ObliviousSeed;
use crate::error::Error;
use crate::limits::Limits;
use crate::model::{Node, Tree, TreeParts};

/// How trees are written.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// A split for each level, then the leaves.
    Oblivious,
    /// Nodes within nodes.
    Nested,
}

/// A few digits can stand for a leaf that takes a hundred bytes, so trees may take so many bytes for each byte of the file.
const MOST_FOR_A_BYTE: usize = 14;
const MOST_FOR_NOTHING: usize = 64 * 1024;
/// What the allocations of a tree take beside what is in them.
const EACH_TREE: usize = 128;

pub(super) struct Builder<'b> {
    text: &'b str,
    pub(super) features: &'b Features,
    info: &'b Info,
    pub(super) limits: &'b Limits,
    trees: Vec<Tree>,
    answer: Option<Answer>,
    nodes_left: usize,
    bytes_left: usize,
    /// What ended the reading, where it is not JSON that is wrong.
    fault: Option<Error>,
}

impl<'b> Builder<'b> {
    pub(super) fn new(text: &'b str, features: &'b Features, info: &'b Info, limits: &'b Limits) -> Self {
        let bytes_left = text.len().saturating_mul(MOST_FOR_A_BYTE).saturating_add(MOST_FOR_NOTHING);
        let (nodes_left, trees) = (limits.max_nodes, Vec::new());
        Self { text, features, info, limits, trees, answer: None, nodes_left, bytes_left, fault: None }
    }

    pub(super) fn read(&mut self, name: &'static str, raw: &RawValue, shape: Shape) -> Result<(), Error> {
        let text = self.text;
        let read = json::seeded(raw, TreesSeed { builder: self, shape });
        read.map_err(|error| {
            let path = format!("{name}[{}]", self.trees.len());
            self.fault.take().map_or_else(|| json::fault(text, raw.get(), &path, &error), |fault| fault.within(&path))
        })
    }

    /// `biases` tells the number of margins where there is no tree.
    pub(super) fn finish(mut self, biases: usize) -> Result<(Vec<Tree>, Answer), Error> {
        let answer = match self.answer.take() {
            Some(answer) => answer,
            None => Answer::new(self.info, biases.max(1), self.limits)?,
        };
        Ok((self.trees, answer))
    }

    /// Ends the reading with an error of this crate.
    pub(super) fn end<T, E: serde::de::Error>(&mut self, result: Result<T, Error>) -> Result<T, E> {
        result.map_err(|error| {
            self.fault = Some(error);
            E::custom("refused")
        })
    }

    /// What the margins mean, once a tree told how many there are; each further tree must tell the same.
    pub(super) fn answer<E: serde::de::Error>(&mut self, margins: usize) -> Result<&Answer, E> {
        if self.answer.is_none() {
            let answer = Answer::new(self.info, margins, self.limits);
            self.answer = Some(self.end(answer)?);
        }
        match &self.answer {
            Some(answer) if answer.found() == margins => Ok(answer),
            Some(answer) => {
                let message =
                    format_args!("{margins} values for a leaf where the trees before have {}", answer.found());
                Err(E::custom(message))
            }
            None => Err(E::custom("no answer")),
        }
    }

    /// Margins in the file, if a tree told.
    pub(super) fn margins(&self) -> Option<usize> {
        self.answer.as_ref().map(Answer::found)
    }

    /// Accounts for nodes and numbers before they are made.
    pub(super) fn take<E: serde::de::Error>(&mut self, nodes: usize, numbers: usize) -> Result<(), E> {
        let nodes_bytes = nodes.saturating_mul(size_of::<Node>());
        self.take_bytes(nodes_bytes.saturating_add(numbers.saturating_mul(size_of::<f64>())))?;
        match self.nodes_left.checked_sub(nodes) {
            Some(left) => self.nodes_left = left,
            None => return self.end(Err(Error::limit("nodes of all trees", self.limits.max_nodes))),
        }
        Ok(())
    }

    fn take_bytes<E: serde::de::Error>(&mut self, bytes: usize) -> Result<(), E> {
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => self.bytes_left = left,
            None => {
                return Err(E::custom("the trees take far more memory than the file: refused as an attack on memory"));
            }
        }
        Ok(())
    }

    /// The tree, in the model's order of margins.
    pub(super) fn push<E: serde::de::Error>(&mut self, mut parts: TreeParts) -> Result<(), E> {
        self.take_bytes(size_of::<Tree>() + EACH_TREE)?;
        if let Some(answer) = &self.answer {
            parts.target = (answer.margins() == 1).then_some(0);
            parts.values = answer.place_owned(parts.values);
        }
        let tree = Tree::new(parts, self.limits);
        let tree = self.end(tree)?;
        self.trees.push(tree);
        Ok(())
    }
}

struct TreesSeed<'s, 'b> {
    builder: &'s mut Builder<'b>,
    shape: Shape,
}

impl<'t> DeserializeSeed<'t> for TreesSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'t> Visitor<'t> for TreesSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of trees")
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut trees: A) -> Result<(), A::Error> {
        let builder = self.builder;
        loop {
            let before = builder.trees.len();
            if before >= builder.limits.max_trees {
                // only an end may follow
                let more = trees.next_element::<serde::de::IgnoredAny>()?.is_some();
                let limit = Error::limit("trees", builder.limits.max_trees);
                return if more { builder.end(Err(limit)) } else { Ok(()) };
            }
            let found = match self.shape {
                Shape::Oblivious => trees.next_element_seed(ObliviousSeed { builder: &mut *builder })?,
                Shape::Nested => trees.next_element_seed(NestedSeed { builder: &mut *builder })?,
            };
            if found.is_none() {
                return Ok(());
            }
            if builder.trees.len() == before {
                return Err(A::Error::custom("is no tree"));
            }
        }
    }
}
