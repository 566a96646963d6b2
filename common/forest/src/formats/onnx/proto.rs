//! The messages of `onnx.proto` that a chain of tree nodes is made of. A field that is not known here, or that would change
//! what the model means, is refused.

use super::tensor::Tensor;
use super::wire::{Bytes, Field, Held, fault};
use crate::error::{Error, quote};
use crate::limits::Limits;

/// Nodes, initializers, or attributes of a node; converters' chains have a few dozen.
const MOST: usize = 1024;

/// `ModelProto`
#[derive(Debug, Default)]
pub(super) struct ModelProto<'b> {
    pub(super) ir: i64,
    pub(super) producer: &'b str,
    pub(super) producer_version: &'b str,
    /// Domain and version.
    pub(super) opsets: Vec<(&'b str, i64)>,
    pub(super) graph: GraphProto<'b>,
}

/// `GraphProto`
#[derive(Debug, Default)]
pub(super) struct GraphProto<'b> {
    pub(super) nodes: Vec<Bytes<'b>>,
    pub(super) initializers: Vec<Tensor<'b>>,
    pub(super) inputs: Vec<Input<'b>>,
    pub(super) outputs: Vec<&'b str>,
}

/// `ValueInfoProto` of an input: a tensor of `[rows, width]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'b> {
    pub(super) name: &'b str,
    pub(super) element: i64,
    /// `None` where the file does not say it.
    pub(super) width: Option<i64>,
    pub(super) rank: usize,
    pub(super) offset: usize,
}

/// `NodeProto`
#[derive(Debug, Default)]
pub(super) struct Node<'b> {
    pub(super) name: &'b str,
    pub(super) op: &'b str,
    pub(super) domain: &'b str,
    pub(super) inputs: Vec<&'b str>,
    pub(super) outputs: Vec<&'b str>,
    pub(super) attributes: Vec<Attribute<'b>>,
    pub(super) offset: usize,
}

/// `AttributeProto`; its numbers stay in the file until they are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute<'b> {
    pub(super) name: &'b str,
    pub(super) message: Bytes<'b>,
}

pub(super) fn unknown(of: &str, field: &Field<'_>) -> Error {
    let Field { number, offset, .. } = field;
    fault(*offset, format!("field {number} of {of} is not known here; convert the model again without what needs it"))
}

pub(super) fn refused(field: &Field<'_>, what: &str, advice: &str) -> Error {
    fault(field.offset, format!("{what}, which this reader does not take; {advice}"))
}

/// Sets what may stand there once.
pub(super) fn once<T>(slot: &mut Option<T>, value: T, field: &Field<'_>, of: &str) -> Result<(), Error> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(fault(field.offset, format!("field {} of {of} stands there twice", field.number))),
    }
}

/// Adds to what there may be only so many of.
fn push<T>(list: &mut Vec<T>, value: T, what: &'static str, most: usize) -> Result<(), Error> {
    if list.len() >= most {
        return Err(Error::limit(what, most));
    }
    list.push(value);
    Ok(())
}

impl<'b> ModelProto<'b> {
    pub(super) fn read(message: Bytes<'b>, limits: &Limits) -> Result<Self, Error> {
        let (mut ir, mut producer, mut version, mut graph) = (None, None, None, None);
        let mut opsets = Vec::new();
        for field in message.fields() {
            let field = field?;
            let text = |field: &Field<'b>| field.bytes()?.text(limits.max_text);
            match field.number {
                1 => once(&mut ir, field.int()?, &field, "the model")?,
                2 => once(&mut producer, text(&field)?, &field, "the model")?,
                3 => once(&mut version, text(&field)?, &field, "the model")?,
                7 => once(&mut graph, field.bytes()?, &field, "the model")?,
                8 => push(&mut opsets, opset(field.bytes()?, limits)?, "imported operator sets", MOST)?,
                // domain, model_version, doc_string, metadata_props
                4 | 5 | 6 | 14 => {}
                25 => return Err(refused(&field, "the model has functions", "inline them with `onnx.inliner`")),
                20 => return Err(refused(&field, "the model has training information", "save it for inference")),
                _ => return Err(unknown("the model", &field)),
            }
        }
        let graph = graph.ok_or_else(|| fault(message.offset, "the model has no graph"))?;
        Ok(Self {
            ir: ir.ok_or_else(|| fault(message.offset, "the model has no ir_version"))?,
            producer: producer.unwrap_or_default(),
            producer_version: version.unwrap_or_default(),
            opsets,
            graph: GraphProto::read(graph, limits)?,
        })
    }
}

fn opset<'b>(message: Bytes<'b>, limits: &Limits) -> Result<(&'b str, i64), Error> {
    let (mut domain, mut version) = (None, None);
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => once(&mut domain, field.bytes()?.text(limits.max_text)?, &field, "an operator set")?,
            2 => once(&mut version, field.int()?, &field, "an operator set")?,
            _ => return Err(unknown("an operator set", &field)),
        }
    }
    Ok((domain.unwrap_or_default(), version.unwrap_or_default()))
}

impl<'b> GraphProto<'b> {
    fn read(message: Bytes<'b>, limits: &Limits) -> Result<Self, Error> {
        let mut graph = Self::default();
        let mut name = None;
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => push(&mut graph.nodes, field.bytes()?, "nodes of the graph", MOST)?,
                2 => once(&mut name, field.bytes()?, &field, "the graph")?,
                5 => {
                    push(&mut graph.initializers, Tensor::read(field.bytes()?, limits)?, "initializers", MOST)?;
                }
                11 => push(&mut graph.inputs, input(field.bytes()?, limits)?, "features", limits.max_features)?,
                12 => push(&mut graph.outputs, output(field.bytes()?, limits)?, "outputs of the graph", MOST)?,
                // doc_string, value_info, metadata_props
                10 | 13 | 16 => {}
                14 => return Err(refused(&field, "the graph is quantized", "save it unquantized")),
                15 => return Err(refused(&field, "the graph has a sparse initializer", "make it dense")),
                _ => return Err(unknown("the graph", &field)),
            }
        }
        Ok(graph)
    }
}

fn output<'b>(message: Bytes<'b>, limits: &Limits) -> Result<&'b str, Error> {
    let mut name = None;
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => once(&mut name, field.bytes()?.text(limits.max_text)?, &field, "an output")?,
            2..=4 => {}
            _ => return Err(unknown("an output", &field)),
        }
    }
    name.ok_or_else(|| fault(message.offset, "an output has no name"))
}

fn input<'b>(message: Bytes<'b>, limits: &Limits) -> Result<Input<'b>, Error> {
    let (mut name, mut kind) = (None, None);
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => once(&mut name, field.bytes()?.text(limits.max_text)?, &field, "an input")?,
            2 => once(&mut kind, field.bytes()?, &field, "an input")?,
            3 | 4 => {}
            _ => return Err(unknown("an input", &field)),
        }
    }
    let name = name.ok_or_else(|| fault(message.offset, "an input has no name"))?;
    let place = || format!("input `{}`", quote(name));
    let kind = kind.ok_or_else(|| fault(message.offset, format!("{} has no type", place())))?;
    let mut tensor = None;
    for field in kind.fields() {
        let field = field?;
        match field.number {
            1 => once(&mut tensor, field.bytes()?, &field, "a type")?,
            6 => {}
            _ => return Err(fault(field.offset, format!("{} is no tensor; convert with one of floats", place()))),
        }
    }
    let tensor = tensor.ok_or_else(|| fault(kind.offset, format!("{} is no tensor", place())))?;
    let mut input = Input { name, element: 0, width: None, rank: 0, offset: message.offset };
    for field in tensor.fields() {
        let field = field?;
        match field.number {
            1 => input.element = field.int()?,
            2 => {
                for dimension in field.bytes()?.fields() {
                    let dimension = dimension?;
                    if dimension.number != 1 {
                        return Err(unknown("a shape", &dimension));
                    }
                    input.rank += 1;
                    input.width = dim_value(dimension.bytes()?)?;
                }
            }
            _ => return Err(unknown("a tensor's type", &field)),
        }
    }
    Ok(input)
}

fn dim_value(message: Bytes<'_>) -> Result<Option<i64>, Error> {
    let mut value = None;
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => once(&mut value, field.int()?, &field, "a dimension")?,
            2 | 3 => {}
            _ => return Err(unknown("a dimension", &field)),
        }
    }
    Ok(value)
}

impl<'b> Node<'b> {
    pub(super) fn read(message: Bytes<'b>, limits: &Limits) -> Result<Self, Error> {
        let (mut name, mut op, mut domain) = (None, None, None);
        let mut node = Self { offset: message.offset, ..Self::default() };
        for field in message.fields() {
            let field = field?;
            let text = || field.bytes()?.text(limits.max_text);
            match field.number {
                1 => push(&mut node.inputs, text()?, "inputs of a node", limits.max_features)?,
                2 => push(&mut node.outputs, text()?, "outputs of a node", MOST)?,
                3 => once(&mut name, text()?, &field, "a node")?,
                4 => once(&mut op, text()?, &field, "a node")?,
                5 => push(&mut node.attributes, attribute(field.bytes()?, limits)?, "attributes of a node", MOST)?,
                7 => once(&mut domain, text()?, &field, "a node")?,
                // doc_string, metadata_props
                6 | 9 => {}
                _ => return Err(unknown("a node", &field)),
            }
        }
        node.name = name.unwrap_or_default();
        node.op = op.ok_or_else(|| fault(message.offset, "a node has no op_type"))?;
        node.domain = if domain == Some("ai.onnx") { "" } else { domain.unwrap_or_default() };
        let mut names: Vec<&str> = node.attributes.iter().map(|attribute| attribute.name).collect();
        names.sort_unstable();
        if let Some(twice) = names.array_windows().find(|[a, b]| a == b) {
            let [name, _] = *twice;
            return Err(node.fault(format!("attribute `{}` stands there twice", quote(name))));
        }
        Ok(node)
    }

    /// What is wrong with the node, and where it stands.
    pub(super) fn fault(&self, message: impl Into<String>) -> Error {
        let (op, name) = (quote(self.op), quote(self.name));
        let path = if name.is_empty() || name == op { format!("node {op}") } else { format!("node {op} `{name}`") };
        Error::content(path, self.offset, message)
    }
}

fn attribute<'b>(message: Bytes<'b>, limits: &Limits) -> Result<Attribute<'b>, Error> {
    let mut name = None;
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => once(&mut name, field.bytes()?.text(limits.max_text)?, &field, "an attribute")?,
            // f, i, s, t, floats, ints, strings, doc_string, type
            2..=5 | 7..=9 | 13 | 20 => {}
            6 | 11 => return Err(refused(&field, "an attribute holds a graph", "convert without control flow")),
            21 => return Err(refused(&field, "an attribute refers to a function's", "inline with `onnx.inliner`")),
            _ => return Err(unknown("an attribute", &field)),
        }
    }
    let name = name.ok_or_else(|| fault(message.offset, "an attribute has no name"))?;
    Ok(Attribute { name, message })
}

impl<'b> Attribute<'b> {
    /// The fields of one number; there may be none of another that would hold a value.
    pub(super) fn of(&self, number: u64) -> impl Iterator<Item = Result<Field<'b>, Error>> + use<'b> {
        let name = self.name;
        self.message.fields().filter_map(move |field| match field {
            Ok(field) if field.number == number => Some(Ok(field)),
            Ok(field) if matches!(field.number, 2..=5 | 7..=9) => {
                let message = format!("attribute `{}` holds another kind of value than its operator's", quote(name));
                Some(Err(fault(field.offset, message)))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// The one field of a number.
    pub(super) fn one(&self, number: u64) -> Result<Field<'b>, Error> {
        let mut fields = self.of(number);
        let found = fields.next().transpose()?;
        match (found, fields.next().transpose()?) {
            (Some(found), None) => Ok(found),
            // what is the default need not be written
            (None, _) => {
                let held = if number == 2 { Held::Fixed32([0; 4]) } else { Held::Varint(0) };
                let held = if number == 4 { Held::Bytes(Bytes { bytes: &[], ..self.message }) } else { held };
                Ok(Field { number, offset: self.message.offset, held })
            }
            (Some(_), Some(again)) => {
                Err(fault(again.offset, format!("attribute `{}` has two values", quote(self.name))))
            }
        }
    }
}
