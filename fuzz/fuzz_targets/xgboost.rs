//! The reader of XGBoost's JSON and UBJSON: what reads must compile, and predict a row.
#![no_main]

use arborgate_forest::{Compiled, Limits, Model, Options, Output, Rounds};
use libfuzzer_sys::fuzz_target;
use ndarray::Array2;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { max_bytes: 16 << 20, ..Limits::default() };
    for rounds in [Rounds::AsSaved, Rounds::Best, Rounds::All] {
        let Ok(model) = Model::read(bytes, &Options { limits: limits.clone(), rounds }) else { continue };
        let compiled = Compiled::new(&model).expect("what reads compiles");
        let rows = Array2::from_shape_fn((1, compiled.n_features()), |(_, feature)| feature as f64 * 0.7 - 1.0);
        let mut values = Array2::zeros((1, compiled.values_width()));
        let mut labels = Array2::zeros((1, compiled.labels_width()));
        let mut out = Output { values: values.view_mut(), labels: labels.view_mut() };
        compiled.predict(rows.view(), &mut out).expect("every row is taken");
    }
});
