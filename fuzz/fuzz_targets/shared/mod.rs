//! What every target does: reading takes memory within twenty times the input, and of a model that was read no row that it
//! takes makes anything panic, and each size of batch and our own file give the same bits.

#[path = "../../../common/forest/tests/common/counting.rs"]
mod counting;

use arborgate_forest::{Compiled, Explainer, Limits, Model, Options, Output, Rounds};
use ndarray::{Array2, ArrayView2, Axis};

/// What an input may unpack to.
const MAX_BYTES: usize = 16 << 20;
/// Times the input, and what the smallest needs.
const MEMORY: (usize, usize) = (20, 64 << 10);
/// What the smallest pickle may need: each of its objects costs as much, and a short file may have a mebibyte's worth of them.
const PICKLE: usize = 4 << 20;

/// More than one block of 64 rows.
const ROWS: usize = 67;
/// A model beyond this is not written and explained, so that many inputs a second are tried.
const NODES: usize = 20_000;
const WIDTH: usize = 2_000;

/// Reads it, within the memory that is promised.
pub fn read(bytes: &[u8], rounds: Rounds) -> Option<Model> {
    let options = Options { limits: Limits { max_bytes: MAX_BYTES, ..Limits::default() }, rounds };
    let (model, peak) = counting::peak(|| Model::read(bytes, &options));
    let packed = [&b"\x78"[..], b"\x1f\x8b", b"BZ", b"\xfd7zXZ", b"\x5d\0", b"\x04\x22\x4d\x18"];
    let input = if packed.iter().any(|magic| bytes.starts_with(magic)) { MAX_BYTES } else { bytes.len() };
    let most = MEMORY.0 * input + if bytes.starts_with(b"\x80") { PICKLE } else { MEMORY.1 };
    assert!(peak <= most, "{peak} bytes of memory for an input of {}: {:?}", bytes.len(), model.err());
    model.ok()
}

/// Compiles, predicts, explains, and writes and reads again.
pub fn exercise(model: &Model) {
    let compiled = Compiled::new(model).expect("what reads compiles");
    let many = if model.n_nodes() <= NODES && compiled.n_features() <= WIDTH { ROWS } else { 1 };
    let rows = Array2::from_shape_fn((many, compiled.n_features()), |(row, feature)| number(model, row, feature));
    let finite = Array2::from_shape_fn((1, compiled.n_features()), |(_, feature)| feature as f64 * 0.7 - 1.0);
    predict(&compiled, finite.view());
    let Some(found) = predict(&compiled, rows.view()) else { return };
    for (number, row) in rows.axis_chunks_iter(Axis(0), 1).enumerate().take(5) {
        let alone = predict(&compiled, row).expect("a row of rows that are taken is taken");
        assert!(alone[..] == found[number * alone.len()..(number + 1) * alone.len()], "row {number} alone differs");
    }
    if many == 1 {
        return;
    }
    let mut written = Vec::new();
    model.write(&mut written).expect("what reads is written");
    let again = Model::read(&written, &Options::default()).expect("what was written reads");
    let again = Compiled::new(&again).expect("what reads compiles");
    assert!(predict(&again, rows.view()).is_some_and(|again| again == found), "our own file predicts other bits");
    let Ok(explainer) = Explainer::new(model) else { return };
    let few = rows.slice(ndarray::s![..3, ..]);
    let mut contributions = Array2::zeros((3, explainer.width()));
    explainer.explain(few, contributions.view_mut()).expect("rows that are predicted are explained");
}

/// Odd numbers first, if the model may take them.
fn number(model: &Model, row: usize, feature: usize) -> f64 {
    let plain = feature as f64 * 0.7 - 1.0 + row as f64 * 0.3;
    let takes = &model.features()[feature];
    match (row + feature) % 13 {
        1 if takes.missing_allowed => f64::NAN,
        2 if model.input().infinite_allowed => f64::INFINITY,
        3 if model.input().infinite_allowed => f64::NEG_INFINITY,
        4 => 1e-310,
        5 => -0.0,
        6 => row as f64,
        7 => -1e30,
        _ => plain,
    }
}

/// The bits of margins, values and labels, row by row; nothing where the model refuses the rows.
fn predict(compiled: &Compiled, rows: ArrayView2<'_, f64>) -> Option<Vec<u64>> {
    let mut values = Array2::zeros((rows.nrows(), compiled.values_width()));
    let mut labels = Array2::zeros((rows.nrows(), compiled.labels_width()));
    let mut margins = Array2::zeros((rows.nrows(), compiled.margins_width()));
    let mut out = Output { values: values.view_mut(), labels: labels.view_mut() };
    compiled.predict(rows, &mut out).ok()?;
    compiled.margins(rows, margins.view_mut()).expect("rows that are predicted have margins");
    let bits = |number: &f64| if number.is_nan() { u64::MAX } else { number.to_bits() };
    let row = |row: usize| {
        let labels = labels.row(row).to_owned();
        let numbers = margins.row(row).iter().chain(values.row(row)).map(bits).collect::<Vec<_>>();
        numbers.into_iter().chain(labels.into_iter().map(u64::from))
    };
    Some((0..rows.nrows()).flat_map(row).collect())
}
