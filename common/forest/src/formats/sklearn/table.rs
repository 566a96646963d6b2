//! What the steps of a pipeline make of the input, column by column, until the trees ask.

use super::attributes::Reader;
use crate::error::Error;
use crate::model::{CategoryRule, Column, Fault, Feature, FeatureKind, Input, Label, Precision, Step};

/// The input, and the columns made from it so far.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) features: Vec<Feature>,
    pub(super) columns: Vec<Made>,
    /// What no step after asks for; on the way here it may have been refused.
    pub(super) dropped: Vec<Made>,
}

/// A column that was made from one feature.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) feature: u32,
    pub(super) steps: Vec<Step>,
    pub(super) precision: Dtype,
    /// What an imputer gives for a missing text, until an encoder says which number that is.
    pub(super) fill: Option<String>,
    /// Whether an encoder made it a number.
    pub(super) coded: bool,
}

/// The type that numpy has the numbers of a column in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dtype {
    AsInput,
    Single,
    Double,
}

/// Which rows an estimator takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Takes {
    pub(super) precision: Precision,
    pub(super) missing: bool,
    pub(super) infinite: bool,
}

impl Table {
    pub(super) fn new(names: Vec<Option<String>>) -> Self {
        let made = |feature| Made { feature, steps: Vec::new(), precision: Dtype::AsInput, fill: None, coded: false };
        let columns = (0_u32..).zip(&names).map(|(feature, _)| made(feature)).collect();
        let feature = |name| Feature { name, kind: FeatureKind::Number, missing_allowed: true };
        Self { features: names.into_iter().map(feature).collect(), columns, dropped: Vec::new() }
    }

    /// Appends a step to every column.
    pub(super) fn each(&mut self, step: impl Fn(usize) -> Option<Step>) {
        for (at, column) in self.columns.iter_mut().enumerate() {
            column.steps.extend(step(at));
        }
    }

    /// Refuses what scikit-learn's `check_array` with `ensure_all_finite="allow-nan"` refuses.
    pub(super) fn refuse_infinite(&mut self) {
        self.each(|_| Some(Step::Refuse { missing: false, infinite: Some(Precision::Double) }));
    }

    /// Says what a feature's numbers mean; it can not mean two things.
    pub(super) fn mean(&mut self, feature: u32, kind: FeatureKind, path: &str) -> Result<(), Error> {
        let Some(feature) = self.features.get_mut(feature as usize) else { return Ok(()) };
        if feature.kind != FeatureKind::Number && feature.kind != kind {
            return Err(Error::content(path, None, "has other categories for a feature than a step beside it"));
        }
        feature.kind = kind;
        Ok(())
    }

    /// `numpy.hstack`: all become what holds all.
    pub(super) fn stack(&mut self, path: &str) -> Result<(), Error> {
        let is = |dtype| self.columns.iter().any(|column| column.precision == dtype);
        if is(Dtype::Double) {
            for column in self.columns.iter_mut().filter(|column| column.precision != Dtype::Double) {
                column.precision = Dtype::Double;
                column.steps.push(Step::Widen);
            }
        } else if is(Dtype::Single) && is(Dtype::AsInput) {
            let message =
                "puts columns of float32 beside others, whose type is that of the input; leave the dtype away";
            return Err(Error::content(path, None, message));
        }
        Ok(())
    }

    /// The parts of a model: features, how they are taken, columns.
    pub(super) fn finish(self, takes: Takes, path: &str) -> Result<(Vec<Feature>, Input, Vec<Column>), Error> {
        let Self { mut features, columns, dropped } = self;
        let mut input =
            Input { precision: takes.precision, infinite_allowed: takes.infinite, category: CategoryRule::Whole };
        let untouched =
            |(at, column): (u32, &Made)| column.feature == at && column.steps.is_empty() && column.fill.is_none();
        if dropped.is_empty() && columns.len() == features.len() && (0_u32..).zip(&columns).all(untouched) {
            features.iter_mut().for_each(|feature| feature.missing_allowed = takes.missing);
            return Ok((features, input, Vec::new()));
        }
        input.infinite_allowed = true;
        let mut made = Vec::with_capacity(columns.len());
        for Made { feature, mut steps, fill, coded, .. } in columns {
            if fill.is_some() || (is_text(features.get(feature as usize)) && !coded) {
                return Err(Error::content(path, None, format!("is given feature {feature} as a text, not encoded")));
            }
            if !takes.missing || !takes.infinite {
                let infinite = (!takes.infinite).then_some(takes.precision);
                steps.push(Step::Refuse { missing: !takes.missing, infinite });
            }
            made.push(Column { feature, steps });
        }
        let dropped = dropped.into_iter().map(|Made { feature, steps, .. }| Column { feature, steps });
        made.extend(dropped.filter(Column::refuses));
        for column in &made {
            if let Some(of) = features.get_mut(column.feature as usize) {
                of.missing_allowed &= column.run(f64::NAN, true).1 != Some(Fault::Missing);
            }
        }
        Ok((features, input, made))
    }
}

fn is_text(feature: Option<&Feature>) -> bool {
    match feature.map(|feature| &feature.kind) {
        Some(FeatureKind::Category(crate::model::Categories::Named(names))) => {
            names.iter().any(|name| matches!(name, Label::Text(_)))
        }
        _ => false,
    }
}

impl Made {
    /// A copy, paid for.
    pub(super) fn copy(&self, reader: &mut Reader<'_>, path: &str) -> Result<Self, Error> {
        let step = |step: &Step| match step {
            Step::Encode(encoding) => size_of_val(encoding.as_ref()) + size_of_val(encoding.categories.as_slice()),
            _ => 0,
        };
        let steps: usize = self.steps.iter().map(step).sum();
        let own = size_of::<Self>() + size_of_val(self.steps.as_slice()) + self.fill.as_ref().map_or(0, String::len);
        reader.copy(own.saturating_add(steps), path)?;
        Ok(self.clone())
    }
}
