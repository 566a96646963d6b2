//! The reader of ONNX: what reads must compile, and predict a row, or refuse it.
#![no_main]

use arborgate_forest::{Compiled, Limits, Model, Options, Output};
use libfuzzer_sys::fuzz_target;
use ndarray::Array2;

fuzz_target!(|bytes: &[u8]| {
    // a compressed file is the other target's
    if bytes.first() != Some(&8) {
        return;
    }
    let options = Options::from(Limits { max_bytes: 16 << 20, ..Limits::default() });
    let Ok(model) = Model::read(bytes, &options) else { return };
    let compiled = Compiled::new(&model).expect("what reads compiles");
    let rows = Array2::from_shape_fn((1, compiled.n_features()), |(_, feature)| feature as f64 * 0.7 - 1.0);
    let mut values = Array2::zeros((1, compiled.values_width()));
    let mut labels = Array2::zeros((1, compiled.labels_width()));
    let mut out = Output { values: values.view_mut(), labels: labels.view_mut() };
    compiled.predict(rows.view(), &mut out).expect("finite rows are taken");
});
