//! A small model of XGBoost in JSON, and a way to ask a model for one row.

use arborgate_forest::{Compiled, Error, Model, Options, Output};
use ndarray::{Array2, ArrayView1, Axis};
use serde_json::{Value, json};

pub fn read(bytes: &[u8]) -> Result<Model, Error> {
    Model::read(bytes, &Options::default())
}

/// The last value of a row.
pub fn value(model: &Model, row: &[f64]) -> f64 {
    let compiled = Compiled::new(model).unwrap();
    let rows = ArrayView1::from(row).insert_axis(Axis(0));
    let (mut values, mut labels) =
        (Array2::zeros((1, compiled.values_width())), Array2::zeros((1, compiled.labels_width())));
    compiled.predict(rows, &mut Output { values: values.view_mut(), labels: labels.view_mut() }).unwrap();
    values[[0, values.ncols() - 1]]
}

/// A root that asks feature 0 for `condition`, its left child a leaf of 1, its right one of 2.
pub fn stump(condition: &str) -> String {
    let tree = json!({
        "base_weights": [0, 0, 0], "categories": [], "categories_nodes": [], "categories_segments": [],
        "categories_sizes": [], "default_left": [1, 0, 0], "id": 0, "left_children": [1, -1, -1],
        "loss_changes": [3.5, 0, 0], "parents": [2_147_483_647, 0, 0], "right_children": [2, -1, -1],
        "split_conditions": [777, 1.0, 2.0], "split_indices": [0, 0, 0], "split_type": [0, 0, 0],
        "sum_hessian": [10.0, 4.0, 6.0],
        "tree_param": {"num_deleted": "0", "num_feature": "2", "num_nodes": "3", "size_leaf_vector": "1"},
    });
    model(json!([tree])).to_string().replace("777", condition)
}

pub fn model(trees: Value) -> Value {
    let count = trees.as_array().unwrap().len();
    json!({
        "learner": {
            "attributes": {}, "feature_names": [], "feature_types": [],
            "gradient_booster": {
                "model": {
                    "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": count.to_string()},
                    "iteration_indptr": (0..=count).collect::<Vec<_>>(), "tree_info": vec![0; count], "trees": trees,
                },
                "name": "gbtree",
            },
            "learner_model_param": {
                "base_score": "[0E0]", "boost_from_average": "1", "num_class": "0", "num_feature": "2", "num_target": "1",
            },
            "objective": {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}},
        },
        "version": [3, 2, 0],
    })
}
