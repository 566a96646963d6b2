//! CatBoost's own files, and one made up, of which everything can be changed.
#![allow(dead_code, unreachable_pub)]

use std::io::Read;

use arborgate_forest::{Model, Options};
use serde_json::{Value, json};

pub fn file(name: &str) -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/catboost/1.2.10/").to_owned() + name;
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    if !name.ends_with(".z") {
        return bytes;
    }
    let mut plain = Vec::new();
    flate2::read::ZlibDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
    plain
}

pub fn read(bytes: &[u8]) -> Result<Model, String> {
    Model::read(bytes, &Options::default()).map_err(|error| error.to_string())
}

/// Number 0 with NaN above all, category 1, number 2; two trees over them.
pub fn document() -> Value {
    let number = |index: u32, flat: u32, borders: &[f64]| {
        json!({"feature_index": index, "flat_feature_index": flat, "feature_id": "", "borders": borders,
               "has_nans": index == 0, "nan_value_treatment": "AsTrue"})
    };
    json!({
        "model_info": {
            "params": {"loss_function": {"type": "RMSE", "params": {}}, "more": [1, {"of": "it"}]},
            "catboost_version_info": "Branch: tags/v1.2.10\n",
        },
        "features_info": {
            "float_features": [number(0, 0, &[0.5, 1.5]), number(1, 2, &[-1.0])],
            "categorical_features": [
                {"feature_index": 0, "flat_feature_index": 1, "feature_id": "kind", "values": [-1440182944, 7]},
            ],
        },
        "oblivious_trees": [
            {"leaf_values": [1.0, 2.0, 4.0, 8.0], "leaf_weights": [1, 2, 3, 4],
             "splits": [above(0, 1, 1.5), {"split_type": "OneHotFeature", "split_index": 3, "cat_feature_index": 0, "value": -1440182944}]},
            {"leaf_values": [16.0, 32.0], "splits": [above(1, 2, -1.0)]},
        ],
        "scale_and_bias": [1, [0.25]],
    })
}

pub fn above(feature: u32, index: u32, border: f64) -> Value {
    json!({"split_type": "FloatFeature", "split_index": index, "float_feature_index": feature, "border": border})
}

pub fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut document = document();
    change(&mut document);
    document.to_string().into_bytes()
}

pub fn is(split: Value, left: Value, right: Value) -> Value {
    json!({"split": split, "left": left, "right": right})
}

pub fn leaf(value: f64) -> Value {
    json!({"value": value, "weight": 2})
}

pub fn nested(trees: Value) -> Vec<u8> {
    changed(|all| {
        all.as_object_mut().unwrap().remove("oblivious_trees");
        all["trees"] = trees;
    })
}

pub type Change = Box<dyn FnOnce(&mut Value)>;

pub fn set(path: &str, value: Value) -> Change {
    let path = path.to_owned();
    Box::new(move |all| *all.pointer_mut(&path).unwrap_or_else(|| panic!("{path}")) = value)
}

pub fn add(path: &str, name: &str, value: Value) -> Change {
    let (path, name) = (path.to_owned(), name.to_owned());
    Box::new(move |all| drop(all.pointer_mut(&path).unwrap().as_object_mut().unwrap().insert(name, value)))
}

pub fn remove(path: &str, name: &str) -> Change {
    let (path, name) = (path.to_owned(), name.to_owned());
    Box::new(move |all| drop(all.pointer_mut(&path).unwrap().as_object_mut().unwrap().remove(&name).unwrap()))
}
