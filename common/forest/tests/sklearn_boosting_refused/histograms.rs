//! Predictors of gradient boosting by histograms, written here.

use super::*;

type HistNode = (f64, i64, f64, u8, u32, u32, u8, u8, u32);

/// Value, feature, threshold, missing left, left, right, leaf, categorical, bitset.
const HIST: [HistNode; 5] = [
    (0.0, 0, 0.5, 1, 1, 2, 0, 0, 0),
    (1.0, 0, 0.0, 0, 0, 0, 1, 0, 0),
    (0.0, 1, 0.0, 1, 3, 4, 0, 1, 0),
    (2.0, 0, 0.0, 0, 0, 0, 1, 0, 0),
    (3.0, 0, 0.0, 0, 0, 0, 1, 0, 0),
];

fn record(names: &[(&str, &'static str)]) -> (Py, usize) {
    let sizes = |kind: &str| kind[1..].parse::<i64>().unwrap();
    let mut at = 0;
    let mut fields = Vec::new();
    for (name, kind) in names {
        let order = if *kind == "u1" { "|" } else { "<" };
        fields.push((*name, Py::Tuple(vec![dtype(kind, order), Py::Int(at)])));
        at += sizes(kind);
    }
    let size = usize::try_from(at).unwrap();
    let plain = reduce(Py::Global("numpy", "dtype"), vec![text(&format!("V{at}")), Py::Bool(false), Py::Bool(true)]);
    let names = Py::Tuple(names.iter().map(|(name, _)| text(name)).collect());
    let state = vec![Py::Int(3), text("|"), Py::None, names, dict(&fields), Py::Int(at), Py::Int(1), Py::Int(16)];
    (build(plain, Py::Tuple(state)), size)
}

const FIELDS: [(&str, &str); 13] = [
    ("value", "f8"),
    ("count", "u4"),
    ("feature_idx", "i8"),
    ("num_threshold", "f8"),
    ("missing_go_to_left", "u1"),
    ("left", "u4"),
    ("right", "u4"),
    ("gain", "f8"),
    ("depth", "u4"),
    ("is_leaf", "u1"),
    ("bin_threshold", "u1"),
    ("is_categorical", "u1"),
    ("bitset_idx", "u4"),
];

fn hist(nodes: &[HistNode], fields: &[(&str, &'static str)], changes: &[(&'static str, Py)]) -> Py {
    let (dtype_of_nodes, size) = record(fields);
    let mut bytes = Vec::new();
    for (value, feature, threshold, missing, left, right, leaf, categorical, bitset) in nodes {
        let words = [
            value.to_le_bytes().to_vec(),
            7_u32.to_le_bytes().to_vec(),
            feature.to_le_bytes().to_vec(),
            threshold.to_le_bytes().to_vec(),
            vec![*missing],
            left.to_le_bytes().to_vec(),
            right.to_le_bytes().to_vec(),
            vec![0; 12],
            vec![*leaf, 0, *categorical],
            bitset.to_le_bytes().to_vec(),
        ];
        bytes.extend(words.concat());
    }
    bytes.resize(nodes.len() * size, 0);
    let count = i64::try_from(nodes.len()).unwrap();
    let bits: Vec<u8> = (0..8_u32).flat_map(|word| if word == 0 { 2_u32 } else { 0 }.to_le_bytes()).collect();
    let state = dict(&[
        ("nodes", array(dtype_of_nodes, &[count], false, Py::Bytes(bytes))),
        ("binned_left_cat_bitsets", Py::None),
        ("raw_left_cat_bitsets", array(dtype("u4", "<"), &[1, 8], false, Py::Bytes(bits))),
    ]);
    let predictor = build(
        Py::NewObj(Box::new(Py::Global("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor"))),
        state,
    );
    let mapper = object(
        "sklearn.ensemble._hist_gradient_boosting.binning",
        "_BinMapper",
        &[
            ("is_categorical_", array(dtype("u1", "|"), &[2], false, Py::Bytes(vec![0, 1]))),
            ("bin_thresholds_", Py::List(vec![floats(&[0.5]), floats(&[0.0, 1.0, 2.0])])),
        ],
    );
    let loss = Py::NewObj(Box::new(Py::Global("sklearn._loss.loss", "HalfSquaredError")));
    let entries = [
        ("n_features_in_", Py::Int(2)),
        ("_preprocessor", Py::None),
        ("_loss", build(loss, dict(&[]))),
        ("_bin_mapper", mapper),
        ("_baseline_prediction", floats(&[10.0])),
        ("_predictors", Py::List(vec![Py::List(vec![predictor])])),
    ];
    let module = "sklearn.ensemble._hist_gradient_boosting.gradient_boosting";
    object(module, "HistGradientBoostingRegressor", &with(&entries, changes))
}

#[test]
fn predictors_are_checked() {
    let model = Compiled::new(&read(&hist(&HIST, &FIELDS, &[])).unwrap()).unwrap();
    let rows = ndarray::arr2(&[[0.5, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 9.0], [1.0, f64::NAN], [f64::NAN, 0.0]]);
    assert_eq!(predict(&model, rows.view()).unwrap().column(0).to_vec(), [11.0, 12.0, 13.0, 12.0, 12.0, 11.0]);

    let nodes = |change: fn(&mut [HistNode; 5])| {
        let mut nodes = HIST;
        change(&mut nodes);
        hist(&nodes, &FIELDS, &[])
    };
    refused(&nodes(|n| n[2].4 = 0), "has two parents, or is its own ancestor");
    refused(&nodes(|n| n[2].5 = 3), "has two parents, or is its own ancestor");
    refused(&nodes(|n| n[2].5 = 9), "is a child but there are only 5 nodes");
    refused(&nodes(|n| n[2].5 = u32::MAX), "is a child but there are only 5 nodes");
    refused(&nodes(|n| n[0].6 = 1), "is reached from nowhere");
    refused(&nodes(|n| n[0].2 = f64::NAN), "has NaN as its threshold");
    refused(&nodes(|n| n[0].1 = 2), "splits on feature 2, of 2");
    refused(&nodes(|n| n[0].1 = -1), "node 0 has a number that is none here");
    refused(&nodes(|n| n[0].1 = i64::MAX), "node 0 has a number that is none here");
    refused(&nodes(|n| n[2].1 = 0), "splits on categories of a feature that has none");
    refused(&nodes(|n| n[2].8 = 1), "asks for a set that is not there");
    refused(&nodes(|n| n[4].0 = f64::INFINITY), "node 4 holds what is no finite number");
    refused(&hist(&[], &FIELDS, &[]), "a tree has a root");
    refused(&hist(&HIST, &FIELDS[..12], &[]), "which scikit-learn's predictors are not");
    let mut fields = FIELDS;
    fields[0].1 = "f4";
    refused(&hist(&HIST, &fields, &[]), "which scikit-learn's predictors are not");
    let change = |name, value| hist(&HIST, &FIELDS, &[(name, value)]);
    refused(&change("_baseline_prediction", floats(&[1.0, 2.0])), "is not 1 finite numbers");
    refused(&change("_baseline_prediction", Py::Float(f64::NAN)), "is not 1 finite numbers");
    refused(&change("_predictors", Py::List(vec![])), "is empty");
    refused(&change("_predictors", Py::List(vec![Py::List(vec![])])), "has not 1 trees at place 0");
    refused(&change("_loss", Py::None), "is None where a loss of scikit-learn was expected");
    let loss = build(Py::NewObj(Box::new(Py::Global("sklearn._loss.loss", "HalfBinomialLoss"))), dict(&[]));
    refused(&change("_loss", loss), "is no loss for 1 classes");
    refused(&change("_preprocessor", Py::Int(1)), "where a ColumnTransformer was expected");
    refused(&change("n_features_in_", Py::Int(3)), "is_categorical_");
    let limits = Limits { max_nodes: 4, ..Limits::default() };
    let bytes = pickle(&hist(&HIST, &FIELDS, &[]));
    assert!(matches!(Model::read(&bytes, &limits.into()), Err(Error::Limit { .. })));
}
