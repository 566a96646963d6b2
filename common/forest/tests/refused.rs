//! What is no model, or a hostile one, is refused with an error that says what and where.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/pickler.rs"]
mod pickler;

use arborgate_forest::{Compiled, Error, Limits, Model, Options};
use common::{bits, file, predict};
use pickler::{Py, Spec, array, build, dict, dtype, ints, pickle, reduce, text};

fn read(bytes: &[u8]) -> Result<Model, Error> {
    Model::read(bytes, &Options::default())
}

fn said(bytes: &[u8]) -> String {
    read(bytes).expect_err("it was read").to_string()
}

#[track_caller]
fn refused(spec: &Spec, expected: &str) {
    let said = said(&spec.pickle());
    assert!(said.contains(expected), "{said}");
}

#[test]
fn a_tree_written_here_reads() {
    let model = read(&Spec::default().pickle()).unwrap();
    let compiled = Compiled::new(&model).unwrap();
    let rows = ndarray::arr2(&[[0.5, 0.0], [0.6, -1.5], [0.6, -1.4], [f64::NAN, f64::NAN]]);
    let (values, labels) = predict(&compiled, rows.view()).unwrap();
    assert_eq!(values, ndarray::arr2(&[[1., 0., 0.], [0., 1., 0.], [0., 0.25, 0.75], [0., 0.25, 0.75]]));
    assert_eq!(labels, ndarray::arr2(&[[0], [1], [2], [2]]));
}

#[test]
fn other_byte_orders_and_widths_read_the_same() {
    let rows = ndarray::arr2(&[[0.5, 0.0], [0.6, -1.5], [0.6, -1.4]]);
    let plain = predict(&Compiled::new(&read(&Spec::default().pickle()).unwrap()).unwrap(), rows.view()).unwrap();
    let narrow = vec![
        ("left_child", "i4", 0),
        ("right_child", "i4", 4),
        ("feature", "i4", 8),
        ("threshold", "f8", 16),
        ("impurity", "f8", 24),
        ("n_node_samples", "i4", 32),
        ("weighted_n_node_samples", "f8", 40),
        ("missing_go_to_left", "u1", 48),
    ];
    for spec in [
        Spec { big_endian: true, ..Spec::default() },
        Spec { fields: narrow.clone(), record: 56, ..Spec::default() },
        Spec { fields: narrow, record: 56, big_endian: true, ..Spec::default() },
    ] {
        let other = predict(&Compiled::new(&read(&spec.pickle()).unwrap()).unwrap(), rows.view()).unwrap();
        assert_eq!((bits(&plain.0), &plain.1), (bits(&other.0), &other.1));
    }
}

#[test]
fn globals_that_run_something_are_refused_by_name() {
    let cases: &[(&[u8], &str, usize)] = &[
        (b"cos\nsystem\n(Vecho x\ntR.", "os.system", 0),
        (b"\x80\x02cposix\nsystem\nX\x06\0\0\0echo x\x85R.", "posix.system", 2),
        (b"\x80\x04\x95\x1e\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x06echo x\x94\x85\x94R\x94.", "posix.system", 28),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "builtins.eval", 18),
        (b"\x80\x02csubprocess\nPopen\n.", "subprocess.Popen", 2),
        (b"\x80\x02(ios\nsystem\n.", "os.system", 3),
        (b"\x80\x02cnumpy.core.multiarray\nfromfile\n.", "numpy.core.multiarray.fromfile", 2),
        (b"\x80\x02csklearn.tree._tree\nos.system\n.", "sklearn.tree._tree.os.system", 2),
    ];
    for (bytes, expected, at) in cases {
        match read(bytes) {
            Err(Error::Global { name, offset, .. }) => assert_eq!((name.as_str(), offset), (*expected, *at)),
            other => panic!("{expected}: {other:?}"),
        }
    }
    let said = said(b"\x80\x02cposix\nsystem\n.");
    assert!(said.contains("refuses the global `posix.system` at byte 2") && said.contains("runs nothing"), "{said}");
}

#[test]
fn a_global_is_refused_wherever_it_hides() {
    // within an attribute that is never looked at
    let hidden = reduce(Py::Global("os", "getpid"), vec![]);
    refused(&Spec { extra: vec![("random_state", hidden)], ..Spec::default() }, "refuses the global `os.getpid`");
    // within joblib's nested pickle of an array of objects
    let bytes = read_and_replace("et_cancer_object.xz", b"benign", b"\x8c\x04posi\x93");
    assert!(read(&bytes).is_err());
}

/// A decompressed reference file with some bytes exchanged.
fn read_and_replace(name: &str, from: &[u8], to: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut plain = Vec::new();
    lzma_rust2::XzReader::new(&file("1.9.1", name)[..], true).read_to_end(&mut plain).unwrap();
    let at = plain.windows(from.len()).position(|window| window == from).unwrap();
    plain.splice(at..at + from.len(), to.iter().copied());
    plain
}

#[test]
fn other_estimators_are_refused_with_what_would_work() {
    for (module, name, expected) in [
        ("sklearn.model_selection._search", "GridSearchCV", "search.best_estimator_"),
        ("sklearn.ensemble._weight_boosting", "AdaBoostClassifier", "this version reads RandomForest"),
        ("sklearn.preprocessing._encoders", "OneHotEncoder", "before the trees this version reads StandardScaler"),
        ("sklearn.ensemble._forest", "RandomTreesEmbedding", "this version reads RandomForest"),
        ("xgboost.sklearn", "XGBModel", "save the model by `save_model(\"model.json\")`"),
        ("lightgbm.dask", "DaskLGBMClassifier", "of LightGBM this version reads Booster, LGBMClassifier"),
    ] {
        let said = said(&pickle(&Py::NewObj(Box::new(Py::Global(module, name)))));
        assert!(said.contains(&format!("`{module}.{name}`")) && said.contains(expected), "{said}");
    }
    for (value, kind) in
        [(Py::List(vec![Spec::default().estimator()]), "a list"), (dict(&[]), "a dict"), (Py::None, "None")]
    {
        let said = said(&pickle(&value));
        assert!(said.contains(kind) && said.contains("an estimator was expected"), "{said}");
    }
}

#[test]
fn a_tree_that_is_none_is_refused() {
    let nodes = |change: fn(&mut Vec<pickler::Node>)| {
        let mut spec = Spec::default();
        change(&mut spec.nodes);
        spec
    };
    refused(&nodes(|n| n[2].0 = 0), "node 0: has two parents, or is its own ancestor");
    refused(&nodes(|n| n[2].0 = 2), "node 2: has two parents, or is its own ancestor");
    refused(&nodes(|n| n[2].1 = 3), "node 3: has two parents, or is its own ancestor");
    refused(&nodes(|n| n[2].1 = 5), "node 5: is a child but there are only 5 nodes");
    refused(&nodes(|n| n[2].1 = i64::MAX), "node 2 has one child, or a child before the first node");
    refused(&nodes(|n| n[2].1 = -1), "node 2 has one child");
    refused(&nodes(|n| n[2].0 = -2), "node 2 has one child");
    refused(&nodes(|n| n[0] = (-1, -1, -2, -2.0)), "node 1: is reached from nowhere");
    refused(&nodes(|n| n[0].3 = f64::NAN), "node 0: has NaN as its threshold");
    refused(&nodes(|n| n[0].2 = 2), "node 0: splits on feature 2, of 2");
    refused(&nodes(|n| n[0].2 = -1), "node 0 splits on a feature that is none");
    refused(&nodes(|n| n[0].2 = 1 << 40), "node 0 splits on a feature that is none");
    let infinite = read(&nodes(|n| n[0].3 = f64::INFINITY).pickle()).unwrap();
    let rows = ndarray::arr2(&[[3e38, 0.0]]);
    assert_eq!(predict(&Compiled::new(&infinite).unwrap(), rows.view()).unwrap().1, ndarray::arr2(&[[0]]));
}

#[test]
fn arrays_that_disagree_are_refused() {
    refused(&Spec { node_count: 4, ..Spec::default() }, "tree_.nodes");
    refused(&Spec { node_count: 1 << 31, ..Spec::default() }, "nodes of all trees");
    refused(&Spec { node_count: 1 << 24, ..Spec::default() }, "tree_.nodes");
    refused(&Spec { node_count: -5, ..Spec::default() }, "tree_.node_count");
    refused(&Spec { node_count: 0, ..Spec::default() }, "a tree has a root");
    refused(&Spec { n_classes: 2, ..Spec::default() }, "other outputs or classes than its estimator's [3]");
    refused(&Spec { tree_n_features: 3, ..Spec::default() }, "another number of features than its estimator's 2");
    refused(&Spec { values_shape: vec![5, 3, 1], ..Spec::default() }, "expected [5, 1, 3]");
    refused(&Spec { values_shape: vec![15], ..Spec::default() }, "expected [5, 1, 3]");
    refused(&Spec { values_shape: vec![5, 1, 2], ..Spec::default() }, "data of another size");
    refused(&Spec { values_shape: vec![1 << 62, 1 << 62, 0], ..Spec::default() }, "shape overflows");
    refused(&Spec { classes: ints(&[10, 20]), ..Spec::default() }, "has 2 classes where n_classes_ says 3");
    refused(&Spec { classes: text("abc"), ..Spec::default() }, "classes_");
    let matrix = array(dtype("i8", "<"), &[3, 1], true, Py::Bytes(vec![0; 24]));
    refused(&Spec { classes: matrix, ..Spec::default() }, "a vector was expected");
    let complex = array(dtype("c16", "<"), &[1], false, Py::Bytes(vec![0; 16]));
    refused(&Spec { classes: complex, ..Spec::default() }, "numpy dtype `c16` is none that a forest has");
    let empty = array(dtype("U0", "<"), &[1 << 60], false, Py::Bytes(vec![]));
    refused(&Spec { classes: empty, ..Spec::default() }, "numpy dtype `U0`");
    refused(&Spec { without: "tree_", ..Spec::default() }, "tree_");
    refused(&Spec { without: "_sklearn_version", ..Spec::default() }, "_sklearn_version");
    refused(&Spec { extra: vec![("tree_", Py::None)], ..Spec::default() }, "stands there twice");
    let names = array(dtype("O8", "|"), &[1], false, Py::List(vec![text("a")]));
    refused(&Spec { extra: vec![("feature_names_in_", names)], ..Spec::default() }, "has 1 names for 2 features");
    let names = array(dtype("O8", "|"), &[2], false, Py::List(vec![text("a"), Py::Int(3)]));
    refused(&Spec { extra: vec![("feature_names_in_", names)], ..Spec::default() }, "a name that is no str");
}

#[test]
fn values_of_a_leaf_are_checked() {
    let values = |change: fn(&mut Vec<f64>)| {
        let mut spec = Spec::default();
        change(&mut spec.values);
        spec
    };
    refused(&values(|v| v[14] = f64::NAN), "leaf at node 4 holds what is no finite number");
    refused(&values(|v| v[3] = f64::INFINITY), "leaf at node 1 holds what is no finite number");
    refused(&values(|v| v[0] = 50.0), "holds counts at the root");
}

#[test]
fn versions_and_their_records_must_fit() {
    refused(&Spec { version: "1.0.2", ..Spec::default() }, "made by scikit-learn 1.0.2; this reader knows 1.1 to 1.9");
    refused(&Spec { version: "2.0.0", ..Spec::default() }, "made by scikit-learn 2.0.0");
    refused(&Spec { version: "1.2.2", ..Spec::default() }, "which scikit-learn 1.2 has not");
    let mut old = Spec { version: "1.2.2", record: 56, ..Spec::default() };
    old.fields.pop();
    assert!(read(&old.pickle()).is_ok());
    refused(&Spec { version: "1.9.1", ..old }, "which scikit-learn 1.9 has not");
    let mut outside = Spec::default();
    outside.fields[3].2 = 60;
    outside.nodes.clear();
    refused(&outside, "a field outside of it");
    let mut twice = Spec::default();
    twice.fields[7] = twice.fields[0];
    refused(&twice, "is there twice");
}

/// A forest of `count` trees, which are one tree if `shared`.
fn forest(count: usize, shared: bool) -> Py {
    let spec = Spec::default();
    let tree = spec.estimator();
    let trees = (0..count).map(|_| if shared { Py::Shared(0, Box::new(tree.clone())) } else { tree.clone() }).collect();
    let state = dict(&[
        ("estimators_", Py::List(trees)),
        ("n_features_in_", Py::Int(2)),
        ("n_outputs_", Py::Int(1)),
        ("classes_", spec.classes.clone()),
        ("n_classes_", Py::Int(3)),
        ("_sklearn_version", text(spec.version)),
    ]);
    build(Py::NewObj(Box::new(Py::Global("sklearn.ensemble._forest", "RandomForestClassifier"))), state)
}

#[test]
fn shared_trees_are_refused() {
    assert_eq!(read(&pickle(&forest(3, false))).unwrap().trees().len(), 3);
    let said = said(&pickle(&forest(3, true)));
    assert!(said.contains("estimators_[1]") && said.contains("a second time"), "{said}");
}

#[test]
fn limits_are_kept() {
    let bytes = pickle(&forest(3, false));
    let with = |limits: Limits| Model::read(&bytes, &limits.into());
    let limits = Limits::default;
    assert!(
        with(Limits { max_trees: 3, max_nodes: 15, max_depth: 2, max_classes: 3, max_features: 2, ..limits() }).is_ok()
    );
    for limits in [
        Limits { max_trees: 2, ..limits() },
        Limits { max_nodes: 14, ..limits() },
        Limits { max_depth: 1, ..limits() },
        Limits { max_classes: 2, ..limits() },
        Limits { max_features: 1, ..limits() },
        Limits { max_outputs: 0, ..limits() },
        Limits { max_bytes: bytes.len() - 1, ..limits() },
        Limits { max_pickle_stack: 10, ..limits() },
        Limits { max_pickle_objects: 100, ..limits() },
    ] {
        assert!(matches!(with(limits.clone()), Err(Error::Limit { .. })), "{limits:?}");
    }
}

#[test]
fn attacks_on_memory_and_time_end_early() {
    let header = &b"\x80\x04"[..];
    let attack = |body: &[u8], times: usize, end: &[u8]| {
        let bytes = [header, &body.repeat(times), end].concat();
        let error = read(&bytes).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Amplification { .. } | Error::Limit { .. } | Error::Pickle { .. } | Error::Content { .. }
            ),
            "{error}"
        );
    };
    // nesting without end, a stack without end, marks, memos, copies, empty containers
    attack(b"]", 1 << 20, b".");
    attack(b"(", 1 << 20, b".");
    attack(b"N", 1 << 20, b".");
    attack(b"\x94", 1 << 20, b".");
    attack(b"N\x942", 1 << 20, b".");
    attack(b"]\x940", 1 << 20, b".");
    attack(b")0", 1 << 20, b".");
    attack(b"N\x85", 1 << 20, b".");
    attack(b"]\x94(N2222222222e0", 1 << 17, b".");
    // one long text, encoded again and again
    let text = format!("X\x00\x00\x10\x00{}", "a".repeat(1 << 20));
    let mut bytes = [header, text.as_bytes(), b"\x940c_codecs\nencode\n\x940X\x06\0\0\0latin1\x940"].concat();
    bytes.extend(b"h\x01h\0h\x02\x86R0".repeat(1 << 14));
    assert!(matches!(read(&bytes), Err(Error::Amplification { .. })));
    // one long list, made into arrays again and again
    let list = Py::Shared(0, Box::new(Py::List(vec![Py::None; 60_000])));
    let arrays = vec![array(dtype("O8", "|"), &[60_000], false, list); 500];
    assert!(matches!(read(&pickle(&Py::List(arrays))), Err(Error::Amplification { .. })));
    // lengths that the file has not
    for body in [
        &b"B\xff\xff\xff\xffab"[..],
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x8b\xff\xff\xff\x7f1",
        b"\x95\xff\0\0\0\0\0\0\0",
    ] {
        attack(body, 1, b".");
    }
    // a list within itself
    attack(b"]\x94h\0a", 1, b".");
}

#[test]
fn malformed_pickles_say_where() {
    let cases: &[(&[u8], &str)] = &[
        (b"\x80\x04.", "byte 2: nothing is on the stack"),
        (b"\x80\x04NN.", "values are left on the stack"),
        (b"\x80\x04N.N", "1 bytes follow the end of the pickle, at byte 4"),
        (b"\x80\x04h\0.", "memo 0 was never put"),
        (b"\x80\x04Nr\xff\xff\xff\xff.", "memo 4294967295 comes where 0 would be next"),
        (b"\x80\x04\x80\x06.", "protocol 6"),
        (b"\x80\x04Pabc\n.", "opcode 0x50: a persistent id"),
        (b"\x80\x04\x97.", "out-of-band buffer"),
        (b"\x80\x04\xff.", "opcode 0xff: no opcode"),
        (b"\x80\x04N)R.", "None is called as a function"),
        (b"\x80\x04}(Nu.", "a key of a dict has no value"),
        (b"\x80\x04Ja", "needs 4 bytes and the file has 1 left"),
        (b"\x80\x04I12", "a line has no end"),
        (b"\x80\x04I1x\n.", "a number is none"),
        (b"\x80\x04\x8c\x01\xff.", "a text is not UTF-8"),
        (b"\x80\x04csklearn.tree._classes\nDecisionTreeClassifier\n)R.", "a class is called"),
        (b"\x80\x04cnumpy\nndarray\n)\x81.", "no plain class"),
    ];
    for (bytes, expected) in cases {
        let said = said(bytes);
        assert!(said.contains(expected), "{bytes:?}: {said}");
    }
}

#[test]
fn text_from_the_file_is_escaped_and_cut() {
    let name = format!("evil\u{1b}[31m{}", "x".repeat(500));
    let bytes =
        [b"\x80\x04X", &u32::try_from(name.len()).unwrap().to_le_bytes()[..], name.as_bytes(), b"\x8c\x01n\x93."];
    let said = said(&bytes.concat());
    assert!(!said.contains('\u{1b}') && said.len() < 300, "{said}");
}

#[test]
fn what_follows_the_pickle_is_refused() {
    let mut bytes = file("1.9.1", "rf_iris.joblib");
    bytes.extend(b"\0\0\0");
    assert!(matches!(read(&bytes), Err(Error::Trailing { count: 3, .. })));
}
