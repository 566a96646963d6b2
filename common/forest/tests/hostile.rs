//! Damaged and made-up files never panic, never hang, and never predict past a row; a compiled model equals the obvious
//! walk over what was read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use arborgate_forest::{Compiled, Limits, Model, Options, Test, Tree};
use common::{bits, cases, file, naive, predict};
use ndarray::{Array2, ArrayView1};
use proptest::prelude::*;

/// Reads; what reads must compile and predict as the obvious walk does. Returns whether it read.
fn exercise(bytes: &[u8]) -> bool {
    let limits = Options::from(Limits { max_bytes: 1 << 24, ..Limits::default() });
    let Ok(model) = Model::read(bytes, &limits) else { return false };
    let compiled = Compiled::new(&model).unwrap();
    let row: Vec<f64> = (0..model.n_features()).map(|feature| feature as f64 * 0.7 - 1.0).collect();
    let rows = ArrayView1::from(&row[..]).insert_axis(ndarray::Axis(0));
    let (_, labels) = predict(&compiled, rows).unwrap();
    let mut margins = Array2::zeros((1, compiled.margins_width()));
    compiled.margins(rows, margins.view_mut()).unwrap();
    assert_eq!(
        margins.row(0).mapv(f64::to_bits).to_vec(),
        naive::margins(&model, &row).iter().map(|m| m.to_bits()).collect::<Vec<_>>()
    );
    assert!(labels.iter().zip(model.classes()).all(|(label, classes)| (*label as usize) < classes.len()));
    true
}

fn tiny() -> Vec<(String, Vec<u8>)> {
    let names = |version: &'static str| {
        let pickles = (0..6).map(|protocol| format!("tiny.p{protocol}.pickle"));
        pickles.chain((0..6).map(|protocol| format!("tiny.j{protocol}.joblib"))).map(move |name| (version, name))
    };
    names("1.1.3").chain(names("1.9.1")).map(|(version, name)| (name.clone(), file(version, &name))).collect()
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    for (name, bytes) in tiny() {
        assert!(exercise(&bytes), "{name}");
        for end in 0..bytes.len() {
            assert!(!exercise(&bytes[..end]), "{name} cut off at {end} reads");
        }
    }
}

#[test]
fn compressed_files_cut_off_anywhere_are_refused() {
    for name in ["ext_wine.lz4", "dt_cancer_bool.lzma", "rf_wine_text.gz", "rf_iris_missing.z"] {
        let bytes = file("1.9.1", name);
        assert!(exercise(&bytes), "{name}");
        for end in (0..bytes.len()).step_by(29).chain([bytes.len() - 1]) {
            assert!(!exercise(&bytes[..end]), "{name} cut off at {end} reads");
        }
    }
}

#[test]
fn any_byte_changed_does_no_harm() {
    // each way of writing texts, bytes, arrays and memo numbers once
    for name in
        ["tiny.p0.pickle", "tiny.p2.pickle", "tiny.p5.pickle", "tiny.j0.joblib", "tiny.j3.joblib", "tiny.j5.joblib"]
    {
        let bytes = file("1.9.1", name);
        let mut damaged = bytes.clone();
        let mut read = 0;
        for at in 0..bytes.len() {
            for change in [0x01, 0x80, 0xff, b'.' ^ bytes[at], bytes[at]] {
                damaged[at] = bytes[at] ^ change;
                read += usize::from(exercise(&damaged));
            }
            damaged[at] = bytes[at];
        }
        // bytes that nothing looks at, such as impurities
        assert!(read > 0, "{name}");
    }
}

fn opcodes() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&'static [u8]> = vec![
        b"(",
        b"0",
        b"1",
        b"2",
        b"N",
        b"\x88",
        b"\x89",
        b"K\x01",
        b"K\x00",
        b"M\x00\x01",
        b"J\xff\xff\xff\xff",
        b"\x8a\x01\x05",
        b"]",
        b"}",
        b")",
        b"\x8f",
        b"a",
        b"e",
        b"s",
        b"u",
        b"t",
        b"l",
        b"d",
        b"\x85",
        b"\x86",
        b"\x87",
        b"\x90",
        b"\x91",
        b"\x94",
        b"h\x00",
        b"h\x01",
        b"h\x02",
        b"R",
        b"b",
        b"\x81",
        b"\x93",
        b"V\n",
        b"Vlatin1\n",
        b"\x8c\x02i8",
        b"\x8c\x03V64",
        b"\x8c\x01<",
        b"\x8c\x05dtype",
        b"\x8c\x05shape",
        b"C\x08\0\0\0\0\0\0\0\0",
        b"C\x01b",
        b"G\0\0\0\0\0\0\0\0",
        b"ccopy_reg\n_reconstructor\n",
        b"c__builtin__\nobject\n",
        b"c_codecs\nencode\n",
        b"cnumpy\ndtype\n",
        b"cnumpy\nndarray\n",
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"cnumpy._core.multiarray\nscalar\n",
        b"cnumpy.core.numeric\n_frombuffer\n",
        b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n",
        b"csklearn.tree._tree\nTree\n",
        b"csklearn.tree._classes\nDecisionTreeClassifier\n",
        b"cnumpy.random._pickle\n__randomstate_ctor\n",
    ];
    prop::collection::vec(prop::sample::select(known), 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn made_up_pickles_do_no_harm(body in opcodes(), protocol in 2_u8..=5) {
        exercise(&[&[0x80, protocol][..], &body, b"."].concat());
    }

    #[test]
    fn spliced_files_do_no_harm(
        which in 0_usize..24,
        other in 0_usize..24,
        from in any::<prop::sample::Index>(),
        length in 0_usize..300,
        to in any::<prop::sample::Index>(),
        removed in 0_usize..300,
    ) {
        let all = tiny();
        let (mut bytes, donor) = (all[which].1.clone(), &all[other].1);
        let from = from.index(donor.len());
        let piece = donor[from..donor.len().min(from + length)].to_vec();
        let to = to.index(bytes.len());
        let end = bytes.len().min(to + removed);
        bytes.splice(to..end, piece);
        exercise(&bytes);
    }

    #[test]
    fn bytes_of_any_kind_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        exercise(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn compiled_equals_the_obvious_walk(which in any::<prop::sample::Index>(), seed in any::<u64>(), rows in 1_usize..150) {
        let cases = cases("1.9.1");
        let case = &cases[which.index(cases.len())];
        let model = Model::read(&case.bytes, &Options::default()).unwrap();
        let compiled = Compiled::new(&model).unwrap();
        // values near thresholds: of the model itself, with the last bits changed
        let thresholds: Vec<f64> = model.trees().iter().flat_map(Tree::splits).filter_map(|split| match split.test {
            Test::AtMost(threshold) => Some(threshold).filter(|threshold| threshold.is_finite()),
            Test::OneOf(_) => None,
        }).chain([0.0]).collect();
        let mut state = seed | 1;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let input = Array2::from_shape_simple_fn((rows, model.n_features()), || {
            let near = thresholds[(next() % thresholds.len() as u64) as usize];
            match next() % 5 {
                0 => near,
                1 => f64::from((near as f32).next_up()),
                2 => f64::from((near as f32).next_down()),
                3 if model.missing_allowed() => f64::NAN,
                _ => near * (1.0 + (next() % 1_000) as f64 / 1_000.0),
            }
        });
        let mut found = Array2::zeros((rows, compiled.margins_width()));
        compiled.margins(input.view(), found.view_mut()).unwrap();
        for (row, found) in input.outer_iter().zip(found.outer_iter()) {
            prop_assert_eq!(found.to_vec(), naive::margins(&model, row.as_slice().unwrap()));
        }
        // trees of scikit-learn alone and in forests: the margins are the values
        prop_assert_eq!(bits(&predict(&compiled, input.view()).unwrap().0), bits(&found));
    }
}
