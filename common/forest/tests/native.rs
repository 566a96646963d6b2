//! Our own file holds every model to the bit, and nothing else is read for one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/made_up.rs"]
mod made_up;

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

/// A file taken apart: its header and the tensors' bytes.
fn apart(bytes: &[u8]) -> (Value, Vec<u8>) {
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    (serde_json::from_slice(&bytes[8..8 + length]).unwrap(), bytes[8 + length..].to_vec())
}

/// And put together again. The manifest stands first.
fn together(header: &Value, data: &[u8]) -> Vec<u8> {
    let all = header.as_object().unwrap();
    let entry = |(name, value): (&String, &Value)| format!("{}:{value}", Value::from(name.as_str()));
    let mut entries: Vec<String> = all.iter().filter(|(name, _)| *name == "__metadata__").map(entry).collect();
    entries.extend(all.iter().filter(|(name, _)| *name != "__metadata__").map(entry));
    with_header(&format!("{{{}}}", entries.join(",")), data)
}

fn with_header(text: &str, data: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), data].concat()
}

fn small() -> Vec<u8> {
    let shape = Shape { trees: 3, depth: 3, categories: 20, linear: true, ..Shape::default() };
    written(&shape.model(&mut Random::new(5)))
}

#[track_caller]
fn refused(bytes: &[u8], expected: &str) {
    let said = read(bytes).expect_err(expected);
    assert!(said.contains(expected), "{said}");
}

#[track_caller]
fn changed(expected: &str, change: impl FnOnce(&mut Value, &mut Vec<u8>)) {
    let (mut header, mut data) = apart(&small());
    change(&mut header, &mut data);
    refused(&together(&header, &data), expected);
}

/// Changes the manifest.
#[track_caller]
fn said(expected: &str, change: impl FnOnce(&mut Value)) {
    changed(expected, |header, _| {
        let text = header["__metadata__"]["arborgate.forest"].as_str().unwrap();
        let mut manifest = serde_json::from_str(text).unwrap();
        change(&mut manifest);
        header["__metadata__"]["arborgate.forest"] = manifest.to_string().into();
    });
}

/// Where a tensor's bytes are.
fn place(header: &Value, name: &str) -> std::ops::Range<usize> {
    let at = |end: usize| usize::try_from(header[name]["data_offsets"][end].as_u64().unwrap()).unwrap();
    at(0)..at(1)
}

#[test]
fn a_header_that_lies_is_refused() {
    for (name, key, value, expected) in [
        ("split.column", "dtype", json!("F32"), "tensor `split.column`: has numbers of type F32"),
        ("leaf.value", "dtype", json!("BF16"), "tensor `leaf.value`: has numbers of type BF16"),
        ("leaf.value", "dtype", json!("X"), "tensor `leaf.value`: unknown variant `X`"),
        ("node.kind", "shape", json!([1, 2]), "tensor `node.kind`: has 2 dimensions"),
        ("node.kind", "shape", json!([]), "tensor `node.kind`: has 0 dimensions"),
        ("node.kind", "shape", json!([1]), "tensor `node.kind`: has "),
        ("leaf.value", "shape", json!([u64::MAX]), "tensor `leaf.value`: has "),
        ("leaf.value", "shape", json!([-1]), "tensor `leaf.value`: invalid value"),
        ("tree.nodes", "data_offsets", json!([0, 1_u64 << 40]), "tensor `tree.nodes`: is said to be at 0 to"),
        ("tree.nodes", "data_offsets", json!([9, 1]), "tensor `tree.nodes`: is said to be at 9 to 1"),
        ("tree.nodes", "data_offsets", json!([0]), "tensor `tree.nodes`: invalid length"),
    ] {
        changed(expected, |header, _| header[name][key] = value);
    }
    changed("overlap or leave gaps: invalid offset for tensor `", |header, _| {
        header["tree.nodes"]["data_offsets"] = json!([4, 16]);
    });
    changed("tensor `more` is not known here", |header, _| header["more"] = header["tree.nodes"].clone());
    changed("unknown field `format`", |header, _| header["__metadata__"]["format"] = "pt".into());
    changed("bytes follow the end of the last tensor", |_, data| data.push(0));
    let (header, data) = apart(&small());
    let text = String::from_utf8(together(&header, &[])[8..].to_vec()).unwrap();
    let entry = format!("\"tree.nodes\":{}", header["tree.nodes"]);
    for (again, expected) in [
        (format!("{entry},{entry}"), "`tree.nodes` stands there twice"),
        (format!("{entry},\"__metadata__\":{{\"arborgate.forest\":\"\"}}"), "`__metadata__` stands there twice"),
        (entry.replace("\"shape\"", "\"dtype\":\"U8\",\"shape\""), "tensor `tree.nodes`: duplicate field `dtype`"),
        (format!("{entry},\"deep\":{}", "[".repeat(5000)), "tensor `deep` is not known here"),
        (entry.replace("[3]", &"[".repeat(5000)), "tensor `tree.nodes`: invalid type"),
    ] {
        refused(&with_header(&text.replace(&entry, &again), &data), expected);
    }
    for length in [u64::MAX, u64::MAX - 8, 1 << 40, small().len() as u64 - 7] {
        let mut bytes = small();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        refused(&bytes, "is longer than the file");
    }
    refused(&with_header(&text[..text.len() - 1], &data), "the header (byte ");
    let mut other = with_header("{\"__metadata__\":{\"format\":\"pt\"}}", &[]);
    refused(&other, "a safetensors file");
    other[8..].reverse();
    read(&other).unwrap_err();
}

#[test]
fn a_manifest_that_lies_is_refused() {
    said("format: is 2 and this version knows 1; read it with a newer version", |all| {
        *all = json!({"format": 2, "what": ["it", "is"]});
    });
    said("missing field `format`", |all| *all = json!({"model": {}}));
    said("missing field `task`", |all| all["model"] = json!({}));
    said("unknown field `more`", |all| all["more"] = json!(1));
    said("model.sum.more: unknown field `more`", |all| all["model"]["sum"]["more"] = json!(1));
    said("model.sum.start[0]: invalid value: string \"NaN\"", |all| all["model"]["sum"]["start"] = json!(["NaN"]));
    said("one starts from NaN", |all| all["model"]["sum"]["start"] = json!(["nan:7ff8000000000000"]));
    said("an output without classes", |all| all["model"]["classes"] = json!([[]]));
    said("outputs and classes disagree", |all| all["model"]["classes"] = json!([[{"Int": 1}]]));
    said("outputs and classes disagree", |all| all["model"]["n_outputs"] = json!(0));
    said("outputs: more than the limit", |all| all["model"]["n_outputs"] = json!(u64::MAX));
    said("invalid type", |all| all["model"]["features"] = json!({}));
    said("no features", |all| all["model"]["features"] = json!([]));
    said("tree 0: a linear leaf asks for a feature beyond 1", |all| {
        drop(all["model"]["features"].as_array_mut().unwrap().drain(1..))
    });
    changed("the manifest", |header, _| {
        header["__metadata__"]["arborgate.forest"] = format!("{{\"format\":1,\"model\":{}", "[".repeat(9999)).into();
    });
    changed("the manifest", |header, _| {
        header["__metadata__"]["arborgate.forest"] =
            format!("{{\"format\":1,\"model\":{{\"sum\":{}", "[".repeat(9999)).into();
    });
    changed("the manifest: EOF", |header, _| header["__metadata__"]["arborgate.forest"] = "".into());
}

#[test]
fn trees_that_are_none_are_refused() {
    let set = |name: &'static str, at: usize, byte: u8| {
        move |header: &mut Value, data: &mut Vec<u8>| {
            let place = place(header, name);
            data[place][at] = byte;
        }
    };
    changed("tensor `node.kind`: is 0x11 for node 0 of tree 0", set("node.kind", 0, 0x11));
    changed("tensor `tree.has`: is 0x6 for tree 0", set("tree.has", 0, 6));
    changed("tensor `tree.has`: is 0x88 for tree 0", set("tree.has", 0, 0x88));
    changed("tensor `node.cover`: ends within tree 0", set("tree.has", 0, 9));
    changed("tree 0: adds to margin 7, of 1", set("tree.target", 0, 7));
    changed("tensor `node.kind`: ends within tree 0, which needs", set("tree.nodes", 3, 0x7f));
    changed("tensor `set.size`: ends within tree", set("tree.sets", 3, 0xff));
    changed("tensor `set.category`: ends within tree", set("set.size", 3, 0xff));
    changed("tensor `term.column`: ends within tree", set("leaf.terms", 3, 0xff));
    changed("numbers more than the trees need", |header, data| {
        let last = place(header, "leaf.terms").end - 4;
        let set = |data: &mut Vec<u8>, at: usize| data[at..at + 4].fill(0);
        set(data, last);
        let first = place(header, "leaf.terms").start;
        (first..last).step_by(4).for_each(|at| set(data, at));
    });
    changed("tree 1, node 200: is a child but there are only", set("split.right", 0, 200));
    changed("has two parents, or is its own ancestor", set("split.right", 0, 0));
    changed("tensor `tree.sets`: has 0 numbers for 3 trees", |header, data| {
        let place = place(header, "tree.sets");
        data.drain(place.clone());
        let all = header.as_object_mut().unwrap();
        all.remove("tree.sets");
        for (_, info) in all.iter_mut().filter(|(name, _)| *name != "__metadata__") {
            for end in info["data_offsets"].as_array_mut().unwrap() {
                let at = end.as_u64().unwrap();
                *end = json!(if at >= place.end as u64 { at - place.len() as u64 } else { at });
            }
        }
    });
}

#[test]
fn limits_hold() {
    let read = |limits: Limits| Model::read(&small(), &limits.into()).unwrap_err().to_string();
    assert!(read(Limits { max_trees: 2, ..Limits::default() }).contains("trees: more than the limit of 2"));
    assert!(read(Limits { max_nodes: 9, ..Limits::default() }).contains("nodes of all trees"));
    assert!(read(Limits { max_depth: 1, ..Limits::default() }).contains("depth of a tree"));
    assert!(read(Limits { max_features: 1, ..Limits::default() }).contains("features"));
    assert!(read(Limits { max_bytes: 100, ..Limits::default() }).contains("bytes of the file"));
    let bytes = written(&Model::new(odd_parts()).unwrap());
    let limits = Limits { max_text: 3, ..Limits::default() };
    assert!(Model::read(&bytes, &limits.into()).unwrap_err().to_string().contains("bytes of a name"));
}

#[test]
fn a_file_that_is_cut_off_is_refused() {
    let bytes = small();
    for cut in 0..bytes.len() {
        assert!(read(&bytes[..cut]).is_err(), "{cut}");
    }
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, &bytes).unwrap();
    assert!(read(&packed.finish().unwrap()).unwrap() == read(&bytes).unwrap());
}

/// A header of any length is told from a compressed stream: 0x178 bytes begin as zlib does, 0x5d as LZMA.
#[test]
fn a_header_of_any_length_is_known() {
    let (header, data) = apart(&small());
    let plain = together(&header, &data);
    let length = plain.len() - data.len() - 8;
    for padding in 0..8_192 {
        let longer = length + padding * 8;
        if !matches!(longer.to_le_bytes(), [0x78 | 0x5d, ..] | [0x04, 0x22, ..] | [0x80, ..]) {
            continue;
        }
        let mut bytes = (longer as u64).to_le_bytes().to_vec();
        bytes.extend(&plain[8..8 + length]);
        bytes.resize(8 + longer, b' ');
        bytes.extend(&data);
        read(&bytes).unwrap_or_else(|error| panic!("{longer}: {error}"));
    }
}

#[test]
fn the_crate_of_the_format_reads_what_is_written() {
    let bytes = small();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert!(tensors.names().contains(&"split.threshold"));
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

/// What reads compiles, predicts as the obvious way does, and comes back.
fn check(bytes: &[u8]) {
    let Ok(model) = read(bytes) else { return };
    safetensors::SafeTensors::deserialize(bytes).unwrap();
    let row: Vec<f64> = (0..model.n_features()).map(|feature| feature as f64 * 0.7 - 1.0).collect();
    let rows = Array2::from_shape_vec((1, row.len()), row.clone()).unwrap();
    let compiled = Compiled::new(&model).unwrap();
    let mut margins = Array2::zeros((1, compiled.margins_width()));
    if compiled.margins(rows.view(), margins.view_mut()).is_ok() {
        let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        let expected = naive::margins(&model, &row);
        // which of NaN and a number is smaller, no library says
        let said = model.sum().combine == Combine::Add
            || !model.trees().iter().any(|tree| tree.values().iter().any(|x| x.is_nan()));
        assert!(!said || margins.iter().zip(&expected).all(same), "{margins} {expected:?}");
    }
    let again = written(&model);
    assert!(written(&read(&again).unwrap()) == again);
}

fn some_files() -> &'static [Vec<u8>] {
    static FILES: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
    FILES.get_or_init(|| {
        let mut files: Vec<Vec<u8>> = fixtures().iter().map(|(_, model)| written(model)).collect();
        files.retain(|file| file.len() < 20_000);
        files.extend([small(), written(&Model::new(odd_parts()).unwrap())]);
        files
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_file_never_panics(
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        cut in 0_usize..6,
        with in prop::collection::vec(any::<u8>(), 0..6),
        same in any::<bool>(),
    ) {
        let mut bytes = file.get(some_files()).clone();
        let at = at.index(bytes.len());
        let end = (at + if same { with.len() } else { cut }).min(bytes.len());
        bytes.splice(at..end, with);
        check(&bytes);
    }

    #[test]
    fn changed_numbers_never_panic(
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = file.get(some_files()).clone();
        let start = 8 + usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
        for (at, byte) in changes {
            let at = start + at.index((bytes.len() - start).max(1));
            if let Some(old) = bytes.get_mut(at) {
                *old = byte;
            }
        }
        check(&bytes);
    }

    #[test]
    fn a_changed_header_never_panics(
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        cut in 0_usize..8,
        with in "[-0-9\\[\\]{},:\"\\\\a-z]{0,8}",
    ) {
        let bytes = file.get(some_files()).clone();
        let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
        let mut header = bytes[8..8 + length].to_vec();
        let at = at.index(length);
        header.splice(at..(at + cut).min(length), with.bytes());
        check(&[&(header.len() as u64).to_le_bytes()[..], &header, &bytes[8 + length..]].concat());
    }
}
