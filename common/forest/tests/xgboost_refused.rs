//! What is no model of XGBoost, or a hostile one, is refused with an error that says what and where; damaged files do
//! no harm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::Read;

use arborgate_forest::{Compiled, Error, Limits, Model, Options, Task};
use common::naive;
use common::reference::{Case, cases};
use common::xgboost::{read, stump, value};
use ndarray::{Array2, ArrayView1, Axis};
use proptest::prelude::*;
use serde_json::{Value, json};

/// `stump`, with the value at a JSON pointer replaced; absent if null.
fn changed(pointer: &str, to: &Value) -> String {
    let mut file: Value = serde_json::from_str(&stump("0.25")).unwrap();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = file.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
    match parent {
        Value::Object(members) if to.is_null() => drop(members.remove(key)),
        Value::Object(members) => drop(members.insert(key.to_owned(), to.clone())),
        Value::Array(elements) => elements[key.parse::<usize>().unwrap()] = to.clone(),
        _ => panic!("{pointer}"),
    }
    file.to_string()
}

const TREE: &str = "/learner/gradient_booster/model/trees/0";
const MODEL: &str = "/learner/gradient_booster/model";
const PARAM: &str = "/learner/learner_model_param";

#[track_caller]
fn refused(file: &str, expected: &str) {
    let said = read(file.as_bytes()).expect_err("it was read").to_string();
    assert!(said.contains(expected), "{said}");
}

#[test]
fn trees_that_are_none_are_refused() {
    let place = "learner.gradient_booster.model.trees[0]";
    let cases = [
        ("/left_children", json!([1, -1]), "`tree_param.num_nodes` is of 3 where there are 2 nodes"),
        ("/left_children", json!([0, -1, -1]), "node 0: has children that do not stand side by side"),
        ("/left_children", json!([2, -1, -1]), "node 0: has children that do not stand side by side"),
        ("/left_children", json!([1, -1, "a"]), "trees[0].left_children (byte"),
        ("/left_children", json!([1, -1, 1.5]), "`1.5` is no integer"),
        ("/left_children", json!([1, -1, -1, -1]), "is of 3 where there are 4 nodes"),
        ("/left_children", Value::Null, "has no nodes"),
        ("/right_children", json!([1, -1, -1]), "node 0: has children that do not stand side by side"),
        ("/split_indices", json!([2, 0, 0]), "node 0: splits on feature 2, of 2"),
        ("/split_indices", json!([-1, 0, 0]), "node 0: splits on a feature that is none"),
        ("/split_indices", json!([3_000_000_000_u64, 0, 0]), "is too large an integer"),
        ("/split_indices", json!([0, 2_147_483_647, 0]), "`tree_param.num_deleted` is not how many"),
        ("/split_conditions", json!([0.5, 1e39, 0.5]), "node 1: is a leaf whose value is no finite number"),
        ("/split_conditions", json!([0.5, 1.0]), "`split_conditions` is of 2 where there are 3 nodes"),
        ("/default_left", json!([1, 0]), "`default_left` is of 2"),
        ("/default_left", json!([256, 0, 0]), "is too large an integer"),
        ("/loss_changes", Value::Null, "`loss_changes` is of 0"),
        ("/sum_hessian", json!([1, 2, 3, 4]), "`sum_hessian` is of 4"),
        ("/split_type", json!([1, 0, 0]), "`categories` and `split_type` do not name the same nodes"),
        ("/split_type", json!([2, 0, 0]), "do not name the same nodes"),
        ("/categories_nodes", json!([0]), "`categories` are not divided as"),
        ("/categories", json!([1]), "`categories` belong in part to no node"),
        ("/tree_param/num_nodes", json!("4294967296"), "`tree_param.num_nodes` is of 4294967296"),
        ("/tree_param/num_nodes", json!("many"), "is `many` where a number was expected"),
        ("/tree_param/num_nodes", json!(3), "is a number where a string was expected"),
        ("/tree_param/num_deleted", json!("1"), "`tree_param.num_deleted` is not how many"),
        ("/tree_param/size_leaf_vector", json!("2"), "holds 3 numbers for leaves of 2 each"),
        ("/tree_param/size_leaf_vector", json!("3"), "holds 3 numbers for leaves of 3 each"),
        ("/tree_param/size_leaf_vector", json!("18446744073709551615"), "holds 3 numbers"),
        ("/id", json!(1), "has an `id` that is not its place"),
        ("/new", json!(1), "`new` is no part of a tree that is known here"),
    ];
    for (key, to, expected) in cases {
        let file = changed(&format!("{TREE}{key}"), &to);
        refused(&file, expected);
        if !expected.contains(", of 2") {
            refused(&file, place);
        }
    }
    refused(&stump("NaN"), "node 0: has NaN as its threshold");
    // a chain of two, whose lower one goes back to the first
    let mut file: Value = serde_json::from_str(&stump("0.25")).unwrap();
    let tree = file.pointer_mut(TREE).unwrap();
    for (key, to) in [("left_children", json!([1, 1, -1])), ("right_children", json!([2, 2, -1]))] {
        tree[key] = to;
    }
    refused(&file.to_string(), "node 1: has two parents, or is its own ancestor");
    let file = changed(&format!("{TREE}/left_children"), &json!([-1, -1, -1]));
    refused(&file, "node 1: is reached from nowhere");
}

#[test]
fn models_that_do_not_fit_together_are_refused() {
    let cases = [
        (format!("{MODEL}/tree_info"), json!([1]), "model.tree_info: names a margin that is not there"),
        (format!("{MODEL}/tree_info"), json!([]), "has not one number for each tree"),
        (format!("{MODEL}/iteration_indptr"), json!([0, 2]), "does not divide the trees into rounds"),
        (format!("{MODEL}/iteration_indptr"), json!([]), "does not divide the trees into rounds"),
        (format!("{MODEL}/weight_drop"), json!([1, 1]), "has not one number for each tree"),
        (format!("{MODEL}/trees"), json!([]), "has no trees; was the model fitted?"),
        (format!("{MODEL}/trees"), json!({}), "is an object where an array was expected"),
        (format!("{MODEL}/more"), json!(1), "`more` is no part of a booster"),
        (format!("{MODEL}/weights"), json!([1.0]), "is the booster `gblinear`"),
        ("/learner/gradient_booster/name".into(), json!("gblinear"), "is the booster `gblinear`"),
        ("/learner/gradient_booster/name".into(), Value::Null, "has no name"),
        ("/learner/gradient_booster".into(), Value::Null, "has no `gradient_booster`"),
        (
            "/learner/objective/name".into(),
            json!("reg:mine"),
            "learner.objective.name: is `reg:mine`; this reader knows",
        ),
        ("/learner/objective".into(), Value::Null, "has no `objective`"),
        ("/learner/objective/name".into(), json!("multi:softprob"), "num_class: is 0 with many classes"),
        ("/learner/other".into(), json!([]), "`other` is no part of a learner"),
        ("/learner/feature_names".into(), json!(["a"]), "has 1 names for 2 features"),
        ("/learner/feature_names".into(), json!(["a", "a"]), "has `a` twice"),
        ("/learner/feature_types".into(), json!(["c", "q", "q"]), "has 3 types for 2 features"),
        (format!("{PARAM}/base_score"), json!("[1,2]"), "base_score: has 2 numbers for 1 outputs"),
        (format!("{PARAM}/base_score"), json!("one"), "is `one`, which is no number"),
        (format!("{PARAM}/base_score"), json!("NaN"), "which is no number"),
        (format!("{PARAM}/num_feature"), json!("0"), "was the model fitted?"),
        (format!("{PARAM}/num_feature"), json!("4294967295"), "features: more than the limit"),
        (format!("{PARAM}/num_class"), json!("4294967295"), "classes: more than the limit"),
        (format!("{PARAM}/num_target"), json!("4294967295"), "outputs: more than the limit"),
        (format!("{PARAM}/num_target"), json!("-1"), "where a number was expected"),
        ("/version".into(), json!([3, 9, 0]), "made by XGBoost 3.9.0; this reader knows 1.0 to 3.4"),
        ("/version".into(), json!([0, 90, 0]), "made by XGBoost 0.90.0"),
        ("/version".into(), Value::Null, "version: is missing"),
        ("/learner/attributes".into(), json!({"best_iteration": "x"}), "attributes.best_iteration"),
        (
            "/learner/attributes".into(),
            json!({"best_iteration": "1", "scikit_learn": "{}"}),
            "names a round that the model does not have",
        ),
        ("/learner/attributes".into(), json!({"scikit_learn": "{\"missing\": -999.0}"}), "is no NaN"),
        ("/learner/attributes".into(), json!({"scikit_learn": "{"}), "attributes.scikit_learn"),
    ];
    for (pointer, to, expected) in cases {
        refused(&changed(&pointer, &to), expected);
    }
    let mut file: Value = serde_json::from_str(&stump("0.25")).unwrap();
    file["learner"]["objective"]["name"] = json!("binary:logistic");
    for (score, version, expected) in [
        ("0E0", [3, 1, 0], Some("is 0.0, which is no probability")),
        ("1.5", [3, 2, 0], Some("is 1.5, which is no probability")),
        ("1E0", [3, 2, 0], None),
    ] {
        file["learner"]["learner_model_param"]["base_score"] = json!(score);
        file["version"] = json!(version);
        match expected {
            Some(expected) => refused(&file.to_string(), expected),
            None => assert_eq!(read(file.to_string().as_bytes()).unwrap().task(), Task::Classification),
        }
    }
    file["learner"]["objective"]["name"] = json!("count:poisson");
    file["learner"]["learner_model_param"]["base_score"] = json!("0E0");
    refused(&file.to_string(), "becomes -inf as a margin");
}

#[test]
fn files_that_are_no_json_are_refused() {
    let file = stump("0.25");
    refused(&file.replacen("\"id\":0", "\"id\":0,\"id\":0", 1), "trees[0].id (byte");
    refused(&file.replacen("\"id\":0", "\"id\":0,\"id\":0", 1), "stands there twice");
    refused(&format!("{file} x"), "1 bytes follow the end of the JSON model");
    read(format!("\n {file} \r\n").as_bytes()).unwrap();
    for end in 0..file.len() {
        assert!(read(&file.as_bytes()[..end]).is_err(), "cut off at {end}");
    }
    refused("binf\0\0\0\x3f", "load it in an XGBoost before 3.1 and save it by `save_model(\"model.json\")`");
}

#[test]
fn limits_hold() {
    let file = stump("0.25");
    let with = |limits: Limits| Model::read(file.as_bytes(), &Options::from(limits)).map(drop);
    let all = Limits { max_trees: 1, max_nodes: 3, max_depth: 1, max_features: 2, max_outputs: 1, ..Limits::default() };
    with(all.clone()).unwrap();
    for limits in [
        Limits { max_trees: 0, ..all.clone() },
        Limits { max_nodes: 2, ..all.clone() },
        Limits { max_depth: 0, ..all.clone() },
        Limits { max_features: 1, ..all.clone() },
        Limits { max_outputs: 0, ..all.clone() },
        Limits { max_text: 3, ..all.clone() },
        Limits { max_bytes: 64, ..all },
    ] {
        assert!(matches!(with(limits.clone()), Err(Error::Limit { .. })), "{limits:?}");
    }
}

/// The file as it is without zlib.
fn plain(case: &Case) -> Vec<u8> {
    if case.facts.file.ends_with(".z") {
        let mut plain = Vec::new();
        flate2::read::ZlibDecoder::new(&case.bytes[..]).read_to_end(&mut plain).unwrap();
        return plain;
    }
    case.bytes.clone()
}

/// Reads; what reads predicts as the obvious walk does. Returns whether it read.
fn exercise(bytes: &[u8]) -> bool {
    let limits = Options::from(Limits { max_bytes: 1 << 24, ..Limits::default() });
    let Ok(model) = Model::read(bytes, &limits) else { return false };
    let compiled = Compiled::new(&model).unwrap();
    let row: Vec<f64> = (0..model.n_features()).map(|feature| feature as f64 * 0.7 - 1.0).collect();
    let rows = ArrayView1::from(&row[..]).insert_axis(Axis(0));
    let mut margins = Array2::zeros((1, compiled.margins_width()));
    compiled.margins(rows, margins.view_mut()).unwrap();
    let expected = naive::margins(&model, &row);
    let same =
        |(found, expected): (&f64, &f64)| found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
    assert!(margins.iter().zip(&expected).all(same), "{margins} {expected:?}");
    value(&model, &row);
    true
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    for name in ["3.4.1/names.ubj", "3.4.1/stopped.p4.z", "1.7.6/iris.json.z", "3.4.1/iris.ubj.z"] {
        let bytes = cases("xgboost").into_iter().find(|case| case.name() == name).map(|case| plain(&case));
        let Some(bytes) = bytes else { continue };
        assert!(exercise(&bytes), "{name}");
        for end in (0..bytes.len()).step_by(1 + bytes.len() / 3000) {
            assert!(!exercise(&bytes[..end]), "{name} cut off at {end} reads");
        }
    }
}

fn small() -> Vec<(String, Vec<u8>)> {
    let wanted = ["names.json", "names.ubj", "categories_single", "linnerud_multi", "dart.", "XGBRanker", "base_1"];
    let of = |case: &Case| wanted.iter().any(|name| case.facts.file.starts_with(name));
    let found: Vec<_> =
        cases("xgboost").iter().filter(|case| of(case)).map(|case| (case.name(), plain(case))).collect();
    assert!(found.len() > 20);
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_do_no_harm(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
    ) {
        let files = SMALL.with(Clone::clone);
        let (_, bytes) = which.get(&files);
        let mut bytes = bytes.clone();
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        exercise(&bytes);
    }

    #[test]
    fn numbers_changed_do_no_harm(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        number in prop_oneof![Just("-1"), Just("0"), Just("2147483647"), Just("1E39"), Just("NaN"), Just("99999999999999999999"), Just("[]")],
    ) {
        let texts: Vec<_> = SMALL.with(Clone::clone).into_iter().filter(|(name, _)| name.contains(".json")).collect();
        let text = String::from_utf8(which.get(&texts).1.clone()).unwrap();
        let starts: Vec<usize> =
            text.match_indices([',', '[']).map(|(at, _)| at + 1).filter(|at| text[*at..].starts_with(|c: char| c.is_ascii_digit() || c == '-')).collect();
        let start = starts[at.index(starts.len())];
        let end = start + text[start..].find([',', ']', '}']).unwrap();
        exercise(format!("{}{number}{}", &text[..start], &text[end..]).as_bytes());
    }
}

thread_local! {
    static SMALL: Vec<(String, Vec<u8>)> = small();
}
