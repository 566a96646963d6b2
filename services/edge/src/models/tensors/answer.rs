//! A worker's answer as tensors.

use std::borrow::Cow;

use arborgate_contracts::registry::Task;
use arborgate_contracts::wire::{Answer, Asked};

use super::datatype::Datatype;
use super::outputs::{Kind, Outputs, Plan, Values, Wanted};

/// A tensor of an answer.
#[derive(Debug, PartialEq)]
pub struct OutputTensor<'a> {
    /// As the client calls it.
    pub name: &'a str,
    /// How many in each dimension.
    pub shape: Vec<u64>,
    /// Its elements.
    pub filled: Filled<'a>,
    /// Whether in binary.
    pub binary: bool,
}

/// Elements of an answer.
#[derive(Debug, PartialEq)]
pub enum Filled<'a> {
    /// BOOL.
    Bool(Vec<bool>),
    /// INT64.
    Int64(Vec<i64>),
    /// UINT32.
    Uint32(Vec<u32>),
    /// FP64.
    Fp64(Vec<f64>),
    /// BYTES.
    Bytes(Vec<Cow<'a, str>>),
}

impl Filled<'_> {
    /// Of the elements.
    pub fn datatype(&self) -> Datatype {
        match self {
            Self::Bool(_) => Datatype::Bool,
            Self::Int64(_) => Datatype::Int64,
            Self::Uint32(_) => Datatype::Uint32,
            Self::Fp64(_) => Datatype::Fp64,
            Self::Bytes(_) => Datatype::Bytes,
        }
    }
}

/// The columns `from..from + count` of what has `width` a row.
fn block<T: Copy>(items: &[T], width: usize, from: usize, count: usize) -> Vec<T> {
    if from == 0 && count == width {
        return items.to_vec();
    }
    let rows = items.chunks_exact(width.max(1));
    rows.flat_map(|row| row.get(from..from + count).unwrap_or_default()).copied().collect()
}

impl Outputs {
    /// The tensors that a plan names.
    pub fn tensors<'a>(&'a self, plan: &'a Plan, answer: &Answer) -> Vec<OutputTensor<'a>> {
        plan.wanted.iter().map(|wanted| self.tensor(wanted, plan.asked, answer)).collect()
    }

    fn tensor<'a>(&'a self, wanted: &'a Wanted, asked: Asked, answer: &Answer) -> OutputTensor<'a> {
        let rows = u64::from(answer.rows);
        let each = |count: usize| if count > 1 { vec![rows, count as u64] } else { vec![rows] };
        let (width, indexes) = self.widths(answer);
        let of = |kind: Asked, count: usize| if asked.has(kind) { count } else { 0 };
        let (values, margins) = (of(Asked::VALUES, self.width), of(Asked::MARGINS, self.margins));
        let labels = of(Asked::LABELS, self.classes.len());
        let floats = |from, count| block(&answer.values, width, from, count);
        let (shape, filled) = match wanted.kind {
            Kind::Prediction | Kind::Probabilities if wanted.classification.is_some() => {
                self.classified(wanted, rows, &floats(0, self.width))
            }
            Kind::Margins if wanted.classification.is_some() => {
                self.classified(wanted, rows, &floats(values, self.margins))
            }
            Kind::Prediction if self.task == Task::Regression => {
                (each(self.outputs), Filled::Fp64(floats(0, self.outputs)))
            }
            Kind::Prediction => {
                (each(self.classes.len()), self.classes_of(&block(&answer.labels, indexes, 0, self.classes.len())))
            }
            Kind::Label => {
                let named = block(&answer.labels, indexes, 0, self.classes.len());
                (each(self.classes.len()), Filled::Bytes(self.labels_of(&named)))
            }
            Kind::Score => (each(1), Filled::Fp64(floats(0, 1))),
            Kind::Probabilities => (vec![rows, self.width as u64], Filled::Fp64(floats(0, self.width))),
            Kind::Margins => (vec![rows, self.margins as u64], Filled::Fp64(floats(values, self.margins))),
            Kind::Leaves => {
                let trees = indexes - labels;
                (vec![rows, trees as u64], Filled::Uint32(block(&answer.labels, indexes, labels, trees)))
            }
            Kind::Contributions => {
                let (from, features) = (values + margins, self.features + 1);
                let all = width.saturating_sub(from);
                (vec![rows, (all / features) as u64, features as u64], Filled::Fp64(floats(from, all)))
            }
        };
        OutputTensor { name: &wanted.name, shape, filled, binary: wanted.binary }
    }

    /// Floats and indexes a row.
    fn widths(&self, answer: &Answer) -> (usize, usize) {
        let rows = (answer.rows as usize).max(1);
        (answer.values.len() / rows, answer.labels.len() / rows)
    }

    /// Of each index its class as the file has it; of several outputs they follow one another.
    fn classes_of<'a>(&'a self, indexes: &[u32]) -> Filled<'a> {
        let outputs = self.classes.iter().cycle();
        let of = indexes.iter().zip(outputs);
        let at = |index: &u32| *index as usize;
        let first = self.classes.first().map(|classes| &classes.values);
        let same = self.classes.iter().all(|other| {
            first.is_some_and(|first| std::mem::discriminant(first) == std::mem::discriminant(&other.values))
        });
        match first.filter(|_| same) {
            Some(Values::Int64(_)) => Filled::Int64(
                of.map(|(index, classes)| match &classes.values {
                    Values::Int64(all) => all.get(at(index)).copied().unwrap_or_default(),
                    _ => 0,
                })
                .collect(),
            ),
            Some(Values::Bool(_)) => Filled::Bool(
                of.map(|(index, classes)| match &classes.values {
                    Values::Bool(all) => all.get(at(index)).copied().unwrap_or_default(),
                    _ => false,
                })
                .collect(),
            ),
            Some(Values::Fp64(_)) => Filled::Fp64(
                of.map(|(index, classes)| match &classes.values {
                    Values::Fp64(all) => all.get(at(index)).copied().unwrap_or(f64::NAN),
                    _ => f64::NAN,
                })
                .collect(),
            ),
            Some(Values::Bytes(_)) | None => Filled::Bytes(
                of.map(|(index, classes)| match &classes.values {
                    Values::Bytes(all) => Cow::Borrowed(all.get(at(index)).map_or("", String::as_str)),
                    Values::Int64(all) => all.get(at(index)).map(i64::to_string).unwrap_or_default().into(),
                    Values::Bool(all) => all.get(at(index)).map(bool::to_string).unwrap_or_default().into(),
                    Values::Fp64(all) => all.get(at(index)).map(f64::to_string).unwrap_or_default().into(),
                })
                .collect(),
            ),
        }
    }

    fn labels_of<'a>(&'a self, indexes: &[u32]) -> Vec<Cow<'a, str>> {
        let of = indexes.iter().zip(self.classes.iter().cycle());
        of.map(|(index, classes)| Cow::Borrowed(classes.labels.get(*index as usize).map_or("", String::as_str)))
            .collect()
    }

    /// `value:index:label` of the greatest of each row, as the classification extension has it.
    fn classified<'a>(&'a self, wanted: &Wanted, rows: u64, scores: &[f64]) -> (Vec<u64>, Filled<'a>) {
        let count = wanted.classification.unwrap_or_default();
        let labels = self.classes.first().map_or(&[][..], |classes| &classes.labels);
        let mut texts = Vec::new();
        for row in scores.chunks_exact(self.width.max(1)) {
            let mut order: Vec<(usize, f64)> = row.iter().copied().enumerate().collect();
            // Of equals the first comes first.
            order.sort_by(|a, b| b.1.total_cmp(&a.1));
            for (index, value) in order.into_iter().take(count) {
                let label = labels.get(index).map_or("", String::as_str);
                texts.push(Cow::Owned(format!("{value:.6}:{index}:{label}")));
            }
        }
        (vec![rows, count as u64], Filled::Bytes(texts))
    }
}
