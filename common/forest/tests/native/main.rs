//! Our own file holds every model to the bit, and nothing else is read for one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod changed;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/made_up.rs"]
mod made_up;
mod refused;

use arborgate_forest::{
    Categories, CategoryRule, Column, Combine, Compiled, Decision, Feature, FeatureKind, Finish, Input, Label, Limits,
    Linear, Link, Model, Node, Options, Parts, Precision, Source, Split, Step, Sum, Task, Test, Tree, TreeParts,
};
use common::naive;
use made_up::{Random, Shape};
use ndarray::Array2;
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(bytes: &[u8]) -> Result<Model, String> {
    Model::read(bytes, &Options::default()).map_err(|error| error.to_string())
}

fn written(model: &Model) -> Vec<u8> {
    let mut bytes = Vec::new();
    model.write(&mut bytes).unwrap();
    bytes
}

/// The file of a model. The model comes back, and its file from it, byte for byte: which a float of other bits would change.
fn hold(model: &Model, name: &str) -> Vec<u8> {
    let bytes = written(model);
    let again = read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    // NaN is not equal to itself
    assert!(again == *model || format!("{again:?}") == format!("{model:?}"), "{name}");
    assert!(written(&again) == bytes, "{name}");
    bytes
}

/// Every file below the fixtures that reads, whatever library it is of.
fn fixtures() -> Vec<(String, Model)> {
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"))];
    let mut models = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(model) = Model::read(&std::fs::read(&path).unwrap(), &Options::default()) {
                models.push((path.display().to_string(), model));
            }
        }
    }
    models
}

#[test]
fn every_file_of_every_library_comes_back() {
    let models = fixtures();
    for library in ["sklearn", "lightgbm", "catboost", "xgboost", "onnx"] {
        assert!(models.iter().filter(|(name, _)| name.contains(library)).count() > 40, "{library}");
    }
    for (name, model) in &models {
        hold(model, name);
    }
}

/// Files of other libraries that are kept in our own form too: seeds of fuzzing, and what later versions have to read.
const KEPT: [&str; 8] = [
    "lightgbm/4.7.0/linear.txt",
    "lightgbm/4.7.0/pandas.txt",
    "lightgbm/4.7.0/multiclass.txt",
    "sklearn/1.9.1/dt_iris_missing.joblib",
    "sklearn/1.9.1/rf_iris_pair.joblib",
    "sklearn_boosting/1.5.2/pipe_strict.lzma",
    "xgboost/3.4.1/labels_multi_output_tree.ubj.z",
    "onnx/1.32.0/made_18_TreeEnsemble.onnx",
];

fn kept(name: &str) -> (Model, std::path::PathBuf) {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"));
    let model = read(&std::fs::read(folder.join(name)).unwrap()).unwrap();
    (model, folder.join("native/1").join(format!("{}.safetensors", name.replace('/', "-"))))
}

#[test]
fn files_of_each_format_read() {
    for (model, path) in KEPT.map(kept) {
        let own = read(&std::fs::read(&path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(format!("{own:?}") == format!("{model:?}"), "{}", path.display());
    }
}

#[test]
#[ignore = "writes the files of the format that is written now"]
fn writes_the_kept_files() {
    for (model, path) in KEPT.map(kept) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, written(&model)).unwrap();
    }
}

#[test]
fn made_up_models_come_back() {
    let mut random = Random::new(3);
    for number in 0..200 {
        let pick = |random: &mut Random, end| random.below(end) as usize;
        let shape = Shape {
            trees: pick(&mut random, 30),
            depth: pick(&mut random, 9),
            prune: random.below(40),
            features: 1 + pick(&mut random, 400),
            keys: 1 + pick(&mut random, 1000),
            categories: pick(&mut random, 3) * 40,
            margins: 1 + pick(&mut random, 3),
            wide: random.below(2) == 0,
            linear: random.below(3) == 0,
            precision: if random.below(2) == 0 { Precision::Single } else { Precision::Double },
            ..Shape::default()
        };
        hold(&shape.model(&mut random), &format!("number {number}"));
    }
}

fn split(column: u32, test: Test, left: u32, right: u32) -> Node {
    Node::Split(Split { column, test, left, right, missing_left: left < right, zero_is_missing: column == 1 })
}

const ODD: [f64; 10] = [
    -0.0,
    0.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    5e-324,
    1e-40,
    0.1,
    f64::MAX,
    f64::from_bits(0x7ff0_0000_0000_0001),
    f64::from_bits(0xfff8_0000_0000_1234),
];

/// A tree of which nothing stands where one would expect it, and one that is a leaf.
fn odd_trees() -> Vec<Tree> {
    let odd = TreeParts {
        nodes: vec![
            split(0, Test::AtMost(f64::NEG_INFINITY), 4, 2),
            Node::Leaf(2),
            split(1, Test::OneOf(1), 1, 3),
            Node::Leaf(0),
            split(2, Test::AtMost(-0.0), 6, 5),
            Node::Leaf(1),
            Node::Leaf(3),
        ],
        sets: vec![vec![], vec![i64::MIN, -1, 0, 1 << 40, i64::MAX], vec![255, 256]],
        target: Some(1),
        values: vec![-0.0, 5e-324, f64::INFINITY, 0.1],
        linear: (0..4)
            .map(|n| Linear { constant: ODD[n], terms: (0..n).map(|c| (c as u32, ODD[c])).collect() })
            .collect(),
        cover: vec![1.0, 2.0, -0.0, 1e300, 0.0, 0.0, 0.0],
        gain: vec![0.5, 0.0, 1.5, -0.0, 0.0, 0.0, 0.0],
        ..TreeParts::default()
    };
    let alone = |target, values| TreeParts { nodes: vec![Node::Leaf(0)], target, values, ..TreeParts::default() };
    [odd, alone(None, vec![1.0, 2.0]), alone(Some(0), vec![1e-300])]
        .into_iter()
        .map(|parts| Tree::new(parts, &Limits::default()).unwrap())
        .collect()
}

fn odd_parts() -> Parts {
    let feature = |kind| Feature { name: Some("\"q\" \\ \u{1} ü".into()), kind, missing_allowed: true };
    let labels = vec![Label::Int(i64::MIN), Label::Float(-0.0), Label::Bool(true), Label::Text(String::new())];
    let steps = ODD.iter().take(8).flat_map(|x| {
        [Step::Subtract(*x), Step::Divide(*x), Step::Multiply(*x), Step::Add(*x), Step::Clip(-*x, *x), Step::Flush(*x)]
    });
    Parts {
        task: Task::Regression,
        features: vec![
            feature(FeatureKind::Number),
            feature(FeatureKind::Category(Categories::Hashed)),
            feature(FeatureKind::Category(Categories::Named(labels))),
        ],
        input: Input { precision: Precision::Double, infinite_allowed: true, category: CategoryRule::Truncated32 },
        columns: (0..3).map(|feature| Column { feature, steps: steps.clone().collect() }).collect(),
        n_outputs: 2,
        classes: vec![],
        sum: Sum {
            combine: Combine::Min,
            precision: Precision::Double,
            start: vec![-0.0, f64::INFINITY],
            finish: Finish::ScaleAndShift { scale: f64::NEG_INFINITY, shift: vec![1e-40, 0.1] },
        },
        link: Link::Identity,
        decision: Decision::None,
        trees: odd_trees(),
        source: Source { library: "odd".into(), version: String::new(), class: "é\n".into() },
    }
}

#[test]
fn what_is_odd_comes_back() {
    hold(&Model::new(odd_parts()).unwrap(), "odd");
    hold(&Model::new(Parts { trees: vec![], ..odd_parts() }).unwrap(), "no trees");
    // NaN is not equal to itself, so that only the bytes can tell
    let mut parts = odd_parts();
    parts.columns[0].steps = ODD.iter().map(|x| Step::Fill(*x)).collect();
    parts.features[2].kind = FeatureKind::Category(Categories::Named(ODD.iter().map(|x| Label::Float(*x)).collect()));
    let bytes = written(&Model::new(parts).unwrap());
    let again = read(&bytes).unwrap();
    let bits: Vec<u64> = again.columns()[0]
        .steps
        .iter()
        .map(|step| match step {
            Step::Fill(x) => x.to_bits(),
            _ => panic!("{step:?}"),
        })
        .collect();
    assert_eq!(bits, ODD.map(f64::to_bits));
    assert!(written(&again) == bytes);
}

#[test]
fn a_classifier_whose_leaf_says_the_class_comes_back() {
    let tree = TreeParts {
        nodes: vec![split(0, Test::AtMost(0.5), 1, 2), Node::Leaf(0), Node::Leaf(1)],
        values: vec![0.25, 0.75, 1.0, 0.0],
        labels: vec![1, 0],
        ..TreeParts::default()
    };
    let mut parts = odd_parts();
    parts.task = Task::Classification;
    (parts.n_outputs, parts.decision) = (1, Decision::Leaf);
    parts.classes = vec![vec![Label::Int(3), Label::Text("b".into())]];
    parts.trees = vec![Tree::new(tree, &Limits::default()).unwrap()];
    hold(&Model::new(parts).unwrap(), "classifier");
}

/// `cargo test --release -p arborgate-forest --test native -- --ignored --nocapture`
#[test]
#[ignore = "measures, and holds nothing"]
fn how_long_reading_takes() {
    const TIMES: u32 = 100;
    let mut random = Random::new(1);
    for (depth, cover) in [(8, false), (8, true), (6, true)] {
        let shape = Shape { trees: 500, depth, prune: 0, features: 32, keys: 1000, ..Shape::default() };
        let mut model = shape.model(&mut random);
        if cover {
            model = with_statistics(&model);
        }
        let bytes = written(&model);
        let began = (on_processor(), std::time::Instant::now());
        for _ in 0..TIMES {
            assert_eq!(Model::read(&bytes, &Options::default()).unwrap().n_nodes(), model.n_nodes());
        }
        let took = ((on_processor() - began.0) / TIMES, began.1.elapsed() / TIMES);
        println!(
            "{} nodes, {} bytes: {:?} of a processor, {:?} by the clock",
            model.n_nodes(),
            bytes.len(),
            took.0,
            took.1
        );
    }
}

/// What this thread took of a processor, so that others on it do not count.
fn on_processor() -> std::time::Duration {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    std::time::Duration::from_nanos(said.split(' ').next().unwrap().parse().unwrap())
}

/// The same with cover and gain.
fn with_statistics(model: &Model) -> Model {
    let tree = |tree: &Tree| {
        let gain = |node: &Node| if matches!(node, Node::Leaf(_)) { 0.0 } else { 1.0 / 3.0 };
        let parts = TreeParts {
            nodes: tree.nodes().to_vec(),
            target: Some(0),
            values: tree.values().to_vec(),
            cover: (0..tree.nodes().len()).map(|at| f64::from(at as f32 / 3.0)).collect(),
            gain: tree.nodes().iter().map(gain).collect(),
            ..TreeParts::default()
        };
        Tree::new(parts, &Limits::default()).unwrap()
    };
    Model::new(Parts {
        task: model.task(),
        features: model.features().to_vec(),
        input: model.input(),
        columns: Vec::new(),
        n_outputs: 1,
        classes: Vec::new(),
        sum: model.sum().clone(),
        link: Link::Identity,
        decision: Decision::None,
        trees: model.trees().iter().map(tree).collect(),
        source: model.source().clone(),
    })
    .unwrap()
}
