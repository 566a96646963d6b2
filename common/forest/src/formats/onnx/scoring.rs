//! From sums to scores and labels: what onnxruntime does in `ml/tree_ensemble_aggregator.h` and `ml_common.h`.

use super::columns::Kind;
use super::proto::Node;
use super::trees::{Builder, Weight};
use crate::error::Error;
use crate::limits::Limits;
use crate::link::{OnnxLink, OnnxPair, OnnxTransform};
use crate::model::{Combine, Decision, Finish, Label, Precision, Sum};

/// What follows the trees.
pub(super) struct Scoring {
    pub(super) sum: Sum,
    pub(super) link: OnnxLink,
    pub(super) decision: Decision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

pub(super) fn aggregate(name: &str) -> Option<Aggregate> {
    Some(match name {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        _ => return None,
    })
}

pub(super) fn aggregate_code(code: i64) -> Option<Aggregate> {
    let all = [Aggregate::Average, Aggregate::Sum, Aggregate::Min, Aggregate::Max];
    usize::try_from(code).ok().and_then(|code| all.get(code)).copied()
}

pub(super) fn transform(name: &str) -> Option<OnnxTransform> {
    Some(match name {
        "NONE" => OnnxTransform::None,
        "LOGISTIC" => OnnxTransform::Logistic,
        "SOFTMAX" => OnnxTransform::Softmax,
        "SOFTMAX_ZERO" => OnnxTransform::SoftmaxZero,
        "PROBIT" => OnnxTransform::Probit,
        _ => return None,
    })
}

/// As onnxruntime numbers them (`POST_EVAL_TRANSFORM`): 1 and 2 are the other way round in the operator's description.
pub(super) fn transform_code(code: i64) -> Option<OnnxTransform> {
    let all = ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"];
    usize::try_from(code).ok().and_then(|code| all.get(code)).and_then(|name| transform(name))
}

/// `n_targets`
pub(super) fn targets(node: &Node<'_>, limits: &Limits) -> Result<usize, Error> {
    let count = node.int("n_targets")?.unwrap_or(0);
    match usize::try_from(count) {
        Ok(count) if count > limits.max_outputs => Err(Error::limit("outputs", limits.max_outputs)),
        Ok(count @ 1..) => Ok(count),
        _ => Err(node.fault(format!("has {count} targets"))),
    }
}

/// How many margins a classifier has: one for each class, or of two one.
pub(super) fn margins(node: &Node<'_>, classes: usize, weights: &[Weight]) -> Result<usize, Error> {
    match classes {
        1 => Err(node.fault("has one class; onnxruntime then gives labels that are no class; train on two or more")),
        2 if weights.iter().any(|(class, _)| *class != 0) => {
            let what = "of two classes weighs the second; onnxruntime then takes it wherever its own score is above 0";
            Err(node.fault(format!("{what}, not where it is larger; convert so that leaves weigh class id 0 alone")))
        }
        2 => Ok(1),
        _ => Ok(classes),
    }
}

fn precision(kind: Kind) -> Precision {
    if kind == Kind::Double { Precision::Double } else { Precision::Single }
}

/// Base values come last.
fn added(base: Vec<f64>) -> Finish {
    if base.is_empty() { Finish::Nothing } else { Finish::ScaleAndShift { scale: 1.0, shift: base } }
}

pub(super) fn classifier(
    node: &Node<'_>,
    classes: &[Label],
    weights: &[Weight],
    base: Vec<f64>,
    transform: OnnxTransform,
    builder: &Builder<'_>,
    kind: Kind,
) -> Result<Scoring, Error> {
    if builder.empty {
        return Err(node.fault("has a leaf without a weight"));
    }
    let margins = if classes.len() == 2 { 1 } else { classes.len() };
    if !base.is_empty() && base.len() != margins {
        let advice = "onnxruntime gives such scores no meaning";
        return Err(node.fault(format!("has {} base_values where {margins} or none fit; {advice}", base.len())));
    }
    let above = |bound: f64| weights.iter().all(|(_, weight)| *weight >= bound);
    let (pair, decision, transform) = match (margins, transform) {
        (1, OnnxTransform::Probit) => {
            return Err(node.fault("has PROBIT for one weighed class; onnxruntime leaves a score unset"));
        }
        // weights as of probabilities; onnxruntime 1.17 left out the LOGISTIC
        (1, OnnxTransform::Logistic) if above(0.0) => {
            (Some(OnnxPair::Opposite), Decision::MarginAbove(0.5), OnnxTransform::Logistic)
        }
        (1, _) if above(0.0) => (Some(OnnxPair::Complement), Decision::MarginAbove(0.5), OnnxTransform::None),
        (1, OnnxTransform::Logistic) => (Some(OnnxPair::Opposite), Decision::MarginAbove(0.0), OnnxTransform::Logistic),
        (1, _) => (Some(OnnxPair::Opposite), Decision::MarginAbove(0.0), OnnxTransform::None),
        _ => (None, Decision::LargestMargin, transform),
    };
    // a class that no leaf of a row weighs is never its label, unless it has a base value; that is the same as 0 only
    // where all others are above it
    let positive = weights.iter().all(|(_, weight)| *weight > 0.0);
    if margins > 1 && base.is_empty() && !positive && builder.complete.contains(&false) {
        return Err(node.fault("does not weigh every class in every row, and not all weights are above 0"));
    }
    let precision = precision(kind);
    let sum = Sum { combine: Combine::Add, precision, start: vec![0.0; margins], finish: added(base) };
    let link = OnnxLink { transform, pair, sums: precision, output: Precision::Single, normalize: false };
    Ok(Scoring { sum, link, decision })
}

pub(super) fn regressor(
    node: &Node<'_>,
    aggregate: Aggregate,
    base: Vec<f64>,
    transform: OnnxTransform,
    builder: &Builder<'_>,
    kind: Kind,
) -> Result<Scoring, Error> {
    let targets = builder.complete.len();
    if !base.is_empty() && base.len() != targets {
        return Err(node.fault(format!("has {} base_values for {targets} targets", base.len())));
    }
    let extreme = matches!(aggregate, Aggregate::Min | Aggregate::Max);
    if builder.empty && (targets == 1 || extreme) {
        return Err(node.fault("has a leaf without a weight"));
    }
    if extreme && !builder.full {
        return Err(node.fault("takes the least or largest over leaves that do not weigh every target"));
    }
    if builder.complete.contains(&false) && base.iter().any(|base| *base != 0.0) {
        let what = "does not weigh every target in every row; onnxruntime then leaves out its base value";
        return Err(node.fault(format!("{what}; add a leaf weight of 0")));
    }
    let trees = builder.trees.len() as f64;
    let (combine, finish) = match aggregate {
        Aggregate::Sum => (Combine::Add, added(base)),
        Aggregate::Average if base.iter().all(|base| *base == 0.0) => (Combine::Add, Finish::Divide(trees)),
        Aggregate::Average => (Combine::Add, Finish::DivideAndShift { by: trees, shift: base }),
        // 0 is added, so that −0 becomes 0
        Aggregate::Min => (Combine::Min, added(if base.is_empty() { vec![0.0; targets] } else { base })),
        Aggregate::Max => (Combine::Max, added(if base.is_empty() { vec![0.0; targets] } else { base })),
    };
    // of one target onnxruntime (`FinalizeScores1`) knows no other
    let alone = targets == 1 && transform != OnnxTransform::Probit;
    let transform = if alone { OnnxTransform::None } else { transform };
    let precision = precision(kind);
    let sum = Sum { combine, precision, start: vec![0.0; targets], finish };
    let link = OnnxLink { transform, pair: None, sums: precision, output: Precision::Single, normalize: false };
    Ok(Scoring { sum, link, decision: Decision::None })
}
