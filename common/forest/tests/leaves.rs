//! Leaves are numbered as each library numbers them, and are those that the obvious walk ends in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/made_up.rs"]
mod made_up;

use arborgate_forest::{Element, Leaves, Model, Options, PredictError};
use common::naive;
use common::reference::{Rows, shap_cases};
use made_up::{Random, Shape};
use ndarray::{Array2, ArrayView2, Axis, arr2};
use proptest::prelude::*;

fn find<T: Element>(leaves: &Leaves, rows: ArrayView2<'_, T>) -> Array2<u32> {
    let mut out = Array2::from_elem((rows.nrows(), leaves.width()), u32::MAX);
    leaves.find(rows, out.view_mut()).unwrap();
    out
}

/// Of trees deeper than eight splits the reader leaves out what is alike.
const NUMBERED_OTHERWISE: [&str; 1] = ["catboost_deep.z"];

#[test]
fn leaves_are_numbered_as_the_library_does() {
    let mut compared = 0;
    for case in shap_cases() {
        let name = &case.facts.file;
        let Some(expected) = case.leaves() else { continue };
        let model = Model::read(&case.bytes, &Options::default()).unwrap();
        // also after a way through our own file
        let mut written = Vec::new();
        model.write(&mut written).unwrap();
        let written = Model::read(&written, &Options::default()).unwrap();
        for model in [model, written] {
            let leaves = Leaves::new(&model);
            let found = match &case.rows {
                Rows::Single(rows) => find(&leaves, rows.view()),
                Rows::Double(rows) => find(&leaves, rows.view()),
            };
            assert_eq!(found.dim(), expected.dim(), "{name}");
            if NUMBERED_OTHERWISE.contains(&name.as_str()) {
                assert_ne!(found, expected, "{name} is numbered alike by now");
                continue;
            }
            assert_eq!(found, expected, "{name}");
            compared += found.len();
        }
    }
    assert!(compared > 10_000, "{compared}");
}

#[test]
fn what_a_model_refuses_is_refused() {
    let case = shap_cases().into_iter().find(|case| case.facts.file == "sklearn_extra.z").unwrap();
    let leaves = Leaves::new(&Model::read(&case.bytes, &Options::default()).unwrap());
    let mut out = Array2::zeros((1, leaves.width()));
    let rows = arr2(&[[0.0, f64::INFINITY, 0.0, 0.0, 0.0, 0.0]]);
    let refused = leaves.find(rows.view(), out.view_mut()).unwrap_err();
    assert_eq!(refused, PredictError::TooLarge { row: 0, feature: 1 });
    let refused = leaves.find(rows.slice(ndarray::s![.., 1..]), out.view_mut()).unwrap_err();
    assert_eq!(refused, PredictError::RowLength { expected: 6, found: 5 });
    let mut narrow = Array2::zeros((1, leaves.width() - 1));
    let refused = leaves.find(arr2(&[[0.0; 6]]).view(), narrow.view_mut()).unwrap_err();
    assert!(matches!(refused, PredictError::Buffer { what: "leaves", .. }), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn leaves_are_those_of_the_obvious_walk(seed: u64, rows in 1_usize..150, depth in 0_usize..8, categories in 0_usize..12) {
        let mut random = Random::new(seed);
        let shape = Shape { depth, categories, ..Shape::default() };
        let model = shape.model(&mut random);
        let rows = shape.rows(&mut random, rows);
        let found = find(&Leaves::new(&model), rows.view());
        for (row, found) in rows.axis_iter(Axis(0)).zip(found.outer_iter()) {
            for (tree, found) in model.trees().iter().zip(found) {
                prop_assert_eq!(naive::leaf(&model, tree, row.as_slice().unwrap()) as u32, *found);
            }
        }
    }
}
