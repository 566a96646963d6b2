//! What is no chain around one tree ensemble of ONNX, or no tree, is refused with what it is and where.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use arborgate_forest::{Limits, Model, Options};
use common::onnx::{
    File, Held, Node, alone, attribute, bytes, classifier, doubles, floats, int, regressor, tensor, v5,
};

const ML: &str = "ai.onnx.ml";

#[track_caller]
fn refused(file: &File, expected: &str) {
    let said = Model::read(&file.write(), &Options::default()).expect_err("it was read").to_string();
    assert!(said.contains(expected), "{said}");
}

#[test]
fn trees_that_are_none_are_refused() {
    let ints = |values: &[i64]| Held::Ints(values.to_vec());
    let modes = |values: &[&'static str]| Held::Texts(values.to_vec());
    let cases: Vec<(&'static str, Held, &str)> = vec![
        (
            "nodes_truenodeids",
            ints(&[1, 0, 0, 0, 0, 1, 0, 0]),
            "tree 0: node 0 has two parents, or is its own ancestor",
        ),
        ("nodes_truenodeids", ints(&[1, 0, 4, 0, 0, 1, 0, 0]), "tree 0: node 4 has two parents"),
        ("nodes_truenodeids", ints(&[1, 0, 9, 0, 0, 1, 0, 0]), "node 2 has a child 9, which is not there"),
        ("nodes_falsenodeids", ints(&[3, 0, 4, 0, 0, 2, 0, 0]), "tree 0: node 2 is reached from nowhere"),
        ("nodes_falsenodeids", ints(&[2, 0, 4, 0, 0]), "several lengths"),
        ("nodes_treeids", ints(&[0, 0, 0, 0, 0, 0, 0, 0]), "tree 0 has two nodes 0"),
        ("nodes_treeids", ints(&[0, 0, 0, 0, 1, 0, 0, 0]), "has a child 4, which is not there"),
        ("nodes_nodeids", ints(&[2, 1, 0, 3, 4, 0, 1, 2]), "tree 0: node 2 has two parents, or is its own ancestor"),
        ("nodes_featureids", ints(&[0, 0, 2, 0, 0, 0, 0, 0]), "node 2 splits on feature 2, of 2"),
        ("nodes_featureids", ints(&[-1, 0, 1, 0, 0, 0, 0, 0]), "splits on feature -1"),
        ("nodes_missing_value_tracks_true", ints(&[2, 0, 0, 0, 0, 0, 0, 0]), "tracks missing values by 2"),
        ("nodes_missing_value_tracks_true", ints(&[1]), "several lengths"),
        ("nodes_values", Held::Floats(vec![f32::NAN, 0., -2., 0., 0., 7., 0., 0.]), "node 0 has NaN as its threshold"),
        ("nodes_values", Held::Floats(vec![1.5, 0., -2., 0., 0., 7.5, 0., 0.]), "equality with 7.5; whole numbers"),
        ("nodes_values", Held::Floats(vec![1.5; 7]), "several lengths"),
        (
            "nodes_modes",
            modes(&["BRANCH_LEQ", "LEAF", "BRANCH_IN", "LEAF", "LEAF", "BRANCH_EQ", "LEAF", "LEAF"]),
            "unknown mode `BRANCH_IN`",
        ),
        ("nodes_modes", modes(&[]), "several lengths"),
        ("target_nodeids", ints(&[1, 3, 4, 1, 1]), "two weights for target 0"),
        ("target_nodeids", ints(&[1, 3, 8, 1, 2]), "a leaf that is not there"),
        ("target_nodeids", ints(&[1, 3, 2, 1, 2]), "a leaf without a weight"),
        ("target_ids", ints(&[0, 0, 1, 0, 0]), "weighs target 1, of 1"),
        ("target_ids", ints(&[0, 0, -1, 0, 0]), "weighs target -1"),
        ("target_weights", Held::Floats(vec![0.25, f32::INFINITY, -1., 10., 20.]), "a weight that is inf"),
        ("target_weights", Held::Floats(vec![1.]), "several lengths"),
        (
            "target_weights_as_tensor",
            Held::Tensor(floats("w", &[1.; 5])),
            "target_weights and target_weights_as_tensor",
        ),
        ("nodes_values_as_tensor", Held::Tensor(doubles("v", &[0.; 8])), "another type than its input"),
        ("n_targets", Held::Int(0), "has 0 targets"),
        ("n_targets", Held::Int(2_000_000_000), "more than the limit"),
        ("base_values", Held::Floats(vec![1., 2.]), "2 base_values for 1 targets"),
        ("base_values", Held::Floats(vec![f32::NAN]), "a base value that is NaN"),
        ("post_transform", Held::Text("SOFTPLUS"), "unknown post_transform `SOFTPLUS`"),
        ("aggregate_function", Held::Text("MEDIAN"), "unknown aggregate_function `MEDIAN`"),
        ("aggregate_function", Held::Int(1), "another kind of value"),
        ("nodes_colours", Held::Int(1), "an attribute `nodes_colours`, not known here"),
    ];
    for (name, held, expected) in cases {
        refused(&alone(regressor().with(name, held)), expected);
    }
    let interleaved = regressor()
        .with("nodes_treeids", Held::Ints(vec![0, 0, 0, 2, 2, 2, 0, 0]))
        .with("nodes_nodeids", Held::Ints(vec![0, 1, 2, 0, 1, 2, 3, 4]))
        .with("nodes_truenodeids", Held::Ints(vec![1, 0, 3, 1, 0, 0, 0, 0]))
        .with("nodes_falsenodeids", Held::Ints(vec![2, 0, 4, 2, 0, 0, 0, 0]));
    refused(&alone(interleaved), "tree 0: node 2 has a child 3, which is not there");
    let again = Node::new("TreeEnsembleRegressor", ML, &["x"], &["y"])
        .with("nodes_treeids", Held::Ints(vec![0, 1, 0]))
        .with("nodes_nodeids", Held::Ints(vec![0, 0, 1]))
        .with("nodes_featureids", Held::Ints(vec![0; 3]))
        .with("nodes_modes", Held::Texts(vec!["LEAF"; 3]))
        .with("nodes_values", Held::Floats(vec![0.; 3]))
        .with("nodes_truenodeids", Held::Ints(vec![0; 3]))
        .with("nodes_falsenodeids", Held::Ints(vec![0; 3]))
        .with("target_treeids", Held::Ints(vec![0, 1, 0]))
        .with("target_nodeids", Held::Ints(vec![0, 0, 1]))
        .with("target_ids", Held::Ints(vec![0; 3]))
        .with("target_weights", Held::Floats(vec![1.; 3]))
        .with("n_targets", Held::Int(1));
    refused(&alone(again), "tree 0 is in parts with others between");
}

#[test]
fn classifiers_without_a_sure_answer_are_refused() {
    let cases: Vec<(&'static str, Held, &str)> = vec![
        ("classlabels_int64s", Held::Ints(vec![5]), "has one class"),
        ("classlabels_int64s", Held::Ints(vec![5, 6]), "of two classes weighs the second"),
        ("classlabels_int64s", Held::Ints(vec![5, 6, 6]), "a class label twice"),
        ("classlabels_int64s", Held::Ints(vec![]), "has no class labels"),
        ("classlabels_strings", Held::Texts(vec!["a", "b", "c"]), "labels of both kinds"),
        ("class_ids", Held::Ints(vec![0, 1, 3]), "weighs target 3, of 3"),
        ("class_weights", Held::Floats(vec![1., 0.25, -0.75]), "does not weigh every class in every row"),
        ("base_values", Held::Floats(vec![1., 2.]), "2 base_values where 3 or none fit"),
        ("aggregate_function", Held::Text("SUM"), "not known here"),
    ];
    for (name, held, expected) in cases {
        refused(&alone(classifier().with(name, held)), expected);
    }
    let pair = classifier()
        .with("class_nodeids", Held::Ints(vec![1, 2]))
        .with("class_treeids", Held::Ints(vec![0; 2]))
        .with("class_ids", Held::Ints(vec![0; 2]))
        .with("class_weights", Held::Floats(vec![-1., 1.]))
        .with("classlabels_int64s", Held::Ints(vec![5, 6]));
    Model::read(&alone(pair.clone()).write(), &Options::default()).unwrap();
    refused(&alone(pair.clone().with("base_values", Held::Floats(vec![1., 2.]))), "2 base_values where 1 or none fit");
    refused(&alone(pair.with("post_transform", Held::Text("PROBIT"))), "leaves a score unset");
}

#[test]
fn ensembles_of_version_5_that_are_none_are_refused() {
    let cases: Vec<(&'static str, Held, &str)> = vec![
        ("tree_roots", Held::Ints(vec![1]), "node 1 is not there, of 1"),
        ("tree_roots", Held::Ints(vec![0, 0]), "node 0 has two parents"),
        ("tree_roots", Held::Ints(vec![]), "has no tree_roots"),
        ("nodes_truenodeids", Held::Ints(vec![2]), "leaf 2 is not there, of 2"),
        ("nodes_trueleafs", Held::Ints(vec![0]), "node 0 has two parents, or is its own ancestor"),
        ("nodes_trueleafs", Held::Ints(vec![3]), "a flag that is 3"),
        ("nodes_modes", Held::Tensor(tensor("m", 2, &[1], &[7])), "of mode 7"),
        ("nodes_modes", Held::Tensor(tensor("m", 2, &[1], &[0])), "more sets of membership_values"),
        ("nodes_modes", Held::Tensor(tensor("m", 2, &[2], &[0])), "other data than its shape says"),
        ("nodes_modes", Held::Tensor(tensor("m", 2, &[i64::MAX, 4], &[0])), "other data than its shape says"),
        ("nodes_splits", Held::Tensor(doubles("s", &[0.])), "nodes_splits of another type"),
        ("membership_values", Held::Tensor(floats("v", &[1.5])), "equality with 1.5"),
        ("membership_values", Held::Tensor(floats("v", &[f32::NAN])), "empty set"),
        ("membership_values", Held::Tensor(floats("v", &[3e9])), "beyond 32 bits"),
        ("leaf_targetids", Held::Ints(vec![0]), "several lengths"),
        ("leaf_targetids", Held::Ints(vec![0, 1]), "weighs target 1, of 1"),
        ("leaf_weights", Held::Tensor(floats("w", &[1., f32::NAN])), "a weight that is NaN"),
        ("aggregate_function", Held::Int(4), "unknown aggregate_function"),
        ("post_transform", Held::Int(5), "unknown post_transform"),
    ];
    for (name, held, expected) in cases {
        refused(&alone(v5().with(name, held)), expected);
    }
    refused(&File { opsets: vec![(ML, 3)], ..alone(v5()) }, "came with version 5");
    refused(&alone(v5().without("nodes_modes")), "has no nodes_modes");
}

#[test]
fn graphs_that_are_no_chain_are_refused_where_they_leave_it() {
    let node = |op, domain, inputs: &[&'static str], outputs: &[&'static str]| Node::new(op, domain, inputs, outputs);
    let after = |more: Node| File::new(vec![regressor(), more], &["z"]);
    let before = |more: Node| {
        let mut trees = regressor();
        trees.inputs = vec!["z"];
        File::new(vec![more, trees], &["y"])
    };
    refused(&after(node("Exp", "", &["y"], &["z"])), "node Exp (byte ");
    refused(&after(node("Exp", "", &["y"], &["z"])), "reads `y`, where this operator is not taken; read the library's");
    refused(&after(Node { outputs: vec!["z"], ..regressor() }), "is a second tree ensemble");
    refused(&after(node("Cast", "", &["y"], &["z"]).with("to", Held::Int(7))), "casts scores to another type");
    refused(&after(node("Mul", "", &["y", "x"], &["z"])), "has an input 1 that is no constant");
    refused(&after(node("Identity", "com.acme", &["y"], &["z"])), "domain `com.acme`, which the model does not import");
    refused(&after(node("Identity", "", &["nothing"], &["z"])), "reads `nothing`, which no node before it makes");
    refused(&after(node("Identity", "", &["y"], &["y"])), "stands for two things");
    refused(&after(node("Identity", "", &["y"], &["z", "w"])), "has 2 outputs where 1 were expected");
    refused(&File::new(vec![regressor()], &["x"]), "output `x`: is not made by the trees");
    refused(&File::new(vec![regressor()], &["z"]), "output `z`: is made by no node");
    refused(&File::new(vec![regressor()], &["y", "y"]), "gives out again");
    refused(&File::new(vec![regressor()], &[]), "has no output");
    refused(&File::new(vec![], &["x"]), "has no tree ensemble");
    refused(&before(node("Normalizer", ML, &["x"], &["z"])), "normalize rows before they are sent");
    refused(&before(node("Cast", "", &["x"], &["z"]).with("to", Held::Int(9))), "casts to element type 9");
    refused(&before(node("Concat", "", &["x", "x"], &["z"]).with("axis", Held::Int(0))), "puts rows below each other");
    refused(&before(node("Scaler", ML, &["x"], &["z"]).with("scale", Held::Floats(vec![1.; 3]))), "other lengths");
    let imputer = node("Imputer", ML, &["x"], &["z"]).with("replaced_value_float", Held::Float(0.0));
    refused(&before(imputer), "replaces something else than NaN");
    let encoder = node("LabelEncoder", ML, &["label"], &["z"])
        .with("keys_int64s", Held::Ints(vec![5, 6, 8]))
        .with("values_strings", Held::Texts(vec!["a", "b", "c"]));
    refused(&File::new(vec![classifier(), encoder.clone()], &["z", "scores"]), "no entry for the class `7`");
    let twice = encoder.with("keys_int64s", Held::Ints(vec![5, 5, 7]));
    refused(&File::new(vec![classifier(), twice], &["z", "scores"]), "two entries for one key");
    let map = node("ZipMap", ML, &["scores"], &["z"]).with("classlabels_int64s", Held::Ints(vec![5, 7, 6]));
    refused(&File::new(vec![classifier(), map], &["label", "z"]), "maps from other labels");
    let input = |element, dims: &[i64]| File { inputs: vec![("x", element, dims.to_vec())], ..alone(regressor()) };
    refused(&input(1, &[0, 0]), "does not say how many columns it has; convert with its number of columns");
    refused(&input(1, &[0, -4]), "has no columns");
    refused(&input(1, &[2]), "has 1 dimensions");
    refused(&input(8, &[0, 2]), "is of element type 8");
    refused(&input(1, &[0, i64::MAX]), "features: more than the limit");
}

#[test]
fn what_the_schema_does_not_say_is_refused() {
    let file = alone(regressor());
    let more = |more: Vec<u8>| File { more, ..file.clone() };
    refused(&more(int(99, 1)), "field 99 of the model is not known here");
    refused(&more(bytes(7, &[])), "field 7 of the model stands there twice");
    refused(&more(bytes(25, &[])), "has functions");
    refused(&more(vec![0x0f]), "a field is cut off or no field");
    refused(&File { graph: bytes(15, &[]), ..file.clone() }, "sparse initializer");
    refused(&File { graph: int(77, 0), ..file.clone() }, "field 77 of the graph");
    refused(&alone(Node { more: bytes(8, b"x"), ..regressor() }), "field 8 of a node");
    refused(&alone(regressor().with("n_targets", Held::Raw(bytes(6, &[])))), "an attribute holds a graph");
    refused(&alone(regressor().with("n_targets", Held::Raw(bytes(21, b"n")))), "refers to a function's");
    refused(&alone(regressor().with("n_targets", Held::Raw([int(3, 1), int(3, 2)].concat()))), "has two values");
    let twice = Node { more: bytes(5, &attribute("n_targets", &Held::Int(1))), ..regressor() };
    refused(&alone(twice), "attribute `n_targets` stands there twice");
    let external = [tensor("t", 1, &[1], &[0; 4]), bytes(13, &[])].concat();
    refused(&File { initializers: vec![external], ..file.clone() }, "data is external");
    refused(&File { ir: 99, ..file.clone() }, "ir_version 99");
    refused(&File { opsets: vec![(ML, 6)], ..file.clone() }, "imports version 6 of `ai.onnx.ml`");
    refused(&File { opsets: vec![("", 15)], ..file }, "which the model does not import");
    let limits = |limits: Limits| Model::read(&alone(regressor()).write(), &limits.into()).unwrap_err().to_string();
    assert!(limits(Limits { max_trees: 1, ..Limits::default() }).contains("trees: more than"));
    assert!(limits(Limits { max_nodes: 7, ..Limits::default() }).contains("nodes of all trees: more than"));
    assert!(limits(Limits { max_depth: 1, ..Limits::default() }).contains("depth of a tree: more than"));
    assert!(limits(Limits { max_features: 1, ..Limits::default() }).contains("features: more than"));
    assert!(limits(Limits { max_text: 6, ..Limits::default() }).contains("bytes of a name or label"));
}
