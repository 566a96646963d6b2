//! The reader of our own files: what reads must compile, predict a row, and be written and read again as the same bytes.
#![no_main]

use arborgate_forest::{Compiled, Limits, Model, Options};
use libfuzzer_sys::fuzz_target;
use ndarray::Array2;

fuzz_target!(|bytes: &[u8]| {
    let options = Options::from(Limits { max_bytes: 16 << 20, ..Limits::default() });
    let Ok(model) = Model::read(bytes, &options) else { return };
    let mut written = Vec::new();
    model.write(&mut written).expect("what reads is written");
    let mut again = Vec::new();
    let model = Model::read(&written, &Options::default()).expect("what was written reads");
    model.write(&mut again).expect("what reads is written");
    assert!(written == again);
    let compiled = Compiled::new(&model).expect("what reads compiles");
    let rows = Array2::from_shape_fn((1, compiled.n_features()), |(_, feature)| feature as f64 * 0.7 - 1.0);
    let mut margins = Array2::zeros((1, compiled.margins_width()));
    // a model may take no such row
    let _ = compiled.margins(rows.view(), margins.view_mut());
});
