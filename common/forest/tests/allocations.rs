//! What predicting allocates, counted by the allocator itself. One test, because the count is of the process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "common/counting.rs"]
mod counting;
#[path = "common/made_up.rs"]
mod made_up;

use std::sync::atomic::Ordering;

use arborgate_forest::{Compiled, Model, Options, Output};
use counting::CALLS;
use made_up::{Random, Shape};
use ndarray::Array2;

#[test]
fn predicting_allocates_nothing_after_the_first_call() {
    let mut models = Vec::new();
    for name in ["rf_iris.joblib", "dt_iris_pair.joblib", "rf_diabetes.z"] {
        let path = format!("{}/tests/fixtures/sklearn/1.9.1/{name}", env!("CARGO_MANIFEST_DIR"));
        models.push(Model::read(&std::fs::read(path).unwrap(), &Options::default()).unwrap());
    }
    let many = || Shape { trees: 137, depth: 6, prune: 8, ..Shape::default() };
    for shape in [
        many(),
        Shape { margins: 3, wide: true, ..many() },
        Shape { categories: 60, features: 2, ..many() },
        Shape { depth: 11, keys: 60_000, trees: 3, ..Shape::default() },
    ] {
        models.push(shape.model(&mut Random::new(1)));
    }
    for model in &models {
        let model = Compiled::new(model).unwrap();
        for size in [1, 3, 8, 60, 200, 700] {
            let rows = Array2::<f64>::ones((size, model.n_features()));
            let mut values = Array2::zeros((size, model.values_width()));
            let mut labels = Array2::zeros((size, model.labels_width()));
            let mut out = Output { values: values.view_mut(), labels: labels.view_mut() };
            model.predict(rows.view(), &mut out).unwrap();
            let before = CALLS.load(Ordering::Relaxed);
            for _ in 0..3 {
                model.predict(rows.view(), &mut out).unwrap();
            }
            assert_eq!(CALLS.load(Ordering::Relaxed), before, "{}, {size} rows", model.kernel());
        }
    }
}
