//! CatBoost's models as JSON predict what CatBoost predicts, and what is not such a file is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;

use arborgate_forest::{Compiled, FeatureKind, Limits, Model, Node, Options, catboost_category};
use common::catboost::{above, changed, document, file, is, leaf, nested, read};
use common::reference::cases;
use common::{naive, predict};
use ndarray::{Array2, ArrayView1, Axis, arr2};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Reads; what reads must compile and predict as the obvious walk does. Returns whether it read.
fn exercise(bytes: &[u8]) -> bool {
    let limits = Options::from(Limits { max_bytes: 1 << 24, ..Limits::default() });
    let Ok(model) = Model::read(bytes, &limits) else { return false };
    let compiled = Compiled::new(&model).unwrap();
    let row: Vec<f64> = (0..model.n_features()).map(|feature| feature as f64 * 0.7 - 1.0).collect();
    let rows = ArrayView1::from(&row[..]).insert_axis(Axis(0));
    let (_, labels) = predict(&compiled, rows).unwrap();
    let mut margins = Array2::zeros((1, compiled.margins_width()));
    compiled.margins(rows, margins.view_mut()).unwrap();
    let expected: Vec<u64> = naive::margins(&model, &row).iter().map(|margin| margin.to_bits()).collect();
    assert_eq!(margins.row(0).mapv(f64::to_bits).to_vec(), expected);
    assert!(labels.iter().zip(model.classes().iter().cycle()).all(|(label, of)| (*label as usize) < of.len()));
    true
}

#[test]
fn every_file_predicts_what_catboost_predicts() {
    let compared: usize = cases("catboost").iter().map(|case| case.hold(&Options::default())).sum();
    assert!(compared > 4_000, "{compared}");
}

#[test]
fn a_category_has_catboosts_number() {
    let hashes: BTreeMap<String, u32> = serde_json::from_slice(&file("hashes.json")).unwrap();
    assert!(hashes.len() > 140 && hashes.keys().any(|text| text.len() > 128));
    for (text, number) in hashes {
        assert_eq!(catboost_category(&text), number, "{text:?}");
    }
}

#[test]
fn leaves_keep_their_order_and_their_weights() {
    for name in ["logloss_min.json", "one_hot_multiclass.json.z", "deep.json.z"] {
        let document: Value = serde_json::from_slice(&file(name)).unwrap();
        let model = read(&file(name)).unwrap();
        for (tree, raw) in model.trees().iter().zip(document["oblivious_trees"].as_array().unwrap()) {
            let numbers =
                |name: &str| raw[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>();
            if name == "deep.json.z" {
                assert!(tree.depth() > 8 && tree.leaves() < 1 << tree.depth(), "{}", tree.leaves());
            } else {
                assert_eq!(tree.values(), numbers("leaf_values"));
                assert_eq!(tree.leaves(), 1 << tree.depth());
            }
            assert_eq!(tree.cover()[0], numbers("leaf_weights").iter().sum::<f64>());
            for (at, node) in tree.nodes().iter().enumerate() {
                if let Node::Split(split) = node {
                    let below = tree.cover()[split.left as usize] + tree.cover()[split.right as usize];
                    assert_eq!(tree.cover()[at], below);
                }
            }
        }
    }
}

fn values(bytes: &[u8], rows: &Array2<f64>) -> Vec<f64> {
    let model = read(bytes).unwrap_or_else(|error| panic!("{error}"));
    predict(&Compiled::new(&model).unwrap(), rows.view()).unwrap().0.into_raw_vec_and_offset().0
}

#[test]
fn follows_what_the_file_says() {
    let x = f64::from(catboost_category("zürich"));
    let hash = f64::from((-1_440_182_944_i32).cast_unsigned());
    let rows = arr2(&[[1.5, x, -1.0], [1.6, hash, -0.9], [f64::NAN, hash, f64::NAN], [f64::NAN, 0.5, f64::INFINITY]]);
    let plain = [17.25, 40.25, 24.25, 34.25];
    assert_eq!(values(&changed(|_| ()), &rows), plain);
    // one bias for all, as a number; none, in each way; and a scale
    assert_eq!(values(&changed(|all| all["scale_and_bias"] = json!([1, 0.25])), &rows), plain);
    let none = plain.map(|value| value - 0.25);
    assert_eq!(values(&changed(|all| all["scale_and_bias"] = json!([1, []])), &rows), none);
    assert_eq!(values(&changed(|all| all["scale_and_bias"] = json!([1, null])), &rows), none);
    assert_eq!(values(&changed(|all| all["scale_and_bias"] = json!([2, [0]])), &rows), none.map(|value| 2.0 * value));
    let without = changed(|all| drop(all.as_object_mut().unwrap().remove("scale_and_bias")));
    assert_eq!(values(&without, &rows), none);
    // a tree of one leaf
    let stump = json!({"leaf_values": [3.0], "splits": null});
    assert_eq!(values(&changed(|all| all["oblivious_trees"] = json!([stump])), &rows), [3.25; 4]);
    assert_eq!(values(&changed(|all| all["oblivious_trees"] = json!([])), &rows), [0.25; 4]);
    // the same in another shape: what passes goes right
    let kind = json!({"split_type": "OneHotFeature", "split_index": 3, "cat_feature_index": 0, "value": -1440182944});
    let first = is(kind, is(above(0, 1, 1.5), leaf(1.0), leaf(2.0)), is(above(0, 1, 1.5), leaf(4.0), leaf(8.0)));
    let second = is(above(1, 2, -1.0), leaf(16.0), leaf(32.0));
    assert_eq!(values(&nested(json!([first, second])), &rows), plain);
}

#[test]
fn names_features_as_catboost_does() {
    let model = read(&changed(|_| ())).unwrap();
    assert_eq!(model.feature_names().unwrap(), ["0", "kind", "2"]);
    let missing: Vec<bool> = model.features().iter().map(|feature| feature.missing_allowed).collect();
    assert_eq!(missing, [true, false, true]);
    assert!(matches!(model.features()[1].kind, FeatureKind::Category(_)));
    assert_eq!(model.source().to_string(), "CatBoost 1.2.10 RMSE");
    let model =
        read(&changed(|all| all["features_info"]["categorical_features"][0]["feature_id"] = json!(""))).unwrap();
    assert_eq!(model.feature_names(), None);
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    for (bytes, step) in [(changed(|_| ()), 1), (file("logloss_min.json"), 41), (file("lossguide.json.z"), 97)] {
        let whole = bytes.trim_ascii_end();
        assert!(exercise(whole));
        for end in (0..whole.len()).step_by(step) {
            assert!(!exercise(&whole[..end]), "cut off at {end} reads");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_do_no_harm(
        name in prop::sample::select(vec!["", "one_hot.json.z", "lossguide.json.z", "multiclass_absent.json.z"]),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        digits in any::<bool>(),
    ) {
        let mut bytes = if name.is_empty() { changed(|_| ()) } else { file(name) };
        for (place, byte) in places {
            // another digit for a digit keeps it JSON
            let at: Vec<usize> = if digits {
                (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect()
            } else {
                (0..bytes.len()).collect()
            };
            let at = at[place.index(at.len())];
            bytes[at] = if digits { b'0' + byte % 10 } else { byte };
        }
        exercise(&bytes);
    }

    #[test]
    fn members_moved_about_do_no_harm(from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        // a value in another's place
        let mut all = document();
        let mut paths = Vec::new();
        collect(&all, String::new(), &mut paths);
        let value = all.pointer(&paths[from.index(paths.len())]).unwrap().clone();
        *all.pointer_mut(&paths[to.index(paths.len())]).unwrap() = value;
        exercise(all.to_string().as_bytes());
    }
}

fn collect(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(at, value)| collect(value, format!("{path}/{at}"), paths));
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| collect(value, format!("{path}/{name}"), paths));
        }
        _ => {}
    }
    paths.push(path);
}
