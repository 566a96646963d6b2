//! What stands before the trees: columns made from the inputs, number by number, and picked and put beside each other.

use std::cell::Cell;

use super::proto::{Input, Node};
use super::tensor::{Tensor, element};
use crate::error::{Error, quote};
use crate::limits::Limits;
use crate::model::{Column, Step};

/// What a tensor's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Double,
    Int,
}

impl Kind {
    pub(super) fn of(element: i64) -> Option<Self> {
        match element {
            element::FLOAT => Some(Self::Float),
            element::DOUBLE => Some(Self::Double),
            element::INT32 | element::INT64 => Some(Self::Int),
            _ => None,
        }
    }
}

/// A tensor of `[rows, columns]`.
#[derive(Debug, Clone)]
pub(super) struct Matrix {
    pub(super) kind: Kind,
    pub(super) columns: Vec<Column>,
}

/// How much may be made, so that a small graph can not make much.
#[derive(Debug)]
pub(super) struct Budget {
    left: Cell<usize>,
}

impl Budget {
    pub(super) fn new(bytes: usize, features: usize) -> Self {
        Self { left: Cell::new((bytes / 2).saturating_add(features.saturating_mul(16))) }
    }

    pub(super) fn spend(&self, count: usize, node: &Node<'_>) -> Result<(), Error> {
        let left = self.left.get().checked_sub(count);
        self.left.set(left.ok_or_else(|| node.fault("makes more columns than the file justifies"))?);
        Ok(())
    }
}

impl Matrix {
    /// The columns of an input, which begin at a feature.
    pub(super) fn input(input: &Input<'_>, first: usize, limits: &Limits) -> Result<Self, Error> {
        let fault = |message: String| Error::content(format!("input `{}`", quote(input.name)), input.offset, message);
        let kind = Kind::of(input.element);
        let kind = kind.ok_or_else(|| fault(format!("is of element type {}, not of numbers", input.element)))?;
        let width = match (input.rank, input.width) {
            (2, Some(width)) => usize::try_from(width).ok().filter(|width| *width > 0),
            (2, None) => {
                let advice = "convert with its number of columns, such as `FloatTensorType([None, 4])`";
                return Err(fault(format!("does not say how many columns it has; {advice}")));
            }
            _ => return Err(fault(format!("has {} dimensions where [rows, columns] is needed", input.rank))),
        };
        let width = width.ok_or_else(|| fault("has no columns".to_owned()))?;
        if width.saturating_add(first) > limits.max_features {
            return Err(Error::limit("features", limits.max_features));
        }
        let feature = |at| u32::try_from(at).map_err(|_| Error::limit("features", limits.max_features));
        let column = |at| Ok(Column { feature: feature(at)?, steps: Vec::new() });
        Ok(Self { kind, columns: (first..first + width).map(column).collect::<Result<_, Error>>()? })
    }

    /// What it takes, in columns and steps.
    pub(super) fn size(&self) -> usize {
        self.columns.iter().map(|column| 1 + column.steps.len()).sum()
    }

    /// Whether the columns are the features as they are, and all of them.
    pub(super) fn is_plain(&self, features: usize) -> bool {
        self.columns.len() == features
            && self
                .columns
                .iter()
                .enumerate()
                .all(|(at, column)| column.feature as usize == at && column.steps.is_empty())
    }

    /// The same columns, of floats.
    pub(super) fn single(mut self) -> Self {
        if self.kind != Kind::Float {
            self.columns.iter_mut().for_each(|column| column.steps.push(Step::Single));
            self.kind = Kind::Float;
        }
        self
    }

    /// A step on each column, with the numbers of a tensor or one number for all.
    fn step(&mut self, numbers: &[f64], step: impl Fn(f64) -> Step) -> Option<()> {
        let one = match numbers {
            [one] => Some(*one),
            _ if numbers.len() == self.columns.len() => None,
            _ => return None,
        };
        let rounded = self.kind == Kind::Float;
        for (at, column) in self.columns.iter_mut().enumerate() {
            let number = one.or_else(|| numbers.get(at).copied())?;
            // rows of doubles are first what the runtime takes
            if rounded && column.steps.is_empty() {
                column.steps.push(Step::Single);
            }
            column.steps.push(step(number));
            if rounded {
                column.steps.push(Step::Single);
            }
        }
        Some(())
    }

    pub(super) fn cast(self, node: &Node<'_>) -> Result<Self, Error> {
        node.only(&["to", "saturate", "round_mode"])?;
        match (node.int("to")?, self.kind) {
            (Some(element::FLOAT), _) => Ok(self.single()),
            (Some(element::DOUBLE), _) => Ok(Self { kind: Kind::Double, ..self }),
            (Some(element::INT32 | element::INT64), Kind::Int) => Ok(self),
            (to, _) => {
                let to = to.unwrap_or_default();
                Err(node.fault(format!("casts to element type {to} before the trees; floats and doubles are taken")))
            }
        }
    }

    /// onnxruntime, `ml/scaler.cc`
    pub(super) fn scaler(mut self, node: &Node<'_>) -> Result<Self, Error> {
        node.only(&["offset", "scale"])?;
        if self.kind == Kind::Int {
            self = self.single();
        }
        let (offset, scale) = (node.floats("offset")?, node.floats("scale")?);
        let fit = offset.len() == scale.len();
        let wrong = || node.fault("has offsets and scales of other lengths than its input's columns, or 1");
        fit.then(|| self.step(&offset, Step::Subtract)).flatten().ok_or_else(wrong)?;
        self.step(&scale, Step::Multiply).ok_or_else(wrong)?;
        Ok(self.single())
    }

    /// onnxruntime, `ml/imputer.cc`
    pub(super) fn imputer(mut self, node: &Node<'_>) -> Result<Self, Error> {
        node.only(&["imputed_value_floats", "replaced_value_float"])?;
        if self.kind != Kind::Float || !node.float("replaced_value_float")?.is_some_and(f32::is_nan) {
            return Err(node.fault("replaces something else than NaN among floats"));
        }
        let values = node.floats("imputed_value_floats")?;
        let wrong = || node.fault("has other than one value for each column, or one for all");
        self.step(&values, Step::Fill).ok_or_else(wrong)?;
        Ok(self)
    }

    /// Adds, subtracts, multiplies or divides by constants.
    pub(super) fn arithmetic(mut self, node: &Node<'_>, by: &Tensor<'_>) -> Result<Self, Error> {
        node.only(&[])?;
        let same = matches!((self.kind, by.element), (Kind::Float, element::FLOAT) | (Kind::Double, element::DOUBLE));
        let numbers = by.numbers()?;
        if !same || (by.rank > 1 && by.last_dim() != i64::try_from(numbers.len()).unwrap_or(-1)) {
            return Err(node.fault("has a constant of another type than its input, or of several rows"));
        }
        let step = match node.op {
            "Add" => Step::Add,
            "Sub" => Step::Subtract,
            "Mul" => Step::Multiply,
            _ => Step::Divide,
        };
        let wrong = || node.fault("has a constant of another length than its input's columns, or 1");
        self.step(&numbers, step).ok_or_else(wrong)?;
        Ok(self)
    }

    /// `ArrayFeatureExtractor`, `Gather`
    pub(super) fn pick(&self, node: &Node<'_>, which: &Tensor<'_>, budget: &Budget) -> Result<Self, Error> {
        let mut columns = Vec::new();
        for at in which.ints()? {
            let column = usize::try_from(at).ok().and_then(|at| self.columns.get(at));
            let column = column.ok_or_else(|| node.fault(format!("picks column {at} of {}", self.columns.len())))?;
            budget.spend(1 + column.steps.len(), node)?;
            columns.push(column.clone());
        }
        Ok(Self { kind: self.kind, columns })
    }

    /// `Concat`, `FeatureVectorizer`
    pub(super) fn beside(parts: &[&Self], node: &Node<'_>, budget: &Budget) -> Result<Self, Error> {
        let Some(kind) = parts.first().map(|part| part.kind) else { return Err(node.fault("has no inputs")) };
        if parts.iter().any(|part| part.kind != kind) {
            return Err(node.fault("puts tensors of several types beside each other"));
        }
        let mut columns = Vec::new();
        for column in parts.iter().flat_map(|part| &part.columns) {
            budget.spend(1 + column.steps.len(), node)?;
            columns.push(column.clone());
        }
        Ok(Self { kind, columns })
    }
}
