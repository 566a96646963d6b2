//! `IsolationForest`, by scikit-learn's `ensemble/_iforest.py`. A leaf's value is the depth at which it isolates a row.

use super::attributes::{Attributes, Reader};
use super::estimator::{self, Body};
use super::table::{Table, Takes};
use super::tree::{self, Shape};
use super::version::Version;
use crate::error::Error;
use crate::formats::pickle::known::Estimator;
use crate::formats::pickle::value::Value;
use crate::link::{Link, SklearnLink};
use crate::model::{Combine, Decision, Finish, Label, Node, Precision, Step, Sum, Tree};

/// `numpy.euler_gamma`
const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

pub(super) fn body(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    version: Version,
    table: &mut Table,
) -> Result<Body, Error> {
    let n_features = table.columns.len();
    let (trees, asked) = trees(reader, of, version, n_features)?;
    // renamed in 1.3, where the depths came into the file too
    let max_samples = of.number(if version.minor >= 3 { "_max_samples" } else { "max_samples_" })?;
    let offset = of.number("offset_")?;
    if !offset.is_finite() {
        return Err(of.fault("offset_", "is no finite number"));
    }
    let expected = trees.len() as f64 * average_path_length(max_samples);
    // since 1.6 anything is taken; before 1.3 only what a tree was given has to fit single precision
    let anything = version.minor >= 6;
    let some = version.minor < 3 && asked.contains(&false);
    if some {
        table.each(|_| Some(Step::Refuse { missing: true, infinite: Some(Precision::Double) }));
        let single = Step::Refuse { missing: false, infinite: Some(Precision::Single) };
        table.each(|at| asked.get(at)?.then(|| single.clone()));
    }
    Ok(Body {
        n_outputs: 1,
        classes: vec![vec![Label::Int(-1), Label::Int(1)]],
        sum: Sum { combine: Combine::Add, precision: Precision::Double, start: vec![0.0], finish: Finish::Nothing },
        link: Link::Sklearn(SklearnLink::Isolation { expected, offset }),
        decision: Decision::ValueAtLeast(0.0),
        trees,
        takes: Takes { precision: Precision::Single, missing: anything, infinite: anything || some },
    })
}

/// The trees, and for each feature whether any tree was given it.
fn trees(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    version: Version,
    n_features: usize,
) -> Result<(Vec<Tree>, Vec<bool>), Error> {
    let members = of.list("estimators_")?;
    estimator::check_count(reader, of, members.len())?;
    let subset = of.count("_max_features")?;
    if subset == 0 || subset > n_features {
        return Err(of.fault("_max_features", format!("is {subset} of {n_features}")));
    }
    let features = of.list("estimators_features_")?;
    let depths = if version.minor >= 3 { Some(depths(reader, of, members.len())?) } else { None };
    if features.len() != members.len() {
        return Err(of.fault("estimators_features_", format!("is for {} of {} trees", features.len(), members.len())));
    }
    let shape = Shape { n_features: subset, n_classes: vec![1], classifier: false, alone: false, version };
    let mut trees = Vec::with_capacity(members.len());
    let mut asked = vec![subset == n_features; n_features];
    for (at, (member, features)) in members.iter().zip(features).enumerate() {
        let path = format!("{}[{at}]", of.path_of("estimators_"));
        let member = estimator::member(reader, *member, &path, Estimator::ExtraTreeRegressor)?;
        let path = member.path_of("tree_");
        let (mut parts, leaves) = tree::parts(reader, member.get("tree_")?, &path, &shape)?;
        // all features are taken as they stand, whatever the list says
        if subset != n_features {
            let columns = columns(reader, *features, subset, n_features);
            let columns = columns.ok_or_else(|| of.fault("estimators_features_", format!("is wrong at place {at}")))?;
            for column in &columns {
                asked.iter_mut().skip(*column as usize).take(1).for_each(|asked| *asked = true);
            }
            choose(&mut parts.nodes, &columns).map_err(|error| error.within(&path))?;
        }
        parts.target = Some(0);
        parts.values = match depths.as_ref().and_then(|(path, rest)| path.get(at).zip(rest.get(at))) {
            Some((along, rest)) => stored(reader, of, (*along, *rest), parts.nodes.len(), &leaves)?,
            None => computed(&parts.nodes, &leaves),
        };
        trees.push(Tree::new(parts, reader.limits).map_err(|error| error.within(&path))?);
    }
    Ok((trees, asked))
}

type Arrays<'p> = (&'p [Value], &'p [Value]);

/// `_decision_path_lengths` and `_average_path_length_per_tree`: an array for each tree.
fn depths<'p>(reader: &Reader<'p>, of: &Attributes<'p>, count: usize) -> Result<Arrays<'p>, Error> {
    let arrays = |name: &str| {
        let value = of.get(name)?;
        let arrays = reader.arena.tuple(value).filter(|arrays| arrays.len() == count);
        arrays.ok_or_else(|| of.unlike(name, value, "a tuple with an array for each tree"))
    };
    Ok((arrays("_decision_path_lengths")?, arrays("_average_path_length_per_tree")?))
}

/// The depths of the leaves, as the file has them.
fn stored(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    (along, rest): (Value, Value),
    n_nodes: usize,
    leaves: &[(usize, i64)],
) -> Result<Vec<f64>, Error> {
    const NAME: &str = "_decision_path_lengths";
    let mut numbers = |value: Value| -> Result<Vec<f64>, Error> {
        reader.claim(value, &of.path_of(NAME))?;
        let array = reader.arena.array(value).filter(|array| array.shape == [n_nodes]);
        let wrong = || of.fault(NAME, format!("is not of {n_nodes} numbers for a tree of as many nodes"));
        let array = array.ok_or_else(wrong)?;
        reader.spend(n_nodes.saturating_mul(array.dtype.size), &of.path_of(NAME))?;
        Ok(array.numbers().ok_or_else(wrong)?.collect())
    };
    let (along, rest) = (numbers(along)?, numbers(rest)?);
    let depth = |(node, _): &(usize, i64)| Some(along.get(*node)? + rest.get(*node)? - 1.0).filter(|x| x.is_finite());
    let depths: Option<Vec<f64>> = leaves.iter().map(depth).collect();
    depths.ok_or_else(|| of.fault(NAME, "has what is no finite number"))
}

/// The depths of the leaves, as scikit-learn to 1.2 computes them when it predicts.
fn computed(nodes: &[Node], leaves: &[(usize, i64)]) -> Vec<f64> {
    let mut along = vec![0.0; nodes.len()];
    let mut waiting = vec![(0_u32, 1.0)];
    // a node that is met twice ends the walk: such a tree is refused after
    while let Some((at, length)) = waiting.pop() {
        match along.get_mut(at as usize) {
            Some(seen) if *seen == 0.0 => *seen = length,
            _ => break,
        }
        if let Some(Node::Split(split)) = nodes.get(at as usize) {
            waiting.extend([(split.left, length + 1.0), (split.right, length + 1.0)]);
        }
    }
    let depth = |(node, samples): &(usize, i64)| {
        along.get(*node).copied().unwrap_or(0.0) + average_path_length(*samples as f64) - 1.0
    };
    leaves.iter().map(depth).collect()
}

/// `_average_path_length`.
fn average_path_length(samples: f64) -> f64 {
    if samples <= 1.0 {
        0.0
    } else if samples == 2.0 {
        1.0
    } else {
        2.0 * ((samples - 1.0).ln() + EULER_GAMMA) - 2.0 * (samples - 1.0) / samples
    }
}

/// The features that a tree was given.
fn columns(reader: &Reader<'_>, value: Value, subset: usize, n_features: usize) -> Option<Vec<u32>> {
    let array = reader.arena.array(value).filter(|array| array.shape == [subset])?;
    let column = |column: i64| u32::try_from(column).ok().filter(|column| (*column as usize) < n_features);
    array.ints()?.map(column).collect()
}

fn choose(nodes: &mut [Node], columns: &[u32]) -> Result<(), Error> {
    for (at, node) in (0_u32..).zip(nodes) {
        if let Node::Split(split) = node {
            let column = columns.get(split.column as usize).copied();
            split.column = column
                .ok_or_else(|| Error::tree(at, format!("splits on feature {}, of {}", split.column, columns.len())))?;
        }
    }
    Ok(())
}
