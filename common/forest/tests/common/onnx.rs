//! Writes ONNX files, message by message, so that a test can say anything in them.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

pub fn int(number: u64, value: i64) -> Vec<u8> {
    [varint(number << 3), varint(value as u64)].concat()
}

pub fn bytes(number: u64, value: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

/// What an attribute holds.
#[derive(Clone)]
pub enum Held {
    Int(i64),
    Float(f32),
    Text(&'static str),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<&'static str>),
    Tensor(Vec<u8>),
    Raw(Vec<u8>),
}

pub fn attribute(name: &str, held: &Held) -> Vec<u8> {
    let value = match held {
        Held::Int(value) => int(3, *value),
        Held::Float(value) => [varint(2 << 3 | 5), value.to_le_bytes().to_vec()].concat(),
        Held::Text(value) => bytes(4, value.as_bytes()),
        Held::Ints(values) => values.iter().flat_map(|value| int(8, *value)).collect(),
        // packed
        Held::Floats(values) => bytes(7, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()),
        Held::Texts(values) => values.iter().flat_map(|value| bytes(9, value.as_bytes())).collect(),
        Held::Tensor(value) => bytes(5, value),
        Held::Raw(value) => value.clone(),
    };
    [bytes(1, name.as_bytes()), value].concat()
}

/// A tensor with its numbers as raw bytes.
pub fn tensor(name: &str, element: i64, dims: &[i64], raw: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|dim| int(1, *dim)).collect();
    [dims, int(2, element), bytes(8, name.as_bytes()), bytes(9, raw)].concat()
}

pub fn floats(name: &str, values: &[f32]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, 1, &[values.len() as i64], &raw)
}

pub fn doubles(name: &str, values: &[f64]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, 11, &[values.len() as i64], &raw)
}

#[derive(Clone)]
pub struct Node {
    pub op: &'static str,
    pub domain: &'static str,
    pub inputs: Vec<&'static str>,
    pub outputs: Vec<&'static str>,
    pub attributes: BTreeMap<&'static str, Held>,
    pub more: Vec<u8>,
}

impl Node {
    pub fn new(op: &'static str, domain: &'static str, inputs: &[&'static str], outputs: &[&'static str]) -> Self {
        let (inputs, outputs) = (inputs.to_vec(), outputs.to_vec());
        Self { op, domain, inputs, outputs, attributes: BTreeMap::new(), more: Vec::new() }
    }

    pub fn with(mut self, name: &'static str, held: Held) -> Self {
        self.attributes.insert(name, held);
        self
    }

    pub fn without(mut self, name: &'static str) -> Self {
        assert!(self.attributes.remove(name).is_some(), "{name}");
        self
    }

    fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.inputs.iter().for_each(|name| out.extend(bytes(1, name.as_bytes())));
        self.outputs.iter().for_each(|name| out.extend(bytes(2, name.as_bytes())));
        out.extend(bytes(4, self.op.as_bytes()));
        self.attributes.iter().for_each(|(name, held)| out.extend(bytes(5, &attribute(name, held))));
        out.extend(bytes(7, self.domain.as_bytes()));
        out.extend(&self.more);
        out
    }
}

#[derive(Clone)]
pub struct File {
    pub ir: i64,
    pub opsets: Vec<(&'static str, i64)>,
    /// Name, element type, dimensions (0 where the file does not say).
    pub inputs: Vec<(&'static str, i64, Vec<i64>)>,
    pub outputs: Vec<&'static str>,
    pub nodes: Vec<Node>,
    pub initializers: Vec<Vec<u8>>,
    pub graph: Vec<u8>,
    pub more: Vec<u8>,
}

impl File {
    pub fn new(nodes: Vec<Node>, outputs: &[&'static str]) -> Self {
        Self {
            ir: 8,
            opsets: vec![("ai.onnx.ml", 5), ("", 15)],
            inputs: vec![("x", 1, vec![0, 2])],
            outputs: outputs.to_vec(),
            nodes,
            initializers: Vec::new(),
            graph: Vec::new(),
            more: Vec::new(),
        }
    }

    pub fn write(&self) -> Vec<u8> {
        let mut graph = Vec::new();
        self.nodes.iter().for_each(|node| graph.extend(bytes(1, &node.write())));
        self.initializers.iter().for_each(|tensor| graph.extend(bytes(5, tensor)));
        for (name, element, dims) in &self.inputs {
            let dim = |dim: &i64| bytes(1, &if *dim == 0 { Vec::new() } else { int(1, *dim) });
            let shape: Vec<u8> = dims.iter().flat_map(dim).collect();
            let kind = bytes(1, &[int(1, *element), bytes(2, &shape)].concat());
            graph.extend(bytes(11, &[bytes(1, name.as_bytes()), bytes(2, &kind)].concat()));
        }
        self.outputs.iter().for_each(|name| graph.extend(bytes(12, &bytes(1, name.as_bytes()))));
        graph.extend(&self.graph);
        let mut out = int(1, self.ir);
        for (domain, version) in &self.opsets {
            out.extend(bytes(8, &[bytes(1, domain.as_bytes()), int(2, *version)].concat()));
        }
        out.extend(bytes(7, &graph));
        out.extend(&self.more);
        out
    }
}

const ML: &str = "ai.onnx.ml";

/// `x[0] <= 1.5`: 0.25, else by `x[1] > -2`: 0.5, else −1. Another tree adds 10 or 20.
pub fn regressor() -> Node {
    Node::new("TreeEnsembleRegressor", ML, &["x"], &["y"])
        .with("nodes_treeids", Held::Ints(vec![0, 0, 0, 0, 0, 1, 1, 1]))
        .with("nodes_nodeids", Held::Ints(vec![0, 1, 2, 3, 4, 0, 1, 2]))
        .with("nodes_featureids", Held::Ints(vec![0, 0, 1, 0, 0, 0, 0, 0]))
        .with(
            "nodes_modes",
            Held::Texts(vec!["BRANCH_LEQ", "LEAF", "BRANCH_GT", "LEAF", "LEAF", "BRANCH_EQ", "LEAF", "LEAF"]),
        )
        .with("nodes_values", Held::Floats(vec![1.5, 0., -2., 0., 0., 7., 0., 0.]))
        .with("nodes_truenodeids", Held::Ints(vec![1, 0, 3, 0, 0, 1, 0, 0]))
        .with("nodes_falsenodeids", Held::Ints(vec![2, 0, 4, 0, 0, 2, 0, 0]))
        .with("nodes_missing_value_tracks_true", Held::Ints(vec![0, 0, 1, 0, 0, 0, 0, 0]))
        .with("target_treeids", Held::Ints(vec![0, 0, 0, 1, 1]))
        .with("target_nodeids", Held::Ints(vec![1, 3, 4, 1, 2]))
        .with("target_ids", Held::Ints(vec![0; 5]))
        .with("target_weights", Held::Floats(vec![0.25, 0.5, -1., 10., 20.]))
        .with("n_targets", Held::Int(1))
}

/// Three classes, one split.
pub fn classifier() -> Node {
    Node::new("TreeEnsembleClassifier", ML, &["x"], &["label", "scores"])
        .with("nodes_treeids", Held::Ints(vec![0; 3]))
        .with("nodes_nodeids", Held::Ints(vec![0, 1, 2]))
        .with("nodes_featureids", Held::Ints(vec![1, 0, 0]))
        .with("nodes_modes", Held::Texts(vec!["BRANCH_LT", "LEAF", "LEAF"]))
        .with("nodes_values", Held::Floats(vec![0.5, 0., 0.]))
        .with("nodes_truenodeids", Held::Ints(vec![1, 0, 0]))
        .with("nodes_falsenodeids", Held::Ints(vec![2, 0, 0]))
        .with("class_treeids", Held::Ints(vec![0; 3]))
        .with("class_nodeids", Held::Ints(vec![1, 2, 2]))
        .with("class_ids", Held::Ints(vec![0, 1, 2]))
        .with("class_weights", Held::Floats(vec![1., 0.25, 0.75]))
        .with("classlabels_int64s", Held::Ints(vec![5, 6, 7]))
}

/// One split into two leaves, by an operator of its own.
pub fn v5() -> Node {
    Node::new("TreeEnsemble", ML, &["x"], &["y"])
        .with("n_targets", Held::Int(1))
        .with("tree_roots", Held::Ints(vec![0]))
        .with("nodes_modes", Held::Tensor(tensor("m", 2, &[1], &[6])))
        .with("nodes_splits", Held::Tensor(floats("s", &[0.])))
        .with("membership_values", Held::Tensor(floats("v", &[3., 50., f32::NAN])))
        .with("nodes_featureids", Held::Ints(vec![0]))
        .with("nodes_truenodeids", Held::Ints(vec![0]))
        .with("nodes_trueleafs", Held::Ints(vec![1]))
        .with("nodes_falsenodeids", Held::Ints(vec![1]))
        .with("nodes_falseleafs", Held::Ints(vec![1]))
        .with("leaf_targetids", Held::Ints(vec![0, 0]))
        .with("leaf_weights", Held::Tensor(floats("w", &[1., -1.])))
}

pub fn alone(node: Node) -> File {
    let outputs = node.outputs.clone();
    File::new(vec![node], &outputs)
}
