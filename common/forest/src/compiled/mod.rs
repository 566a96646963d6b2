//! A model made ready to predict. Knows no file format.

mod costs;
mod engine;
mod few;
mod lookup;
mod masks;
mod plain;
mod questions;
mod shape;
mod side_by_side;
mod walk;

pub(crate) use engine::{Engine, Form, Layout, Part, Values};
pub(crate) use few::{Few, MOST_COLUMNS, MaskNode};
#[cfg(feature = "candle")]
pub(crate) use lookup::round_down;
pub(crate) use lookup::{Keys, Lookup, MISSING, Sorted};
pub(crate) use masks::{MOST_LEAVES, MOST_NODES, MaskForm, MaskTree};
pub(crate) use plain::{Plain, ZERO, category, walk};
pub(crate) use questions::SetTable;
pub(crate) use side_by_side::{ABREAST, SideBySide, Step};
pub(crate) use walk::{LEAF, MISSING_LEFT, ONE_OF, WalkForm, WalkSplit};

use crate::link::Link;
use crate::model::{Column, Decision, Input, Model, Sum, Task};
use crate::predict::Processor;

/// A model that predicts. It holds no reference and can be shared by threads.
#[derive(Debug, Clone)]
pub struct Compiled {
    pub(crate) answer: Answer,
    pub(crate) trees: Trees,
    pub(crate) processor: Processor,
}

/// The trees in one of two ways.
#[derive(Debug, Clone)]
pub(crate) enum Trees {
    Fast(Engine),
    Plain(Plain),
}

/// Everything but the trees.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) task: Task,
    pub(crate) input: Input,
    pub(crate) columns: Vec<Column>,
    pub(crate) missing_allowed: Vec<bool>,
    pub(crate) sum: Sum,
    pub(crate) link: Link,
    pub(crate) decision: Decision,
    /// For each output the number of its classes.
    pub(crate) n_classes: Vec<usize>,
    pub(crate) width: usize,
}

impl Answer {
    pub(crate) fn new(model: &Model) -> Self {
        Self {
            task: model.task(),
            input: model.input(),
            columns: model.columns().to_vec(),
            missing_allowed: model.features().iter().map(|feature| feature.missing_allowed).collect(),
            sum: model.sum().clone(),
            link: model.link().clone(),
            decision: model.decision(),
            n_classes: model.classes().iter().map(Vec::len).collect(),
            width: model.width(),
        }
    }
}

/// Why a model can not be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// Beyond what 31 bits can number.
    #[error("{what} of this model need more than 31 bits; a model can have 2147483647")]
    TooLarge {
        /// Splits, leaves or features.
        what: &'static str,
    },
}

impl Compiled {
    /// # Errors
    /// [`CompileError`].
    pub fn new(model: &Model) -> Result<Self, CompileError> {
        let answer = Answer::new(model);
        let processor = Processor::detect();
        let trees = match Engine::new(model, processor) {
            Some(engine) => Trees::Fast(engine),
            None => Trees::Plain(Plain::new(model)),
        };
        Ok(Self { answer, trees, processor })
    }

    /// The same with other instructions, if this processor has them: for comparing.
    #[must_use]
    pub fn on(mut self, processor: Processor) -> Self {
        if Processor::all().contains(&processor) {
            self.processor = processor;
            if let Trees::Fast(engine) = &mut self.trees {
                engine.suit(processor);
            }
        }
        self
    }

    /// What runs: the form of the trees, and the instructions for it.
    pub fn kernel(&self) -> String {
        match &self.trees {
            Trees::Fast(engine) => format!("{}, {}", engine.name(), self.processor),
            Trees::Plain(_) => "plain walk".to_owned(),
        }
    }

    /// Columns of the input.
    pub fn n_features(&self) -> usize {
        self.answer.missing_allowed.len()
    }

    /// Numbers in a row of [`crate::Output::values`]: for a classifier the probabilities of each output after one another,
    /// else one for each output.
    pub fn values_width(&self) -> usize {
        self.answer.width
    }

    /// Numbers in a row of [`crate::Output::labels`]: for a classifier one for each output, for a regressor none.
    pub fn labels_width(&self) -> usize {
        self.answer.n_classes.len()
    }

    /// Numbers in a row of [`Compiled::margins`].
    pub fn margins_width(&self) -> usize {
        self.answer.sum.start.len()
    }

    /// What it does.
    pub fn task(&self) -> Task {
        self.answer.task
    }

    /// Bytes in memory, leaves included.
    pub fn bytes(&self) -> usize {
        match &self.trees {
            Trees::Fast(engine) => engine.bytes(),
            Trees::Plain(plain) => plain.bytes(),
        }
    }

    /// Of them, those of the leaves' numbers.
    pub fn leaf_bytes(&self) -> usize {
        match &self.trees {
            Trees::Fast(engine) => engine.leaf_bytes(),
            Trees::Plain(plain) => plain.leaf_bytes(),
        }
    }
}
