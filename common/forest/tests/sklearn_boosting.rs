//! Boosting, isolation forests and pipelines of scikit-learn predict what their own version predicted, and refuse the rows
//! that it refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use arborgate_forest::{Compiled, Element, Model, Options, Output, PredictError};
use common::reference::{Case, Rows, cases};
use ndarray::{Array2, ArrayView2};

#[test]
fn every_file_predicts_the_same_bits() {
    let compared: usize = cases("sklearn_boosting").iter().map(|case| case.hold(&Options::default())).sum();
    assert!(compared > 2_000, "{compared}");
}

#[test]
fn refuses_the_rows_that_scikit_learn_refuses() {
    let mut refused = 0;
    for case in cases("sklearn_boosting") {
        let Some(rows) = case.refused() else { continue };
        let compiled = Compiled::new(&Model::read(&case.bytes, &Options::default()).unwrap()).unwrap();
        refused += match rows {
            Rows::Single(rows) => all_refused(&case, &compiled, rows.view()),
            Rows::Double(rows) => all_refused(&case, &compiled, rows.view()),
        };
    }
    assert!(refused > 200, "{refused}");
}

fn all_refused<T: Element + std::fmt::Debug>(case: &Case, compiled: &Compiled, rows: ArrayView2<'_, T>) -> usize {
    for row in rows.axis_chunks_iter(ndarray::Axis(0), 1) {
        assert!(refusal(compiled, row).is_some(), "{}: {row:?} is taken", case.name());
    }
    rows.nrows()
}

fn refusal<T: Element>(compiled: &Compiled, rows: ArrayView2<'_, T>) -> Option<PredictError> {
    let mut values = Array2::zeros((rows.nrows(), compiled.values_width()));
    let mut labels = Array2::zeros((rows.nrows(), compiled.labels_width()));
    compiled.predict(rows, &mut Output { values: values.view_mut(), labels: labels.view_mut() }).err()
}
