//! ONNX models predict what onnxruntime predicts; damaged files do no harm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use arborgate_forest::{Compiled, Element, Limits, Model, Options, Output};
use common::onnx::{File, Held, Node, alone, bytes, classifier, regressor, v5};
use common::{naive, reference};
use ndarray::{Array2, ArrayView2, arr2};
use proptest::prelude::*;

#[test]
fn onnxruntimes_own_numbers() {
    let cases = reference::cases("onnx");
    let rows: usize = cases.iter().map(|case| case.hold(&Options::default())).sum();
    assert!(cases.len() >= 100 && rows > 7_000, "{} models, {rows} rows", cases.len());
}

fn read(file: &File) -> Model {
    Model::read(&file.write(), &Options::default()).unwrap()
}

fn values<T: Element>(model: &Model, rows: ArrayView2<'_, T>) -> (Array2<f64>, Array2<u32>) {
    let compiled = Compiled::new(model).unwrap();
    let mut values = Array2::zeros((rows.nrows(), compiled.values_width()));
    let mut labels = Array2::zeros((rows.nrows(), compiled.labels_width()));
    let mut out = Output { values: values.view_mut(), labels: labels.view_mut() };
    compiled.predict(rows, &mut out).unwrap();
    (values, labels)
}

#[test]
fn files_written_here_read() {
    let model = read(&alone(regressor()));
    let rows = arr2(&[[1.5_f32, 0.], [1.6, -1.9], [1.6, -2.], [f32::NAN, f32::NAN], [7., -3.]]);
    assert_eq!(values(&model, rows.view()).0, arr2(&[[20.25], [20.5], [19.], [20.5], [9.]]));
    assert_eq!(model.source().to_string(), "ONNX ai.onnx.ml 5 TreeEnsembleRegressor");
    let model = read(&alone(classifier()));
    let (scores, labels) = values(&model, arr2(&[[0.0_f32, 0.4], [0., 0.5]]).view());
    assert_eq!((scores, labels), (arr2(&[[1., 0., 0.], [0., 0.25, 0.75]]), arr2(&[[0], [2]])));
    // a set with a large member takes numbers without their fraction
    let model = read(&alone(v5()));
    let rows = arr2(&[[3.0_f32, 0.], [50.5, 0.], [51., 0.], [f32::NAN, 0.], [-3., 0.]]);
    assert_eq!(values(&model, rows.view()).0, arr2(&[[1.], [1.], [-1.], [-1.], [-1.]]));
}

#[test]
fn rows_of_doubles_are_first_what_the_runtime_takes() {
    let scaler = Node::new("Scaler", "ai.onnx.ml", &["x"], &["scaled"])
        .with("offset", Held::Floats(vec![0.1, 0.2]))
        .with("scale", Held::Floats(vec![3.3, 0.7]));
    let mut node = regressor();
    node.inputs = vec!["scaled"];
    for file in [alone(regressor()), File::new(vec![scaler, node], &["y"])] {
        let model = read(&file);
        let wide = arr2(&[[7.000_000_001, 0.1], [1.500_000_01, -1.999_999_999], [0.554_545_46, 0.3]]);
        let single = wide.mapv(|x: f64| x as f32);
        assert_eq!(values(&model, wide.view()), values(&model, single.view()));
    }
}

/// Reads; what reads must predict as the obvious walk does. Returns whether it read.
fn exercise(bytes: &[u8]) -> bool {
    let limits = Options::from(Limits { max_bytes: 1 << 24, max_features: 5_000, ..Limits::default() });
    let Ok(model) = Model::read(bytes, &limits) else { return false };
    let compiled = Compiled::new(&model).unwrap();
    let row: Vec<f64> = (0..model.n_features()).map(|feature| feature as f64 * 0.7 - 1.0).collect();
    let rows = Array2::from_shape_vec((1, row.len()), row.clone()).unwrap();
    values(&model, rows.view());
    let mut margins = Array2::zeros((1, compiled.margins_width()));
    compiled.margins(rows.view(), margins.view_mut()).unwrap();
    let bits = |margins: Vec<f64>| margins.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(margins.row(0).to_vec()), bits(naive::margins(&model, &row)));
    true
}

fn small() -> Vec<Vec<u8>> {
    let files = [alone(regressor()), alone(classifier()), alone(v5())];
    let real = reference::cases("onnx").into_iter().filter(|case| case.bytes.len() < 2_500).map(|case| case.bytes);
    files.iter().map(File::write).chain(real.take(20)).collect()
}

#[test]
fn a_file_cut_off_anywhere_does_no_harm() {
    for bytes in small() {
        assert!(exercise(&bytes));
        // what follows the graph may be missing
        let read = (0..bytes.len()).filter(|end| exercise(&bytes[..*end])).count();
        assert!(read < 4, "{read}");
    }
}

#[test]
fn any_byte_changed_does_no_harm() {
    for bytes in small() {
        let mut damaged = bytes.clone();
        for at in 0..bytes.len() {
            for change in [0x01, 0x02, 0x04, 0x80, 0xff, bytes[at]] {
                damaged[at] = bytes[at] ^ change;
                exercise(&damaged);
            }
            damaged[at] = bytes[at];
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spliced_files_do_no_harm(
        which in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
        length in 0_usize..200,
        to in any::<prop::sample::Index>(),
        removed in 0_usize..200,
    ) {
        thread_local!(static SMALL: Vec<Vec<u8>> = small());
        SMALL.with(|small| {
            let (mut bytes, donor) = (which.get(small).clone(), other.get(small));
            let from = from.index(donor.len());
            let piece = donor[from..donor.len().min(from + length)].to_vec();
            let to = to.index(bytes.len());
            let end = bytes.len().min(to + removed);
            bytes.splice(to..end, piece);
            exercise(&bytes);
        });
    }

    #[test]
    fn made_up_fields_do_no_harm(body in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise(&[&[0x08, 8][..], &bytes(7, &body)].concat());
        exercise(&[&[0x08, 8, 0x3a][..], &body].concat());
    }
}
