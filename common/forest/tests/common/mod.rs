//! The reference files, as `fixtures/make_sklearn.py` writes them.
#![allow(dead_code, unreachable_pub)]

pub mod catboost;
pub mod naive;
pub mod onnx;
pub mod reference;
pub mod xgboost;

use std::io::Read;
use std::path::PathBuf;

use arborgate_forest::{Compiled, Element, Output, PredictError};
use ndarray::{Array2, ArrayView2};

/// Versions of scikit-learn that reference files are of.
pub const VERSIONS: &[&str] = &["1.1.3", "1.2.2", "1.3.2", "1.4.2", "1.5.2", "1.6.1", "1.7.2", "1.8.0", "1.9.1"];

/// One model and what its own library predicts.
pub struct Case {
    pub version: &'static str,
    pub file: String,
    pub class: String,
    pub takes_nan: bool,
    pub trees: usize,
    pub classes: Vec<Vec<String>>,
    pub names: Vec<String>,
    pub bytes: Vec<u8>,
    pub rows: Array2<f64>,
    pub values: Array2<f64>,
    pub labels: Array2<u32>,
}

pub fn folder(version: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sklearn").join(version)
}

pub fn file(version: &str, name: &str) -> Vec<u8> {
    let path = folder(version).join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn split(text: &str, by: char) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { text.split(by).map(str::to_owned).collect() }
}

/// All cases of a version.
pub fn cases(version: &'static str) -> Vec<Case> {
    let index = String::from_utf8(file(version, "index.tsv")).unwrap();
    index.lines().map(|line| case(version, line)).collect()
}

fn case(version: &'static str, line: &str) -> Case {
    let [file_name, class, nan, trees, classes, names] = line.split('\t').collect::<Vec<_>>()[..] else {
        panic!("{line}");
    };
    let mut plain = Vec::new();
    let packed = file(version, &format!("{file_name}.npy.z"));
    flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut plain).unwrap();
    let mut rest = &plain[..];
    let rows = npy(&mut rest).mapv(f64::from_bits);
    let values = npy(&mut rest).mapv(f64::from_bits);
    let labels = npy(&mut rest).mapv(|label| u32::try_from(label).unwrap());
    assert!(rest.is_empty());
    Case {
        version,
        file: file_name.to_owned(),
        class: class.to_owned(),
        takes_nan: nan == "nan",
        trees: trees.parse().unwrap(),
        classes: split(classes, ';').iter().map(|of| split(of, ',')).collect(),
        names: split(names, ','),
        bytes: file(version, file_name),
        rows,
        values,
        labels,
    }
}

/// A `.npy` of version 1 with two dimensions of eight-byte numbers, in row-major order.
fn npy(rest: &mut &[u8]) -> Array2<u64> {
    let (head, after) = rest.split_at(10);
    assert_eq!(&head[..8], b"\x93NUMPY\x01\x00");
    let (header, after) = after.split_at(usize::from(u16::from_le_bytes([head[8], head[9]])));
    let header = std::str::from_utf8(header).unwrap();
    assert!(header.contains("'fortran_order': False") && (header.contains("'<f8'") || header.contains("'<i8'")));
    let shape = header.split('(').nth(1).unwrap().split(')').next().unwrap();
    let [rows, columns] = shape.split(',').map(|side| side.trim().parse().unwrap()).collect::<Vec<usize>>()[..] else {
        panic!("{header}");
    };
    let (data, after) = after.split_at(rows * columns * 8);
    *rest = after;
    let words = data.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    Array2::from_shape_vec((rows, columns), words).unwrap()
}

/// Predicts into buffers filled with nonsense.
pub fn predict<T: Element>(
    model: &Compiled,
    rows: ArrayView2<'_, T>,
) -> Result<(Array2<f64>, Array2<u32>), PredictError> {
    let mut values = Array2::from_elem((rows.nrows(), model.values_width()), f64::NAN);
    let mut labels = Array2::from_elem((rows.nrows(), model.labels_width()), u32::MAX);
    model.predict(rows, &mut Output { values: values.view_mut(), labels: labels.view_mut() })?;
    Ok((values, labels))
}

pub fn bits(values: &Array2<f64>) -> Array2<u64> {
    values.mapv(f64::to_bits)
}
