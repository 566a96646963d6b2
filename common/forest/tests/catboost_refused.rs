//! What is not a CatBoost model as CatBoost writes it is refused: by name, with the place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use arborgate_forest::{Limits, Model, Options};
use common::catboost::{Change, above, add, changed, document, file, is, leaf, nested, read, remove, set};
use serde_json::{Value, json};

#[test]
fn one_bad_file_of_catboosts_own_says_what_would_work() {
    let said = read(&file("ctr.json")).unwrap_err();
    assert!(said.contains("ctr") && said.contains("one_hot_max_size"), "{said}");
    let said = read(b"CBM1\x10\0\0\0").unwrap_err();
    assert!(said.contains("CatBoost binary") && said.contains("format=\"json\""), "{said}");
}

fn refused(cases: Vec<(Change, &[&str])>) {
    for (change, expected) in cases {
        let bytes = changed(change);
        let said = read(&bytes).err().unwrap_or_else(|| panic!("reads: {expected:?}"));
        assert!(expected.iter().all(|part| said.contains(part)), "{said}\nwhere {expected:?} was expected");
    }
}

#[test]
fn refuses_features_that_are_not_as_catboost_writes_them() {
    let float = "/features_info/float_features/0";
    let kind = "/features_info/categorical_features/0";
    refused(vec![
        (add("", "ctr_data", json!({"a": 1})), &["ctr_data", "CTR", "one_hot_max_size"]),
        (add("/features_info", "ctrs", json!([])), &["features_info.ctrs", "one_hot_max_size"]),
        (add("/features_info", "text_features", json!([])), &["features_info.text_features", "texts or embeddings"]),
        (add("/features_info", "embedding_features", json!([])), &["embedding_features", "texts or embeddings"]),
        (add("/features_info", "graph", json!([])), &["unknown field `graph`"]),
        (add(float, "graph", json!([])), &["features_info.float_features[0]", "unknown field `graph`", "byte"]),
        (set(&format!("{float}/feature_index"), json!(1)), &["float_features[0].feature_index", "is 1, not its place"]),
        (
            set(&format!("{float}/flat_feature_index"), json!(2)),
            &["float_features[1].flat_feature_index", "as another"],
        ),
        (set(&format!("{float}/flat_feature_index"), json!(3)), &["is 3 where the file lists 3 features"]),
        (set(&format!("{float}/flat_feature_index"), json!(4_294_967_296_u64)), &["lists 3 features"]),
        (set(&format!("{float}/nan_value_treatment"), json!("AsZero")), &["nan_value_treatment", "AsZero"]),
        (set(&format!("{float}/borders"), json!([1.5, 0.5])), &["float_features[0].borders", "not ascending"]),
        (set(&format!("{float}/borders"), json!([0.5, 0.5])), &["not ascending"]),
        (set(&format!("{float}/borders"), json!([0.5, 1e39])), &["borders[1]", "infinite as a 32-bit"]),
        (set(&format!("{float}/borders"), json!(["nan", 0.5])), &["float_features[0].borders[0]", "invalid type"]),
        (remove(float, "has_nans"), &["missing field `has_nans`"]),
        (set(&format!("{kind}/values"), json!([7, 7])), &["categorical_features[0].values", "twice"]),
        (set(&format!("{kind}/values"), json!([7, 4_294_967_295_u32])), &["values[1]"]),
        (set(&format!("{kind}/feature_id"), json!("k".repeat(2000))), &["bytes of a name"]),
        (remove("", "features_info"), &["features_info", "is missing"]),
        (set("/features_info", json!({})), &["oblivious_trees[0]", "split_index 1 is not the condition"]),
    ]);
}

#[test]
fn refuses_trees_that_are_not_as_catboost_writes_them() {
    let tree = "/oblivious_trees/0";
    let split = "/oblivious_trees/0/splits/0";
    refused(vec![
        (add("", "trees", json!([])), &["trees", "beside oblivious_trees"]),
        (remove("", "oblivious_trees"), &["oblivious_trees", "is missing"]),
        (add("", "more", json!(1)), &["unknown field `more`"]),
        (add(tree, "more", json!(1)), &["oblivious_trees[0]", "unknown field `more`"]),
        (add(split, "more", json!(1)), &["unknown field `more`"]),
        (set(tree, json!([])), &["oblivious_trees[0]"]),
        (set(&format!("{split}/split_type"), json!("OnlineCtr")), &["oblivious_trees[0]", "CTR", "one_hot_max_size"]),
        (set(&format!("{split}/split_type"), json!("EstimatedFeature")), &["texts or embeddings"]),
        (set(&format!("{split}/split_type"), json!("Oracle")), &["`Oracle` is not known"]),
        (set(&format!("{split}/split_type"), json!("OneHotFeature")), &["split_index 1 is not the condition"]),
        (set(&format!("{split}/split_index"), json!(5)), &["split_index 5"]),
        (set(&format!("{split}/split_index"), json!(u64::MAX)), &["split_index 18446744073709551615"]),
        (set(&format!("{split}/split_index"), json!(-1)), &["oblivious_trees[0]", "invalid value"]),
        (set(&format!("{split}/border"), json!(1.500_001)), &["split_index 1"]),
        (set(&format!("{split}/float_feature_index"), json!(1)), &["split_index 1"]),
        (set("/oblivious_trees/0/splits/1/value", json!(7)), &["split_index 3"]),
        (set("/oblivious_trees/0/splits/1/cat_feature_index", json!(1)), &["split_index 3"]),
        (set(&format!("{tree}/leaf_values"), json!([])), &["0 leaf_values for 2 splits"]),
        (set(&format!("{tree}/leaf_values"), json!([1, 2, 3])), &["3 leaf_values for 2 splits"]),
        (set(&format!("{tree}/leaf_values"), json!([1, 2, 3, 4, 5])), &["5 leaf_values for 4 leaves"]),
        (set(&format!("{tree}/leaf_values"), json!([1, 2, 3, null])), &["oblivious_trees[0]", "invalid type: null"]),
        (set(&format!("{tree}/leaf_weights"), json!([1, 2, 3])), &["3 leaf_weights for 4 leaves"]),
        (set("/oblivious_trees/1/leaf_values", json!([1, 2, 3, 4])), &["oblivious_trees[1]", "2 values for a leaf"]),
        (set("/oblivious_trees", json!({})), &["oblivious_trees[0]", "an array of trees"]),
        (set("/scale_and_bias", json!([1, [0, 0]])), &["2 biases for 1 margins"]),
        (set("/scale_and_bias", json!([1])), &["scale_and_bias"]),
        (set("/scale_and_bias", json!(["1", [0]])), &["scale_and_bias[0]", "invalid type"]),
    ]);
    // more splits than leaves can be counted
    let many = json!({"leaf_values": [1.0], "splits": vec![above(0, 0, 0.5); 70]});
    refused(vec![(set(tree, many), &["1 leaf_values for 70 splits"])]);
}

#[test]
fn refuses_nodes_that_are_not_as_catboost_writes_them() {
    let split = above(0, 0, 0.5);
    let cases = [
        (json!([{"split": split, "left": leaf(1.0)}]), "neither split, left and right"),
        (json!([{"split": split, "left": leaf(1.0), "right": leaf(1.0), "value": 1}]), "neither split"),
        (json!([{}]), "neither split"),
        (json!([{"value": 1, "shape": 2}]), "unknown field `shape`"),
        (json!([is(split.clone(), leaf(1.0), json!({"value": 2}))]), "some leaves have a weight"),
        (json!([is(split.clone(), leaf(1.0), json!({"value": [1, 2], "weight": 1}))]), "2 values for a leaf"),
        (json!([leaf(1.0), {"value": [], "weight": 1}]), "0 values for a leaf"),
        (json!([{"value": [], "weight": 1}]), "0 margins are wrong"),
        (json!([{"value": "1"}]), "a number or an array of numbers"),
        (json!([is(above(0, 9, 0.5), leaf(1.0), leaf(2.0))]), "split_index 9"),
        (json!([7]), "a node"),
        (json!([leaf(1.0), null]), "trees[1]"),
    ];
    for (trees, expected) in cases {
        let said = read(&nested(trees)).unwrap_err();
        assert!(said.contains(expected), "{said}\nwhere {expected} was expected");
    }
    let text = String::from_utf8(nested(json!([leaf(1.0)]))).unwrap();
    let said = read(text.replace("\"value\":1.0", "\"value\":1.0,\"value\":1.0").as_bytes()).unwrap_err();
    assert!(said.contains("member twice"), "{said}");
    let mut deep = leaf(1.0);
    for _ in 0..100 {
        deep = is(split.clone(), leaf(2.0), deep);
    }
    let bytes = nested(json!([deep]));
    assert_eq!(read(&bytes).unwrap().depth(), 100);
    let shallow = Options::from(Limits { max_depth: 99, ..Limits::default() });
    assert!(Model::read(&bytes, &shallow).unwrap_err().to_string().contains("depth of a tree: more than"));
    let (open, close) = (r#"{"left":"#.repeat(100_000), "}".repeat(100_000));
    let text = text.replace(r#"{"value":1.0,"weight":2}"#, &format!("{open}1{close}"));
    let said = read(text.as_bytes()).unwrap_err();
    assert!(said.contains("recursion limit"), "{said}");
}

#[test]
fn refuses_what_decides_the_answer_if_it_is_unclear() {
    let several = |params: Value| -> Change {
        Box::new(move |all| {
            all["model_info"]["params"]["loss_function"]["type"] = json!("MultiClass");
            all["model_info"]["class_params"] = params;
            all["oblivious_trees"] = json!([{"leaf_values": [1.0, 2.0], "splits": []}]);
            all["scale_and_bias"] = json!([1, [0, 0]]);
        })
    };
    let binary = |params: Value| -> Change {
        Box::new(move |all| {
            all["model_info"]["params"]["loss_function"]["type"] = json!("Logloss");
            all["model_info"]["class_params"] = params;
        })
    };
    refused(vec![
        (remove("", "model_info"), &["model_info", "is missing"]),
        (remove("/model_info/params", "loss_function"), &["loss_function", "is missing"]),
        (set("/model_info/params/loss_function/type", json!("Mine")), &["`Mine`", "does not know"]),
        (set("/model_info/params/loss_function/type", json!("PythonUserDefinedPerObject")), &["does not know"]),
        (set("/model_info/params/loss_function/type", json!("RMSEWithUncertainty")), &["1 margins are wrong"]),
        (set("/model_info/params", json!("{\"loss_function\":7}")), &["model_info.params", "in the text"]),
        (add("/model_info", "binclass_probability_threshold", json!("2")), &["threshold", "between 0 and 1"]),
        (add("/model_info", "binclass_probability_threshold", json!("nan")), &["between 0 and 1"]),
        (binary(json!({"class_names": [1, 2, 3], "class_to_label": [0, 1]})), &["3 classes where Logloss has 2"]),
        (binary(json!({"class_names": [1, {}]})), &["class_params", "a class:"]),
        (binary(json!({"class_names": [1, "k".repeat(2000)]})), &["bytes of a name"]),
        (binary(json!({"names": [1, 2]})), &["unknown field `names`"]),
        (several(json!({"class_names": ["a", "b"]})), &["class_to_label has 0 classes for 2 margins"]),
        (several(json!({"class_names": ["a", "b"], "class_to_label": [0, 0]})), &["class_to_label has 0 twice"]),
        (several(json!({"class_names": ["a", "b"], "class_to_label": [0, 2]})), &["class_to_label has 2 twice, or"]),
        (several(json!({"class_names": ["a", "b"], "class_to_label": [0, 0.5]})), &["no class's number"]),
        (
            several(json!({"class_names": ["a", "b"], "class_to_label": [0, 1], "classes_count": 3})),
            &["classes_count is 3"],
        ),
        (several(json!({"class_to_label": [0, 1], "classes_count": u32::MAX})), &["classes of an output: more than"]),
    ]);
    assert_eq!(read(&changed(several(json!(null)))).unwrap().classes()[0].len(), 2);
    let lacking = json!({"class_names": ["a", "b", "c"], "class_to_label": [0, 2]});
    let mut all = document();
    several(lacking)(&mut all);
    all["scale_and_bias"] = json!([0, [0, 0]]);
    assert!(read(all.to_string().as_bytes()).unwrap_err().contains("a class has no margin"));
}

#[test]
fn refuses_what_is_no_json() {
    let text = String::from_utf8(changed(|_| ())).unwrap();
    let cases = [
        (text.replace("[1.0,2.0,", "[NaN,2.0,"), "expected value"),
        (text.replace("[1.0,2.0,", "[Infinity,2.0,"), "expected value"),
        (text.replace("[1.0,2.0,", "[1e999,2.0,"), "number out of range"),
        (text.replace("\"scale_and_bias\":", "\"scale_and_bias\":[1,[0]],\"scale_and_bias\":"), "duplicate field"),
        (text.replace("\"leaf_values\":[16", "\"leaf_values\":[1,2],\"leaf_values\":[16"), "duplicate field"),
        (text.replace("\"border\":-1.0", "\"border\":-1.0,\"border\":-1.0"), "duplicate field"),
        (text.replace("\"has_nans\":true", "\"has_nans\":true,\"has_nans\":true"), "duplicate field"),
        (text.replace("\"type\":\"RMSE\"", "\"type\":\"RMSE\",\"type\":\"Logloss\""), "duplicate field"),
        (format!("{text} {{}}"), "trailing characters"),
    ];
    for (text, expected) in cases {
        let said = read(text.as_bytes()).unwrap_err();
        assert!(said.contains(expected) && said.contains("byte"), "{said}\nwhere {expected} was expected");
    }
    let mut bytes = text.into_bytes();
    let at = bytes.len() - 3;
    bytes[at] = 0xff;
    assert!(read(&bytes).unwrap_err().contains(&format!("byte {at}")));
    // the byte is that of the fault
    let text = String::from_utf8(changed(|_| ())).unwrap().replace("\"leaf_values\":[1.0", "\n\n \"leaf_values\":[x");
    let at = text.find("[x").unwrap() + 1;
    let said = read(text.as_bytes()).unwrap_err();
    assert!(said.contains(&format!("byte {at}")), "{said}, not {at}");
}

#[test]
fn limits_hold() {
    let limits = [
        (Limits { max_trees: 1, ..Limits::default() }, "trees: more than"),
        (Limits { max_nodes: 9, ..Limits::default() }, "nodes of all trees: more than"),
        (Limits { max_depth: 1, ..Limits::default() }, "depth of a tree: more than"),
        (Limits { max_features: 2, ..Limits::default() }, "features: more than"),
        (Limits { max_outputs: 0, ..Limits::default() }, "margins of a model: more than"),
    ];
    for (limits, expected) in limits {
        let said = Model::read(&changed(|_| ()), &Options::from(limits)).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
    let exact =
        Limits { max_trees: 2, max_nodes: 10, max_depth: 2, max_features: 3, max_outputs: 1, ..Limits::default() };
    Model::read(&changed(|_| ()), &Options::from(exact)).unwrap();
    // a leaf for two bytes
    let leaves: Vec<u8> = (0..1 << 14).map(|at: u32| u8::try_from(at % 2).unwrap()).collect();
    let tree = json!({"leaf_values": leaves, "splits": vec![above(0, 0, 0.5); 14]});
    let said = read(&changed(|all| all["oblivious_trees"] = json!([tree]))).unwrap_err();
    assert!(said.contains("attack on memory"), "{said}");
    // all of them alike is one leaf
    let tree = json!({"leaf_values": vec![5; 1 << 14], "splits": vec![above(0, 0, 0.5); 14]});
    assert_eq!(read(&changed(|all| all["oblivious_trees"] = json!([tree]))).unwrap().n_nodes(), 1);
}
