//! The reference files of boosted models, as `fixtures/reference.py` writes them, and what a model is held to by them.

use std::io::Read;
use std::path::{Path, PathBuf};

use arborgate_forest::{Compiled, Element, Model, Options, Output};
use ndarray::{Array2, ArrayView2};
use serde::Deserialize;

/// How near a number must be.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// The same bits (any NaN is any other).
    Bits,
    /// So many units in the last place of an `f64`.
    Ulp(u64),
    /// So far.
    Absolute(f64),
}

/// A line of `cases.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    pub file: String,
    pub source: String,
    pub trees: usize,
    pub values: Bound,
    pub margins: Bound,
    #[serde(default)]
    pub classes: Vec<Vec<String>>,
    #[serde(default)]
    pub names: Vec<String>,
    /// What `cargo xtask parity` counts the model under, beside its kind.
    #[serde(default)]
    pub traits: Vec<String>,
}

/// The rows, as the library was given them.
pub enum Rows {
    Single(Array2<f32>),
    Double(Array2<f64>),
}

/// One model and what its own library predicts.
pub struct Case {
    pub path: PathBuf,
    pub facts: Facts,
    pub bytes: Vec<u8>,
    pub rows: Rows,
    /// No columns where the library gives none.
    pub margins: Array2<f64>,
    pub values: Array2<f64>,
    /// No columns where the library gives none.
    pub labels: Array2<u32>,
}

/// All cases of a library, of all its versions.
pub fn cases(library: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(library);
    let mut versions: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    versions.sort();
    versions.iter().flat_map(|version| cases_of(version)).collect()
}

/// All cases of a folder.
pub fn cases_of(folder: &Path) -> Vec<Case> {
    let index = std::fs::read_to_string(folder.join("cases.json")).unwrap();
    let facts: Vec<Facts> = serde_json::from_str(&index).unwrap();
    facts.into_iter().map(|facts| case(folder, facts)).collect()
}

fn case(folder: &Path, facts: Facts) -> Case {
    let path = folder.join(&facts.file);
    let packed = std::fs::read(folder.join(format!("{}.npy.z", facts.file))).unwrap();
    let mut plain = Vec::new();
    flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut plain).unwrap();
    let mut rest = &plain[..];
    let rows = rows(&mut rest);
    let mut next = || {
        let (kind, shape, data) = npy(&mut rest);
        (kind, shape, data)
    };
    let (_, shape, data) = next();
    let margins = numbers(shape, data, f64::from_le_bytes);
    let (_, shape, data) = next();
    let values = numbers(shape, data, f64::from_le_bytes);
    let (_, shape, data) = next();
    let labels = numbers(shape, data, |word| u32::try_from(i64::from_le_bytes(word)).unwrap());
    let bytes = std::fs::read(&path).unwrap();
    Case { path, facts, bytes, rows, margins, values, labels }
}

/// A line of the `cases.json` of `make_shap.py`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapFacts {
    pub file: String,
    pub library: String,
    /// Part of the sum of the sizes of a row's contributions.
    pub bound: f64,
}

/// One model, and how its own library explains it.
pub struct ShapCase {
    pub facts: ShapFacts,
    pub bytes: Vec<u8>,
    pub rows: Rows,
    pub contributions: Array2<f64>,
    /// For each feature; no columns where the library gives none.
    pub gain: Array2<f64>,
    pub splits: Array2<f64>,
}

/// The cases of `make_shap.py`.
pub fn shap_cases() -> Vec<ShapCase> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/shap/0.51.0");
    let index = std::fs::read_to_string(folder.join("cases.json")).unwrap();
    let all: Vec<ShapFacts> = serde_json::from_str(&index).unwrap();
    let of = |facts: ShapFacts| {
        let (rows, [contributions, gain, splits]) = arrays(&folder, &facts.file);
        let bytes = std::fs::read(folder.join(&facts.file)).unwrap();
        ShapCase { facts, bytes, rows, contributions, gain, splits }
    };
    all.into_iter().map(of).collect()
}

impl ShapCase {
    /// The leaves that rows end in, where the library says them: a number for each tree, as `make_leaves.py` writes them.
    pub fn leaves(&self) -> Option<Array2<u32>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/shap/0.51.0");
        let packed = std::fs::read(folder.join(format!("{}.leaves.npy.z", self.facts.file))).ok()?;
        let mut plain = Vec::new();
        flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut plain).unwrap();
        let (_, shape, data) = npy(&mut &plain[..]);
        Some(numbers(shape, data, |word| u32::try_from(i64::from_le_bytes(word)).unwrap()))
    }
}

/// The rows of a file, and the three arrays of eight-byte floats after them.
fn arrays(folder: &Path, file: &str) -> (Rows, [Array2<f64>; 3]) {
    let packed = std::fs::read(folder.join(format!("{file}.npy.z"))).unwrap();
    let mut plain = Vec::new();
    flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut plain).unwrap();
    let mut rest = &plain[..];
    let rows = rows(&mut rest);
    let next = |_| {
        let (_, shape, data) = npy(&mut rest);
        numbers(shape, data, f64::from_le_bytes)
    };
    (rows, [0, 1, 2].map(next))
}

fn rows(rest: &mut &[u8]) -> Rows {
    match npy(rest) {
        (kind, shape, data) if kind == "<f4" => {
            let numbers = data.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
            Rows::Single(Array2::from_shape_vec(shape, numbers).unwrap())
        }
        (_, shape, data) => Rows::Double(numbers(shape, data, f64::from_le_bytes)),
    }
}

fn numbers<T>(shape: (usize, usize), data: &[u8], read: impl Fn([u8; 8]) -> T) -> Array2<T> {
    Array2::from_shape_vec(shape, data.as_chunks::<8>().0.iter().map(|word| read(*word)).collect()).unwrap()
}

/// A `.npy` of version 1 with two dimensions, in row-major order: its kind, shape and bytes.
fn npy<'b>(rest: &mut &'b [u8]) -> (String, (usize, usize), &'b [u8]) {
    let (head, after) = rest.split_at(10);
    assert_eq!(&head[..8], b"\x93NUMPY\x01\x00");
    let (header, after) = after.split_at(usize::from(u16::from_le_bytes([head[8], head[9]])));
    let header = std::str::from_utf8(header).unwrap();
    assert!(header.contains("'fortran_order': False"));
    let kind = header.split('\'').nth(3).unwrap().to_owned();
    let width = kind[2..].parse::<usize>().unwrap();
    let shape = header.split('(').nth(1).unwrap().split(')').next().unwrap();
    let [rows, columns] = shape.split(',').map(|side| side.trim().parse().unwrap()).collect::<Vec<usize>>()[..] else {
        panic!("{header}");
    };
    let (data, after) = after.split_at(rows * columns * width);
    *rest = after;
    (kind, (rows, columns), data)
}

impl Case {
    pub fn name(&self) -> String {
        let folder = self.path.parent().and_then(Path::file_name).unwrap().to_string_lossy();
        format!("{folder}/{}", self.facts.file)
    }

    /// The rows that the library refuses, where that is said.
    pub fn refused(&self) -> Option<Rows> {
        let packed = std::fs::read(self.path.with_file_name(format!("{}.refused.npy.z", self.facts.file))).ok()?;
        let mut plain = Vec::new();
        flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut plain).unwrap();
        Some(rows(&mut &plain[..]))
    }

    /// Reads the model and holds it against the library. Returns how many rows were compared.
    pub fn hold(&self, options: &Options) -> usize {
        let name = self.name();
        let model = Model::read(&self.bytes, options).unwrap_or_else(|error| panic!("{name}: {error}"));
        let facts = &self.facts;
        assert_eq!(model.source().to_string(), facts.source, "{name}");
        assert_eq!(model.trees().len(), facts.trees, "{name}");
        let classes: Vec<Vec<String>> =
            model.classes().iter().map(|of| of.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(classes, facts.classes, "{name}");
        assert_eq!(model.feature_names().unwrap_or_default(), facts.names, "{name}");
        let compiled = Compiled::new(&model).unwrap();
        match &self.rows {
            Rows::Single(rows) => self.compare(&compiled, rows.view()),
            Rows::Double(rows) => self.compare(&compiled, rows.view()),
        }
    }

    fn compare<T: Element>(&self, compiled: &Compiled, rows: ArrayView2<'_, T>) -> usize {
        let name = self.name();
        // all at once, and in parts: the answer is the same
        for size in [rows.nrows(), 1, 7, 64] {
            for (number, part) in rows.axis_chunks_iter(ndarray::Axis(0), size).enumerate() {
                let place = format!("{name}, rows from {}, {} together", number * size, part.nrows());
                let range = ndarray::s![number * size..number * size + part.nrows(), ..];
                let mut values = Array2::from_elem((part.nrows(), compiled.values_width()), f64::NAN);
                let mut labels = Array2::from_elem((part.nrows(), compiled.labels_width()), u32::MAX);
                let mut margins = Array2::from_elem((part.nrows(), compiled.margins_width()), f64::NAN);
                let mut out = Output { values: values.view_mut(), labels: labels.view_mut() };
                compiled.predict(part, &mut out).unwrap();
                compiled.margins(part, margins.view_mut()).unwrap();
                if self.margins.ncols() > 0 {
                    near(&margins, self.margins.slice(range), self.facts.margins, &format!("{place}: margins"));
                }
                near(&values, self.values.slice(range), self.facts.values, &format!("{place}: values"));
                if self.labels.ncols() > 0 {
                    assert_eq!(labels, self.labels.slice(range), "{place}: labels");
                }
            }
        }
        rows.nrows()
    }
}

fn near(found: &Array2<f64>, expected: ArrayView2<'_, f64>, bound: Bound, place: &str) {
    assert_eq!(found.dim(), expected.dim(), "{place}");
    for ((at, found), expected) in found.indexed_iter().zip(expected) {
        let same = found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
        let near = same
            || match bound {
                Bound::Bits => false,
                Bound::Ulp(most) => {
                    found.is_sign_negative() == expected.is_sign_negative()
                        && found.to_bits().abs_diff(expected.to_bits()) <= most
                }
                Bound::Absolute(most) => (found - expected).abs() <= most,
            };
        assert!(near, "{place}, {at:?}: {found:?}, the library says {expected:?}");
    }
}
