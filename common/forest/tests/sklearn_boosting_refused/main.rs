//! Boosting, isolation forests and pipelines that scikit-learn would not write are refused with an error that says what and
//! where.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod changed;
#[path = "../common/mod.rs"]
mod common;
mod histograms;
#[path = "../common/pickler.rs"]
mod pickler;

use arborgate_forest::{Compiled, Error, Limits, Model, Options, Output, PredictError};
use common::naive;
use common::reference::cases;
use ndarray::{Array2, ArrayView2};
use pickler::{Py, Spec, array, build, dict, dtype, pickle, reduce, text};
use proptest::prelude::*;

const VERSION: &str = "1.9.1";

fn read(value: &Py) -> Result<Model, Error> {
    Model::read(&pickle(value), &Options::default())
}

#[track_caller]
fn refused(value: &Py, expected: &str) {
    let said = read(value).expect_err("it was read").to_string();
    assert!(said.contains(expected), "{said}");
}

fn object(module: &'static str, name: &'static str, entries: &[(&str, Py)]) -> Py {
    let mut entries = entries.to_vec();
    if !entries.iter().any(|(name, _)| *name == "_sklearn_version") {
        entries.push(("_sklearn_version", text(VERSION)));
    }
    build(Py::NewObj(Box::new(Py::Global(module, name))), dict(&entries))
}

/// With some entries in place of others; `Py::Tuple` of nothing takes one away.
fn with(entries: &[(&'static str, Py)], changes: &[(&'static str, Py)]) -> Vec<(&'static str, Py)> {
    let changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
    let kept = entries.iter().filter(|(name, _)| !changed(name)).cloned();
    kept.chain(changes.iter().cloned()).filter(|(_, value)| !matches!(value, Py::Tuple(of) if of.is_empty())).collect()
}

fn none() -> Py {
    Py::Tuple(Vec::new())
}

fn floats(values: &[f64]) -> Py {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    array(dtype("f8", "<"), &[i64::try_from(values.len()).unwrap()], false, Py::Bytes(bytes))
}

fn objects(shape: &[i64], values: Vec<Py>) -> Py {
    array(dtype("O8", "|"), shape, false, Py::List(values))
}

fn pipeline(steps: Vec<Py>) -> Py {
    let step = |step| Py::Tuple(vec![text("step"), step]);
    object("sklearn.pipeline", "Pipeline", &[("steps", Py::List(steps.into_iter().map(step).collect()))])
}

fn scaler_of(changes: &[(&'static str, Py)]) -> Py {
    let entries = [
        ("n_features_in_", Py::Int(2)),
        ("with_mean", Py::Bool(true)),
        ("with_std", Py::Bool(true)),
        ("mean_", floats(&[0.5, 0.25])),
        ("scale_", floats(&[2.0, 4.0])),
    ];
    object("sklearn.preprocessing._data", "StandardScaler", &with(&entries, changes))
}

fn imputer_of(changes: &[(&'static str, Py)]) -> Py {
    let entries = [
        ("n_features_in_", Py::Int(2)),
        ("strategy", text("mean")),
        ("missing_values", Py::Float(f64::NAN)),
        ("add_indicator", Py::Bool(false)),
        ("keep_empty_features", Py::Bool(false)),
        ("statistics_", floats(&[1.0, 2.0])),
        ("_fit_dtype", dtype("f8", "<")),
        ("_fill_dtype", dtype("f8", "<")),
    ];
    object("sklearn.impute._base", "SimpleImputer", &with(&entries, changes))
}

fn encoder_of(changes: &[(&'static str, Py)]) -> Py {
    let entries = [
        ("n_features_in_", Py::Int(2)),
        ("handle_unknown", text("error")),
        ("unknown_value", Py::None),
        ("encoded_missing_value", Py::Float(f64::NAN)),
        ("_infrequent_enabled", Py::Bool(false)),
        ("dtype", Py::Global("numpy", "float64")),
        ("categories_", Py::List(vec![floats(&[0.0, 1.0]), objects(&[2], vec![text("a"), text("b")])])),
    ];
    object("sklearn.preprocessing._encoders", "OrdinalEncoder", &with(&entries, changes))
}

fn columns_of(steps: Vec<(&'static str, Py, Vec<i64>)>, changes: &[(&'static str, Py)]) -> Py {
    let numbers = |of: &[i64]| Py::List(of.iter().map(|at| Py::Int(*at)).collect());
    let places: Vec<(&str, Py)> = steps.iter().map(|(name, _, at)| (*name, numbers(at))).collect();
    let places = dict(&places);
    let step = |(name, step, at): (&str, Py, Vec<i64>)| Py::Tuple(vec![text(name), step, numbers(&at)]);
    let entries = [
        ("n_features_in_", Py::Int(2)),
        ("sparse_output_", Py::Bool(false)),
        ("transformer_weights", Py::None),
        ("transformers_", Py::List(steps.into_iter().map(step).collect())),
        ("_transformer_to_input_indices", places),
    ];
    object("sklearn.compose._column_transformer", "ColumnTransformer", &with(&entries, changes))
}

fn tree() -> Py {
    Spec::default().estimator()
}

fn predict(model: &Compiled, rows: ArrayView2<'_, f64>) -> Result<Array2<f64>, PredictError> {
    let mut values = Array2::zeros((rows.nrows(), model.values_width()));
    let mut labels = Array2::zeros((rows.nrows(), model.labels_width()));
    model.predict(rows, &mut Output { values: values.view_mut(), labels: labels.view_mut() })?;
    Ok(values)
}

#[test]
fn a_pipeline_written_here_reads() {
    let columns = columns_of(vec![("codes", encoder_of(&[]), vec![0, 1]), ("none", text("drop"), vec![0])], &[]);
    let model = read(&pipeline(vec![columns, text("passthrough"), scaler_of(&[]), tree()])).unwrap();
    let compiled = Compiled::new(&model).unwrap();
    assert!(predict(&compiled, ndarray::arr2(&[[1.0, 1.0]]).view()).is_ok());
    for (row, expected) in [
        ([2.0, 1.0], PredictError::Unknown { row: 0, feature: 0 }),
        ([1.0, 2.0], PredictError::Unknown { row: 0, feature: 1 }),
        ([1.0, 0.5], PredictError::Unknown { row: 0, feature: 1 }),
        ([f64::NAN, 1.0], PredictError::Missing { row: 0, feature: 0 }),
        ([f64::INFINITY, 1.0], PredictError::TooLarge { row: 0, feature: 0 }),
    ] {
        assert_eq!(predict(&compiled, ndarray::arr2(&[row]).view()), Err(expected), "{row:?}");
    }
}

#[test]
fn pipelines_must_fit_together() {
    let around = |step: Py| pipeline(vec![step, tree()]);
    refused(&pipeline(vec![]), "is empty");
    refused(&pipeline(vec![scaler_of(&[])]), "an estimator was expected");
    refused(&pipeline(vec![tree(), tree()]), "no step that is read before the trees");
    refused(&around(Py::Int(3)), "no step that is read before the trees");
    refused(&around(scaler_of(&[("n_features_in_", Py::Int(3))])), "steps[0].mean_");
    refused(&pipeline(vec![scaler_of(&[]), scaler_of(&[("n_features_in_", Py::Int(3))]), tree()]), "gives 2 columns");
    refused(&around(scaler_of(&[("mean_", floats(&[1.0]))])), "has shape [1] of <f8 where 2 numbers were expected");
    refused(&around(scaler_of(&[("mean_", objects(&[2], vec![Py::None, Py::None]))])), "2 numbers were expected");
    refused(&around(scaler_of(&[("scale_", none())])), "scale_ (byte");
    refused(&around(scaler_of(&[("_sklearn_version", text("1.9.0"))])), "is not 1.9.1, as of the whole");
    let one = Py::Shared(0, Box::new(scaler_of(&[])));
    refused(&pipeline(vec![one.clone(), one, tree()]), "stands in the model a second time");
    let mut nested = scaler_of(&[]);
    for _ in 0..20 {
        nested = pipeline(vec![nested]);
    }
    refused(&around(nested), "nested more than 16 deep");
    let mut nested = tree();
    for _ in 0..20 {
        nested = pipeline(vec![text("passthrough"), nested]);
    }
    refused(&nested, "nested more than 16 deep");
    let function =
        |func| object("sklearn.preprocessing._function_transformer", "FunctionTransformer", &[("func", func)]);
    let known = Py::Global("sklearn.utils.validation", "check_array");
    refused(&around(function(known)), "this reader runs nothing");
    refused(&around(function(Py::Global("os", "system"))), "refuses the global `os.system`");
}

#[test]
fn imputers_and_encoders_say_what_is_not_read() {
    let imputer = |changes: &[(&'static str, Py)]| pipeline(vec![imputer_of(changes), tree()]);
    assert!(read(&imputer(&[])).is_ok());
    refused(&imputer(&[("add_indicator", Py::Bool(true))]), "use add_indicator=False");
    refused(&imputer(&[("missing_values", Py::Int(-1))]), "is not NaN");
    refused(&imputer(&[("strategy", text("guess"))]), "is none of mean, median");
    refused(&imputer(&[("statistics_", floats(&[1.0, f64::NAN]))]), "gives 1 columns");
    let words = objects(&[2], vec![text("a"), text("b")]);
    refused(&imputer(&[("statistics_", words.clone())]), "fills a column of numbers with a text");
    let of_texts = [("statistics_", words), ("_fit_dtype", dtype("O8", "|"))];
    refused(&imputer(&of_texts), "as a text, not encoded");

    let encoder = |changes: &[(&'static str, Py)]| pipeline(vec![encoder_of(changes), tree()]);
    let categories = |first: Py| [("categories_", Py::List(vec![first, floats(&[1.0])]))];
    assert!(read(&encoder(&[])).is_ok());
    refused(&encoder(&[("_infrequent_enabled", Py::Bool(true))]), "groups infrequent categories");
    refused(&encoder(&[("handle_unknown", text("infrequent_if_exist"))]), "is neither error nor use_encoded_value");
    refused(&encoder(&[("dtype", Py::Global("builtins", "slice"))]), "is none of float64");
    refused(&encoder(&categories(floats(&[1.0, 0.0]))), "numbers not in order");
    refused(&encoder(&categories(floats(&[1.0, 1.0]))), "names a category twice");
    refused(&encoder(&categories(floats(&[f64::NAN, 1.0]))), "numbers not in order");
    refused(&encoder(&categories(objects(&[2], vec![text("a"), text("a")]))), "names a category twice");
    refused(&encoder(&categories(objects(&[2], vec![text("a"), Py::Int(1)]))), "neither texts alone");
    refused(&pipeline(vec![scaler_of(&[]), encoder_of(&[]), tree()]), "are texts where the step before gives numbers");
}

#[test]
fn column_transformers_say_what_is_not_read() {
    let of = |steps, changes: &[(&'static str, Py)]| pipeline(vec![columns_of(steps, changes), tree()]);
    let keep = |at: &[i64]| vec![("keep", text("passthrough"), at.to_vec())];
    assert!(read(&of(keep(&[1, 0]), &[])).is_ok());
    refused(&of(keep(&[0]), &[]), "gives 1 columns");
    refused(&of(keep(&[0, 2]), &[]), "asks for a column beyond 2");
    refused(&of(keep(&[0, -1]), &[]), "asks for a column beyond 2");
    refused(&of(keep(&[0, 1]), &[("sparse_output_", Py::Bool(true))]), "sparse columns are not read");
    refused(&of(keep(&[0, 1]), &[("transformer_weights", dict(&[]))]), "leave it away");
    refused(&of(keep(&[0, 1]), &[("_transformer_to_input_indices", dict(&[]))]), "does not name the columns");
    let twice = dict(&[("keep", Py::List(vec![])), ("keep", Py::List(vec![]))]);
    refused(&of(keep(&[0, 1]), &[("_transformer_to_input_indices", twice)]), "does not name the columns");
    let raw = vec![("codes", encoder_of(&[]), vec![0, 1]), ("raw", text("passthrough"), vec![0, 1])];
    let spec = Spec { tree_n_features: 4, ..Spec::default() };
    let four = build(spec.estimator(), dict(&[]));
    assert!(read(&four).is_err());
    let wide = object("sklearn.tree._classes", "DecisionTreeClassifier", &[("n_features_in_", Py::Int(4))]);
    assert!(read(&pipeline(vec![columns_of(raw, &[]), wide])).is_err());
    let single = encoder_of(&[
        ("n_features_in_", Py::Int(1)),
        ("dtype", Py::Global("numpy", "float32")),
        ("categories_", Py::List(vec![floats(&[0.0])])),
    ]);
    let mixed = vec![("single", single, vec![0]), ("raw", text("passthrough"), vec![1])];
    refused(&of(mixed, &[]), "columns of float32 beside others");
}

#[test]
fn columns_can_not_be_copied_without_end() {
    let categories: Vec<f64> = (0..20_000).map(f64::from).collect();
    let encoder = encoder_of(&[("categories_", Py::List(vec![floats(&categories), floats(&[0.0])]))]);
    let many = columns_of(vec![("keep", text("passthrough"), vec![0; 50_000])], &[]);
    refused(&pipeline(vec![encoder, many, tree()]), "far more of columns or categories");
    let limits = Limits { max_features: 1_000, ..Limits::default() };
    let many = columns_of(vec![("keep", text("passthrough"), vec![0; 2_000])], &[]);
    let bytes = pickle(&pipeline(vec![many, tree()]));
    assert!(matches!(Model::read(&bytes, &limits.into()), Err(Error::Limit { .. })));
}

#[test]
fn an_initial_estimator_that_predicts_is_refused() {
    let loss = build(Py::NewObj(Box::new(Py::Global("sklearn._loss.loss", "HalfSquaredError"))), dict(&[]));
    let boosted = |changes: &[(&'static str, Py)]| {
        let entries = [
            ("n_features_in_", Py::Int(2)),
            ("_loss", loss.clone()),
            ("init_", text("zero")),
            ("learning_rate", Py::Float(0.1)),
            ("estimators_", objects(&[1, 1], vec![tree()])),
        ];
        object("sklearn.ensemble._gb", "GradientBoostingRegressor", &with(&entries, changes))
    };
    refused(&boosted(&[("init_", tree())]), "is an estimator that is not read; init=None");
    refused(&boosted(&[]), "where a DecisionTreeRegressor was expected");
    refused(&boosted(&[("estimators_", objects(&[1, 2], vec![Py::None, Py::None]))]), "1 trees a stage were expected");
    refused(&boosted(&[("estimators_", objects(&[1], vec![Py::None]))]), "is no matrix of estimators");
    refused(&boosted(&[("estimators_", objects(&[0, 1], vec![]))]), "is empty");
    let old = build(Py::NewObj(Box::new(Py::Global("sklearn.ensemble._gb_losses", "BinomialDeviance"))), dict(&[]));
    refused(&boosted(&[("_loss", old)]), "is none that scikit-learn 1.9 has");
}
