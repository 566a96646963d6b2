//! Every model that is read is explained, or refused by name: its contributions are Shapley values, by full enumeration, and
//! sum with the base to its margin; written to our own file it is explained by the same bits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;

use arborgate_forest::{Compiled, Element, ExplainError, Explainer, Model, Options, Precision};
use common::VERSIONS;
use common::naive;
use common::reference::{Rows, cases, shap_cases};
use ndarray::{Array2, ArrayView2, Axis};

/// What was held: models, rows, and the largest difference, as a part of the row's sum of sizes; then the refused.
#[derive(Debug, Default)]
struct Held {
    models: usize,
    rows: usize,
    enumerated: usize,
    by_enumeration: f64,
    by_margin: f64,
    refused: BTreeMap<String, usize>,
}

impl Held {
    fn rows(&mut self, name: &str, bytes: &[u8], rows: &Rows) {
        match rows {
            Rows::Single(rows) => self.model(name, bytes, rows.view()),
            Rows::Double(rows) => self.model(name, bytes, rows.view()),
        }
    }

    fn model<T: Element + Into<f64>>(&mut self, name: &str, bytes: &[u8], rows: ArrayView2<'_, T>) {
        let model = Model::read(bytes, &Options::default()).unwrap();
        let explainer = match Explainer::new(&model) {
            Ok(explainer) => explainer,
            Err(error) => {
                let kind = match error {
                    ExplainError::Linear { .. } => "linear",
                    ExplainError::NoCover { .. } => "no cover",
                    ExplainError::NoSum => "no sum",
                    ExplainError::Value { .. } => "value",
                    error => panic!("{name}: {error}"),
                };
                *self.refused.entry(format!("{}: {kind}", model.source().library)).or_default() += 1;
                return;
            }
        };
        let compiled = Compiled::new(&model).unwrap();
        let mut margins = Array2::zeros((rows.nrows(), compiled.margins_width()));
        compiled.margins(rows, margins.view_mut()).unwrap();
        let mut found = Array2::from_elem((rows.nrows(), explainer.width()), f64::NAN);
        explainer.explain(rows, found.view_mut()).unwrap();
        let (single, each) = (model.sum().precision == Precision::Single, model.n_features() + 1);
        for (number, found) in found.outer_iter().enumerate() {
            for (margin, found) in found.as_slice().unwrap().chunks(each).enumerate() {
                let margin = margins[[number, margin]];
                let difference = share(found.iter().sum(), margin, sizes(found));
                assert!(difference <= if single { 1e-5 } else { 1e-9 }, "{name}, row {number}: {found:?} for {margin}");
                self.by_margin = self.by_margin.max(difference);
            }
        }
        let mut own = Vec::new();
        model.write(&mut own).unwrap();
        let own = Explainer::new(&Model::read(&own, &Options::default()).unwrap()).unwrap();
        let mut again = Array2::zeros(found.dim());
        own.explain(rows, again.view_mut()).unwrap();
        assert_eq!(again.mapv(f64::to_bits), found.mapv(f64::to_bits), "{name}, from our own file");
        self.models += 1;
        self.rows += rows.nrows();
        if each <= 8 {
            // from all over: they begin with rows of the data, and end with rows that have nothing
            let some: Vec<usize> = (0..rows.nrows()).step_by(rows.nrows().div_ceil(6)).collect();
            self.enumerate(name, &model, rows.select(Axis(0), &some).view(), found.select(Axis(0), &some).view());
        }
    }

    fn enumerate<T: Element + Into<f64>>(
        &mut self,
        name: &str,
        model: &Model,
        rows: ArrayView2<'_, T>,
        found: ArrayView2<'_, f64>,
    ) {
        for (row, found) in rows.outer_iter().zip(found.outer_iter()) {
            let row: Vec<f64> = row.iter().map(|x| (*x).into()).collect();
            let expected = naive::contributions(model, &row);
            for (found, expected) in found.as_slice().unwrap().chunks(model.n_features() + 1).zip(&expected) {
                for (part, right) in found.iter().zip(expected) {
                    let difference = share(*part, *right, sizes(expected));
                    assert!(difference <= 1e-12, "{name}: {found:?} where {expected:?} is right");
                    self.by_enumeration = self.by_enumeration.max(difference);
                }
            }
            self.enumerated += 1;
        }
    }

    fn say(&self, library: &str, models: usize, refused: &[(&str, usize)]) {
        let found: Vec<(&str, usize)> = self.refused.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
        assert_eq!(found, refused, "{library}: {self:?}");
        assert!(self.models >= models, "{library}: {self:?}");
    }
}

/// A base may be infinite: of a class that the training data lack.
fn sizes(parts: &[f64]) -> f64 {
    parts.iter().map(|part| part.abs()).filter(|part| part.is_finite()).sum()
}

fn share(found: f64, expected: f64, all: f64) -> f64 {
    if found == expected { 0.0 } else { (found - expected).abs() / all }
}

/// Holds all of a library; `models`: at least so many of them are explained.
fn hold(library: &str, models: usize, refused: &[(&str, usize)]) {
    let mut held = Held::default();
    for case in cases(library) {
        held.rows(&case.name(), &case.bytes, &case.rows);
    }
    held.say(library, models, refused);
}

#[test]
fn of_scikit_learn() {
    let mut held = Held::default();
    for case in VERSIONS.iter().flat_map(|version| common::cases(version)) {
        held.model(&case.file, &case.bytes, case.rows.view());
    }
    held.say("scikit-learn", 130, &[]);
}

#[test]
fn of_scikit_learn_boosted() {
    hold("sklearn_boosting", 110, &[]);
}

#[test]
fn of_xgboost() {
    // leaves of several numbers, before 3.2
    hold("xgboost", 180, &[("XGBoost: no cover", 3)]);
}

#[test]
fn of_lightgbm() {
    hold("lightgbm", 90, &[("LightGBM: linear", 7)]);
}

#[test]
fn of_catboost() {
    hold("catboost", 50, &[]);
}

#[test]
fn of_onnx() {
    // two are of leaves alone
    hold("onnx", 2, &[("ONNX: no cover", 97), ("ONNX: no sum", 12)]);
}

#[test]
fn of_the_models_that_libraries_explained() {
    let mut held = Held::default();
    for case in shap_cases() {
        held.rows(&case.facts.file, &case.bytes, &case.rows);
    }
    held.say("shap", 35, &[]);
}
