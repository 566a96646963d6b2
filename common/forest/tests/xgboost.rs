//! XGBoost's files predict what XGBoost predicts, to the bit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/pickler.rs"]
mod pickler;

use arborgate_forest::{Categories, FeatureKind, Label, Model, Options, Rounds, Task};
use common::reference::{Case, cases};
use common::xgboost::{read, stump, value};
use pickler::{Py, build, dict, pickle, reduce, text};
use serde_json::{Value, json};

fn case(name: &str) -> Case {
    cases("xgboost").into_iter().find(|case| case.name() == name).unwrap_or_else(|| panic!("no case {name}"))
}

#[test]
fn every_file_predicts_the_same_bits() {
    let compared: usize = cases("xgboost").iter().map(|case| case.hold(&Options::default())).sum();
    assert!(compared > 9_000, "{compared}");
}

#[test]
fn rounds_are_a_choice() {
    let trees = |name: &str, rounds: Rounds| {
        let options = Options { rounds, ..Options::default() };
        Model::read(&case(name).bytes, &options).unwrap().trees().len()
    };
    for version in ["1.0.2", "1.3.3", "1.6.2", "1.7.6", "2.1.4", "3.2.0", "3.4.1"] {
        let wrapped = format!("{version}/stopped.json.z");
        let alone = format!("{version}/stopped_booster.json.z");
        let (best, all) = (trees(&wrapped, Rounds::Best), trees(&wrapped, Rounds::All));
        assert!(best < all, "{version}");
        assert_eq!(trees(&wrapped, Rounds::AsSaved), best, "{version}");
        assert_eq!(trees(&alone, Rounds::AsSaved), all, "{version}");
        assert_eq!(trees(&alone, Rounds::All), all, "{version}");
        if version > "1.3" {
            // the wrapper's own word for how many trees a round has stands beside the model before 1.6
            assert_eq!(trees(&format!("{version}/stopped.p4.z"), Rounds::AsSaved), best, "{version}");
        }
        if version > "1.6" {
            assert_eq!(trees(&alone, Rounds::Best), best, "{version}");
        }
    }
}

#[test]
fn categories_have_names_since_3_1() {
    let kinds = |name: &str| -> Vec<FeatureKind> {
        read(&case(name).bytes).unwrap().features().iter().map(|feature| feature.kind.clone()).collect()
    };
    let named = |labels: &[&str]| {
        FeatureKind::Category(Categories::Named(labels.iter().map(|label| Label::Text((*label).to_owned())).collect()))
    };
    let codes = FeatureKind::Category(Categories::Codes);
    let sizes = named(&["small", "large", "medium"]);
    for (name, of) in cases("xgboost").iter().map(Case::name).filter_map(|name| {
        let of = name.split_once("/categories_sets")?.0.to_owned();
        Some((name, of))
    }) {
        let found = kinds(&name);
        match of.as_str() {
            "3.4.1" => {
                let FeatureKind::Category(Categories::Named(cities)) = &found[0] else { panic!("{found:?}") };
                assert_eq!((cities.len(), &cities[39]), (40, &Label::Text("city 39 é".to_owned())));
                assert_eq!(found[1..], [sizes.clone(), FeatureKind::Number]);
            }
            // names beyond ASCII are damaged in the file
            "3.2.0" => assert_eq!(found, [codes.clone(), sizes.clone(), FeatureKind::Number]),
            _ => assert_eq!(found, [codes.clone(), codes.clone(), FeatureKind::Number], "{name}"),
        }
    }
    let name = cases("xgboost").iter().map(Case::name).find(|name| name.starts_with("3.4.1/categories_numbers"));
    let years = [1990, 2000, 2010].map(Label::Int).to_vec();
    assert_eq!(kinds(&name.unwrap())[2], FeatureKind::Category(Categories::Named(years)));
}

#[test]
fn below_is_exact_at_every_threshold() {
    let tiny = f64::from(f32::from_bits(1));
    let numbers = [f64::NEG_INFINITY, -3e38, -1.0, -tiny, -1e-60, -0.0, 0.0, 1e-60, tiny, 0.5, 3e38, f64::INFINITY];
    let thresholds =
        ["-Infinity", "-3.4028235E38", "-1E-45", "-0E0", "0E0", "0", "1E-45", "5E-1", "3.4028235E38", "Infinity"];
    for text in thresholds {
        let model = read(stump(text).as_bytes()).unwrap();
        let threshold: f32 = text.parse().unwrap();
        for number in numbers {
            let expected = if (number as f32) < threshold { 1.0 } else { 2.0 };
            assert_eq!(value(&model, &[number, 0.0]), expected, "{number:?} < {text}");
        }
        assert_eq!(value(&model, &[f64::NAN, 0.0]), 1.0, "{text}");
        let tree = &model.trees()[0];
        assert_eq!((tree.gain(), tree.cover()), (&[3.5, 0.0, 0.0][..], &[10.0, 4.0, 6.0][..]));
    }
}

/// An object of XGBoost's Python package.
fn object(module: &'static str, class: &'static str, attributes: &[(&str, Py)]) -> Py {
    build(Py::NewObj(Box::new(Py::Global(module, class))), dict(attributes))
}

fn booster(handle: Py) -> Py {
    object("xgboost.core", "Booster", &[("handle", handle), ("feature_names", Py::None)])
}

#[test]
fn pickles_hold_a_booster_and_what_the_wrapper_knows() {
    let bytes = |json: String| reduce(Py::Global("builtins", "bytearray"), vec![Py::Bytes(json.into_bytes())]);
    let mut file: Value = serde_json::from_str(&stump("0.25")).unwrap();
    let snapshot = json!({"Config": {"learner": {}}, "Model": file}).to_string();
    let alone = read(&pickle(&booster(bytes(snapshot.clone())))).unwrap();
    assert_eq!(alone.source().to_string(), "XGBoost 3.2.0 reg:squarederror");
    assert_eq!((alone.task(), value(&alone, &[0.0, 0.0])), (Task::Regression, 1.0));
    // names stood beside the model before 1.4
    let names = Py::List(vec![text("a"), text("b")]);
    let named = object("xgboost.core", "Booster", &[("handle", bytes(snapshot)), ("feature_names", names)]);
    assert_eq!(read(&pickle(&named)).unwrap().feature_names(), Some(vec!["a", "b"]));

    let estimator = |class, missing: Py, file: &Value| {
        let order = reduce(Py::Global("collections", "OrderedDict"), vec![]);
        let attributes =
            [("missing", missing), ("evals_result_", order), ("_Booster", booster(bytes(file.to_string())))];
        pickle(&object("xgboost.sklearn", class, &attributes))
    };
    // a classifier takes whatever the objective gives for a probability
    let classifier = read(&estimator("XGBClassifier", Py::Float(f64::NAN), &file)).unwrap();
    assert_eq!(classifier.source().to_string(), "XGBoost 3.2.0 XGBClassifier reg:squarederror");
    assert_eq!(classifier.classes(), [[Label::Int(0), Label::Int(1)]]);
    assert_eq!(read(&estimator("XGBRegressor", Py::None, &file)).unwrap().task(), Task::Regression);
    let said = |bytes: &[u8]| read(bytes).expect_err("it was read").to_string();
    assert!(said(&estimator("XGBRegressor", Py::Float(-999.0), &file)).contains("missing (byte"));
    file["version"] = json!([9, 0, 0]);
    let wrong = said(&estimator("XGBRegressor", Py::None, &file));
    assert!(
        wrong.contains("_Booster.handle (byte") && wrong.contains("holds a model, in which version: made by"),
        "{wrong}"
    );

    let old = said(&pickle(&booster(Py::Bytes(b"CONFIG-offset:\0\0\0\0\0\0\0\0binf".to_vec()))));
    assert!(old.contains("old binary format") && old.contains("save_model"), "{old}");
    assert!(said(&pickle(&booster(Py::None))).contains("holds no bytes; was the model fitted?"));
    let unfitted = object("xgboost.sklearn", "XGBRanker", &[("_Booster", Py::None)]);
    assert!(said(&pickle(&unfitted)).contains("_Booster: is None where a Booster was expected"));
}
