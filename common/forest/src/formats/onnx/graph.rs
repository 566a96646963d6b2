//! Follows the graph node by node, in its order: columns, then one tree ensemble, then labels and scores. What is no such
//! chain is refused at the node where it leaves it.

use std::collections::HashMap;
use std::rc::Rc;

use super::columns::{Budget, Kind, Matrix};
use super::ensemble::{self, Ensemble};
use super::labels;
use super::proto::{GraphProto, Node};
use super::tensor::{Tensor, element};
use super::wire::{Bytes, fault};
use super::{Opsets, v5};
use crate::error::{Error, quote};
use crate::limits::Limits;
use crate::model::{Label, Precision};

const ML: &str = "ai.onnx.ml";

/// What the chain says.
pub(super) struct Chain {
    pub(super) features: Vec<Feature>,
    pub(super) matrix: Matrix,
    pub(super) ensemble: Ensemble,
    /// Of the label output, after what encodes it.
    pub(super) classes: Vec<Label>,
    /// Whether the scores are divided by the sum of their sizes.
    pub(super) normalized: bool,
    /// The type of the tree's node.
    pub(super) op: String,
}

/// An input's column.
pub(super) struct Feature {
    pub(super) name: Option<String>,
    pub(super) kind: Kind,
}

/// What a name in the graph stands for.
enum Value<'b> {
    Constant(Tensor<'b>),
    Columns(Matrix),
    Labels(Rc<[Label]>),
    /// A classifier's or a regressor's.
    Scores(Scores),
    /// A map of scores for each row, by label.
    Maps(Scores, Vec<Label>),
}

#[derive(Debug, Clone, Copy, Default)]
struct Scores {
    normalized: bool,
}

struct Walk<'b> {
    values: HashMap<&'b str, Value<'b>>,
    limits: &'b Limits,
    opsets: &'b Opsets,
    budget: Budget,
    /// Bytes of the file.
    size: usize,
    found: Option<(Matrix, Ensemble, String)>,
}

pub(super) fn follow<'b>(
    graph: &GraphProto<'b>,
    opsets: &'b Opsets,
    size: usize,
    limits: &'b Limits,
) -> Result<Chain, Error> {
    let budget = Budget::new(size, 0);
    let mut walk = Walk { values: HashMap::new(), limits, opsets, budget, size, found: None };
    for tensor in &graph.initializers {
        walk.define(tensor.name, Value::Constant(*tensor), 0)?;
    }
    let features = walk.inputs(graph)?;
    walk.budget = Budget::new(size, features.len());
    for message in &graph.nodes {
        walk.node(*message)?;
    }
    let Some((matrix, ensemble, op)) = walk.found else {
        let message = "has no tree ensemble; this reader takes models whose graph is a chain around one";
        return Err(Error::content("the graph", None, message));
    };
    let (normalized, classes) = answers(&walk.values, graph, &ensemble)?;
    Ok(Chain { features, matrix, ensemble, classes, normalized, op })
}

/// What the graph gives out: the scores, the labels, or both. Returns whether the scores are normalized, and the classes that
/// the labels are in the end.
fn answers(
    values: &HashMap<&str, Value<'_>>,
    graph: &GraphProto<'_>,
    of: &Ensemble,
) -> Result<(bool, Vec<Label>), Error> {
    let (mut scores, mut classes, mut maps) = (None, None, None);
    let fault = |name: &str, message: &str| Error::content(format!("output `{}`", quote(name)), None, message);
    for name in &graph.outputs {
        let twice = match values.get(name) {
            Some(Value::Scores(given)) => scores.replace(*given).is_some(),
            Some(Value::Maps(given, labels)) => {
                maps = Some((name, labels));
                scores.replace(*given).is_some()
            }
            Some(Value::Labels(labels)) => classes.replace(labels.to_vec()).is_some(),
            Some(_) => return Err(fault(name, "is not made by the trees")),
            None => return Err(fault(name, "is made by no node")),
        };
        if twice {
            return Err(fault(name, "gives out again what another output gives"));
        }
    }
    if scores.is_none() && classes.is_none() {
        return Err(Error::content("the graph", None, "has no output"));
    }
    let classes = classes.unwrap_or_else(|| of.classes.clone());
    match maps {
        Some((name, labels)) if *labels != classes && *labels != of.classes => {
            Err(fault(name, "maps from other labels than the classifier's"))
        }
        _ => Ok((scores.unwrap_or_default().normalized, classes)),
    }
}

impl<'b> Walk<'b> {
    fn define(&mut self, name: &'b str, value: Value<'b>, offset: usize) -> Result<(), Error> {
        if name.is_empty() || self.values.insert(name, value).is_some() {
            let message = format!("the name `{}` is empty or stands for two things", quote(name));
            return Err(fault(offset, message));
        }
        Ok(())
    }

    /// Inputs that initializers do not already give.
    fn inputs(&mut self, graph: &GraphProto<'b>) -> Result<Vec<Feature>, Error> {
        let mut features = Vec::new();
        let given = |walk: &Self, name| matches!(walk.values.get(name), Some(Value::Constant(_)));
        let inputs: Vec<_> = graph.inputs.iter().filter(|input| !given(self, input.name)).collect();
        for input in &inputs {
            let matrix = Matrix::input(input, features.len(), self.limits)?;
            let named = inputs.len() > 1 && matrix.columns.len() == 1;
            let name = named.then(|| input.name.to_owned());
            features.extend(matrix.columns.iter().map(|_| Feature { name: name.clone(), kind: matrix.kind }));
            self.define(input.name, Value::Columns(matrix), input.offset)?;
        }
        if features.iter().any(|feature| feature.name.is_none()) {
            features.iter_mut().for_each(|feature| feature.name = None);
        }
        Ok(features)
    }

    fn node(&mut self, message: Bytes<'b>) -> Result<(), Error> {
        let node = Node::read(message, self.limits)?;
        if self.opsets.version(node.domain).is_none() {
            return Err(
                node.fault(format!("is of the domain `{}`, which the model does not import", quote(node.domain)))
            );
        }
        if matches!(node.op, "TreeEnsembleClassifier" | "TreeEnsembleRegressor" | "TreeEnsemble") && node.domain == ML {
            return self.trees(&node);
        }
        let value = match self.input(&node, 0)? {
            Value::Columns(matrix) => {
                self.budget.spend(matrix.size(), &node)?;
                let matrix = matrix.clone();
                Value::Columns(self.before(&node, matrix)?)
            }
            Value::Labels(classes) => Value::Labels(self.label(&node, classes)?),
            Value::Scores(scores) => self.score(&node, *scores)?,
            Value::Constant(constant) => match node.op {
                "Identity" => Value::Constant(*constant),
                "Add" | "Mul" => {
                    let Value::Columns(matrix) = self.input(&node, 1)? else { return Err(unfit(&node)) };
                    self.budget.spend(matrix.size(), &node)?;
                    Value::Columns(matrix.clone().arithmetic(&node, constant)?)
                }
                _ => return Err(unfit(&node)),
            },
            Value::Maps(..) => return Err(unfit(&node)),
        };
        self.output(&node, [value])
    }

    fn input(&self, node: &Node<'b>, at: usize) -> Result<&Value<'b>, Error> {
        let name = node.inputs.get(at).ok_or_else(|| node.fault(format!("has no input {at}")))?;
        self.values.get(name).ok_or_else(|| {
            node.fault(format!("reads `{}`, which no node before it makes; are the nodes in order?", quote(name)))
        })
    }

    fn constant(&self, node: &Node<'b>, at: usize) -> Result<Tensor<'b>, Error> {
        match self.input(node, at)? {
            Value::Constant(tensor) => Ok(*tensor),
            _ => Err(node.fault(format!("has an input {at} that is no constant"))),
        }
    }

    fn output<const N: usize>(&mut self, node: &Node<'b>, values: [Value<'b>; N]) -> Result<(), Error> {
        if node.outputs.len() != N {
            return Err(node.fault(format!("has {} outputs where {N} were expected", node.outputs.len())));
        }
        for (name, value) in node.outputs.iter().zip(values) {
            self.define(name, value, node.offset)?;
        }
        Ok(())
    }

    /// How many inputs a node must have.
    fn takes(node: &Node<'_>, count: usize) -> Result<(), Error> {
        let found = node.inputs.len();
        if found == count { Ok(()) } else { Err(node.fault(format!("has {found} inputs, not {count}"))) }
    }

    fn trees(&mut self, node: &Node<'b>) -> Result<(), Error> {
        Self::takes(node, 1)?;
        if self.found.is_some() {
            let advice = "a graph of several is not taken: multi-output and isolation forests, votes, `split`, or \
                          decision paths; read the library's own file";
            return Err(node.fault(format!("is a second tree ensemble; {advice}")));
        }
        let Value::Columns(matrix) = self.input(node, 0)? else {
            return Err(node.fault("does not read columns; it must stand before all that follows trees"));
        };
        let matrix = matrix.clone();
        let version = self.opsets.version(ML).unwrap_or_default();
        let ensemble = match (node.op, version) {
            ("TreeEnsemble", 5..) => v5::read(node, &matrix, self.size, self.limits)?,
            ("TreeEnsemble", _) => return Err(node.fault("came with version 5 of ai.onnx.ml; the model imports less")),
            _ => ensemble::read(node, &matrix, self.size, self.limits)?,
        };
        let classes = Rc::from(ensemble.classes.as_slice());
        self.found = Some((matrix, ensemble, node.op.to_owned()));
        if node.op == "TreeEnsembleClassifier" {
            // a model may take the labels alone, or name what it does not use
            return match node.outputs.as_slice() {
                [label] => self.define(label, Value::Labels(classes), node.offset),
                ["", scores] => self.define(scores, Value::Scores(Scores::default()), node.offset),
                _ => self.output(node, [Value::Labels(classes), Value::Scores(Scores::default())]),
            };
        }
        self.output(node, [Value::Scores(Scores::default())])
    }

    fn before(&self, node: &Node<'b>, matrix: Matrix) -> Result<Matrix, Error> {
        match (node.domain, node.op) {
            ("", "Identity") => {
                Self::takes(node, 1)?;
                Ok(matrix)
            }
            ("", "Cast") => {
                Self::takes(node, 1)?;
                matrix.cast(node)
            }
            (ML, "Scaler") => {
                Self::takes(node, 1)?;
                matrix.scaler(node)
            }
            (ML, "Imputer") => {
                Self::takes(node, 1)?;
                matrix.imputer(node)
            }
            ("", "Add" | "Sub" | "Mul" | "Div") => {
                Self::takes(node, 2)?;
                let constant = self.constant(node, 1)?;
                matrix.arithmetic(node, &constant)
            }
            (ML, "ArrayFeatureExtractor") => {
                Self::takes(node, 2)?;
                node.only(&[])?;
                let which = self.constant(node, 1)?;
                matrix.pick(node, &which, &self.budget)
            }
            ("", "Gather") => {
                Self::takes(node, 2)?;
                node.only(&["axis"])?;
                let which = self.constant(node, 1)?;
                if !matches!(node.int("axis")?, Some(1 | -1)) || which.rank != 1 {
                    return Err(node.fault("picks something else than columns by a list"));
                }
                matrix.pick(node, &which, &self.budget)
            }
            ("", "Concat") | (ML, "FeatureVectorizer") => self.beside(node),
            _ => Err(unfit(node)),
        }
    }

    fn beside(&self, node: &Node<'b>) -> Result<Matrix, Error> {
        let mut parts = Vec::with_capacity(node.inputs.len());
        for at in 0..node.inputs.len() {
            let Value::Columns(part) = self.input(node, at)? else {
                return Err(node.fault(format!("has an input {at} that is no columns of the input")));
            };
            parts.push(part);
        }
        let joined = Matrix::beside(&parts, node, &self.budget)?;
        if node.op == "Concat" {
            node.only(&["axis"])?;
            if !matches!(node.int("axis")?, Some(1 | -1)) {
                return Err(node.fault("puts rows below each other; columns beside each other are taken (axis 1)"));
            }
        } else {
            node.only(&["inputdimensions"])?;
            let widths = node.ints("inputdimensions")?;
            if !widths.iter().copied().eq(parts.iter().map(|part| i64::try_from(part.columns.len()).unwrap_or(-1))) {
                return Err(node.fault("has other inputdimensions than its inputs"));
            }
        }
        // onnxruntime, `ml/feature_vectorizer.cc`: the output is of floats
        Ok(if node.op == "Concat" { joined } else { joined.single() })
    }

    fn label(&self, node: &Node<'b>, classes: &Rc<[Label]>) -> Result<Rc<[Label]>, Error> {
        Self::takes(node, 1)?;
        match (node.domain, node.op) {
            ("", "Identity") => Ok(Rc::clone(classes)),
            ("", "Cast") => {
                node.only(&["to", "saturate", "round_mode"])?;
                let ints = classes.iter().all(|class| matches!(class, Label::Int(_)));
                match node.int("to")? {
                    Some(element::INT64) if ints => Ok(Rc::clone(classes)),
                    Some(element::STRING) if !ints => Ok(Rc::clone(classes)),
                    _ => Err(node.fault("casts labels to another type; leave them as whole numbers or texts")),
                }
            }
            (ML, "LabelEncoder") => Ok(labels::encode(node, classes, self.limits)?.into()),
            _ => Err(unfit(node)),
        }
    }

    fn score(&self, node: &Node<'b>, scores: Scores) -> Result<Value<'b>, Error> {
        match (node.domain, node.op) {
            ("", "Identity") => Self::takes(node, 1)?,
            ("", "Cast") => {
                Self::takes(node, 1)?;
                node.only(&["to", "saturate", "round_mode"])?;
                let output = self.found.as_ref().map(|(_, ensemble, _)| ensemble.scoring.link.output);
                let double = output == Some(Precision::Double);
                // to a wider type changes no number; to the same none either
                if !matches!((node.int("to")?, double), (Some(element::FLOAT), false) | (Some(element::DOUBLE), _)) {
                    return Err(node.fault("casts scores to another type than floats or doubles"));
                }
            }
            ("", "Mul") => {
                Self::takes(node, 2)?;
                if self.constant(node, 1)?.numbers()? != [1.0] {
                    return Err(node.fault("multiplies scores; only by 1 is taken; convert the raw scores, without it"));
                }
            }
            (ML, "Normalizer") if !scores.normalized => {
                Self::takes(node, 1)?;
                node.only(&["norm"])?;
                if node.text("norm", self.limits)? != Some("L1") {
                    return Err(node.fault("normalizes scores by another norm than L1"));
                }
                return Ok(Value::Scores(Scores { normalized: true }));
            }
            (ML, "ZipMap") => {
                Self::takes(node, 1)?;
                node.only(&["classlabels_int64s", "classlabels_strings"])?;
                return Ok(Value::Maps(scores, labels::list(node, self.limits)?));
            }
            _ => return Err(unfit(node)),
        }
        Ok(Value::Scores(scores))
    }
}

/// An operator that has no place in a chain, or not here.
fn unfit(node: &Node<'_>) -> Error {
    let input = quote(node.inputs.first().copied().unwrap_or_default());
    let advice = match node.op {
        "Exp" | "Sigmoid" | "ArgMax" | "Div" | "Sub" => {
            "read the library's own file, or convert a model whose objective needs no operator after the trees"
        }
        "Slice" | "Reshape" | "ArrayFeatureExtractor" => "convert with `zipmap: False` and one output",
        "Normalizer" => "normalize rows before they are sent, and convert the trees alone",
        _ => "convert the tree model alone, without it",
    };
    let domain = if node.domain.is_empty() { "" } else { " of its domain" };
    node.fault(format!("reads `{input}`, where this operator{domain} is not taken; {advice}"))
}
