//! Boosting, isolation forests and pipelines of scikit-learn predict what their own version predicted, and refuse the rows
//! that it refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::Read;

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
        let path = case.path.with_file_name(format!("{}.refused.npy.z", case.facts.file));
        let Ok(packed) = std::fs::read(path) else { continue };
        let mut plain = Vec::new();
        flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut plain).unwrap();
        let header = 10 + usize::from(u16::from_le_bytes([plain[8], plain[9]]));
        let compiled = Compiled::new(&Model::read(&case.bytes, &Options::default()).unwrap()).unwrap();
        let data = &plain[header..];
        refused += match case.rows {
            Rows::Single(_) => {
                let numbers = data.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
                all_refused(&case, &compiled, numbers)
            }
            Rows::Double(_) => {
                let numbers = data.as_chunks::<8>().0.iter().map(|word| f64::from_le_bytes(*word)).collect();
                all_refused(&case, &compiled, numbers)
            }
        };
    }
    assert!(refused > 200, "{refused}");
}

fn all_refused<T: Element + std::fmt::Debug>(case: &Case, compiled: &Compiled, numbers: Vec<T>) -> usize {
    let width = compiled.n_features();
    let rows = Array2::from_shape_vec((numbers.len() / width, width), numbers).unwrap();
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
