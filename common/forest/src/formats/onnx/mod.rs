//! From an ONNX file to a [`Model`]: graphs that are a chain around one tree ensemble, as skl2onnx and onnxmltools write
//! them. What is exact here is what onnxruntime 1.32 does on one thread (its `core/providers/cpu/ml/`), not what the
//! operators' description says where the two differ. It runs no graph.

mod attributes;
mod columns;
mod ensemble;
mod graph;
mod labels;
mod proto;
mod scoring;
mod tensor;
mod trees;
mod v5;
mod wire;

use columns::{Kind, Matrix};
use graph::{Chain, Feature};
use proto::ModelProto;
use wire::Bytes;

use crate::error::{Error, quote};
use crate::limits::Limits;
use crate::link::Link;
use crate::model::{
    CategoryRule, Column, Feature as ModelFeature, FeatureKind, Input, Model, Parts, Source, Step, Task,
};

const LIBRARY: &str = "ONNX";
/// Versions of the file format, of the operators, and of ai.onnx.ml, whose rules are known by heart.
const IR: std::ops::RangeInclusive<i64> = 3..=14;
const OPERATORS: std::ops::RangeInclusive<i64> = 1..=28;
const ML: std::ops::RangeInclusive<i64> = 1..=5;

/// Whether the bytes begin as a `ModelProto` that begins with its `ir_version`, as every library writes it.
pub(crate) fn is_model(bytes: &[u8]) -> bool {
    matches!(bytes, [0x08, 1..=127, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42 | 0x72, ..])
}

/// The version of each imported operator set.
struct Opsets {
    operators: Option<i64>,
    ml: Option<i64>,
}

impl Opsets {
    fn new(imported: &[(&str, i64)]) -> Result<Self, Error> {
        let mut opsets = Self { operators: None, ml: None };
        for (domain, version) in imported {
            let (slot, known) = match *domain {
                "" | "ai.onnx" => (&mut opsets.operators, OPERATORS),
                "ai.onnx.ml" => (&mut opsets.ml, ML),
                // a node of it is refused
                _ => continue,
            };
            if !known.contains(version) || slot.is_some_and(|other| other != *version) {
                let (first, last, domain) = (known.start(), known.end(), quote(domain));
                let message =
                    format!("imports version {version} of `{domain}`, or two; {first} to {last} are known here");
                return Err(Error::content("the model", None, message));
            }
            *slot = Some(*version);
        }
        Ok(opsets)
    }

    fn version(&self, domain: &str) -> Option<i64> {
        match domain {
            // a chain of tree operators alone need not import the others
            "" => self.operators,
            "ai.onnx.ml" => self.ml,
            _ => None,
        }
    }
}

/// The model that the file holds.
///
/// # Errors
/// [`Error::Content`] and [`Error::Limit`]: what the file has that is not read here.
pub(crate) fn model(bytes: &[u8], limits: &Limits) -> Result<Model, Error> {
    let proto = ModelProto::read(Bytes { bytes, offset: 0 }, limits)?;
    if !IR.contains(&proto.ir) {
        let message = format!("has ir_version {}; this reader knows {} to {}", proto.ir, IR.start(), IR.end());
        return Err(Error::content("the model", None, message));
    }
    let opsets = Opsets::new(&proto.opsets)?;
    let chain = graph::follow(&proto.graph, &opsets, bytes.len(), limits)?;
    let source = source(&proto, &opsets, &chain);
    let Chain { features, matrix, mut ensemble, classes, normalized, op } = chain;
    let classifier = op == "TreeEnsembleClassifier";
    ensemble.scoring.link.normalize = normalized;
    let columns = columns(&matrix, features.len(), ensemble.sets, ensemble.truncates);
    let precision = ensemble.scoring.sum.precision;
    let margins = ensemble.scoring.sum.start.len();
    Model::new(Parts {
        task: if classifier { Task::Classification } else { Task::Regression },
        features: features.into_iter().map(feature).collect(),
        input: Input { precision, infinite_allowed: true, category: CategoryRule::Whole },
        columns,
        n_outputs: if classifier { 1 } else { margins },
        classes: if classifier { vec![classes] } else { Vec::new() },
        sum: ensemble.scoring.sum,
        link: Link::Onnx(ensemble.scoring.link),
        decision: ensemble.scoring.decision,
        trees: ensemble.trees,
        source,
    })
}

fn feature(feature: Feature) -> ModelFeature {
    // whole numbers have no NaN
    let missing_allowed = feature.kind != Kind::Int;
    ModelFeature { name: feature.name, kind: FeatureKind::Number, missing_allowed }
}

/// What made the file, with its version; else which operators it is of.
fn source(proto: &ModelProto<'_>, opsets: &Opsets, chain: &Chain) -> Source {
    let version = match (proto.producer, proto.producer_version) {
        ("", _) => format!("ai.onnx.ml {}", opsets.version("ai.onnx.ml").unwrap_or_default()),
        (producer, "") => producer.to_owned(),
        (producer, version) => format!("{producer} {version}"),
    };
    Source { library: LIBRARY.into(), version, class: chain.op.clone() }
}

/// The columns that trees ask; none where they are the features.
fn columns(matrix: &Matrix, features: usize, sets: bool, truncates: bool) -> Vec<Column> {
    // a set is asked without a cast, so rows of doubles must be cast before
    let cast = sets && matrix.kind != Kind::Double;
    if matrix.is_plain(features) && !cast && !truncates {
        return Vec::new();
    }
    let mut columns = matrix.columns.clone();
    if cast {
        columns.iter_mut().filter(|column| column.steps.is_empty()).for_each(|column| column.steps.push(Step::Single));
    }
    if truncates {
        let mut whole = columns.clone();
        whole.iter_mut().for_each(|column| column.steps.push(Step::Truncate));
        columns.extend(whole);
    }
    columns
}
