//! `GradientBoostingClassifier` and `GradientBoostingRegressor`, by scikit-learn's `ensemble/_gb.py`,
//! `ensemble/_gradient_boosting.pyx` and, to 1.3, `ensemble/_gb_losses.py`.

use super::attributes::{Attributes, Reader};
use super::estimator::{self, Body};
use super::table::Takes;
use super::tree::{self, Shape};
use super::version::Version;
use crate::error::Error;
use crate::formats::pickle::known::{Estimator, Known, Loss, Part};
use crate::formats::pickle::numpy::Data;
use crate::formats::pickle::value::Value;
use crate::link::{Link, SklearnLink, pairwise_sum};
use crate::model::{Combine, Decision, Finish, Precision, Sum, Task, Tree};

pub(super) fn body(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    version: Version,
    task: Task,
    n_features: usize,
) -> Result<Body, Error> {
    let loss = loss(reader, of, version)?;
    let classes = match task {
        Task::Classification => vec![estimator::boosted_classes(reader, of)?],
        _ => Vec::new(),
    };
    let n_classes = classes.first().map_or(1, Vec::len);
    let margins = match (loss, task == Task::Classification) {
        (Loss::Multinomial | Loss::OldMultinomial, true) if n_classes > 2 => n_classes,
        (Loss::Binomial | Loss::OldBinomial | Loss::Exponential | Loss::OldExponential, true) if n_classes == 2 => 1,
        (Loss::Identity, false) => 1,
        _ => return Err(of.fault("_loss", format!("is no loss for {n_classes} classes"))),
    };
    let start = start(reader, of, version, loss, margins, n_classes)?;
    let trees = trees(reader, of, version, n_features, margins)?;
    let decision = match loss {
        Loss::Identity | Loss::Log => Decision::None,
        // to 1.3 the first largest probability, but for the exponential loss
        Loss::OldBinomial | Loss::OldMultinomial => Decision::LargestValue,
        Loss::Binomial | Loss::Exponential | Loss::OldExponential => Decision::MarginAtLeast(0.0),
        Loss::Multinomial => Decision::LargestMargin,
    };
    let link = match loss {
        Loss::Identity | Loss::Log => Link::Identity,
        Loss::Binomial | Loss::OldBinomial => Link::Sklearn(SklearnLink::Logit),
        Loss::Exponential | Loss::OldExponential => Link::Sklearn(SklearnLink::HalfLogit),
        Loss::Multinomial => Link::Sklearn(SklearnLink::Softmax { pairwise: true }),
        Loss::OldMultinomial => Link::Sklearn(SklearnLink::LogSumExp),
    };
    Ok(Body {
        n_outputs: 1,
        classes,
        sum: Sum { combine: Combine::Add, precision: Precision::Double, start, finish: Finish::Nothing },
        link,
        decision,
        trees,
        takes: Takes { precision: Precision::Single, missing: false, infinite: false },
    })
}

/// Since 1.4 of `sklearn._loss`, before that losses of its own.
fn loss(reader: &Reader<'_>, of: &Attributes<'_>, version: Version) -> Result<Loss, Error> {
    let value = of.get("_loss")?;
    let Some(Known::Loss(loss)) = reader.class(value) else {
        return Err(of.unlike("_loss", value, "a loss of scikit-learn"));
    };
    let old = matches!(loss, Loss::OldBinomial | Loss::OldMultinomial | Loss::OldExponential);
    if loss != Loss::Identity && old != (version.minor < 4) {
        return Err(of.fault("_loss", format!("is none that scikit-learn 1.{} has", version.minor)));
    }
    Ok(loss)
}

/// What the initial estimator gives for every row.
fn start(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    version: Version,
    loss: Loss,
    margins: usize,
    n_classes: usize,
) -> Result<Vec<f64>, Error> {
    let value = of.get("init_")?;
    let path = of.path_of("init_");
    if reader.arena.text(value) == Some("zero") {
        return Ok(vec![0.0; margins]);
    }
    let prior = match reader.class(value) {
        Some(Known::Part(Part::DummyRegressor)) if loss == Loss::Identity => return constant(reader, value, &path),
        Some(Known::Part(Part::DummyClassifier)) if loss != Loss::Identity => prior(reader, value, &path, n_classes)?,
        _ => {
            let message = "is an estimator that is not read; init=None, init=\"zero\" and scikit-learn's dummies are";
            return Err(Error::content(path, reader.arena.offset(value), message));
        }
    };
    // `_init_raw_predictions`: single precision's until 1.7
    let eps = if version.minor >= 8 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    let prior: Vec<f64> = prior.into_iter().map(|p| p.clamp(eps, 1.0 - eps)).collect();
    let second = prior.get(1).copied().unwrap_or(0.5);
    Ok(match loss {
        Loss::OldBinomial => vec![(second / (1.0 - second)).ln()],
        Loss::OldExponential => vec![0.5 * (second / (1.0 - second)).ln()],
        Loss::OldMultinomial => prior.into_iter().map(f64::ln).collect(),
        Loss::Binomial => vec![logit(second, version)],
        Loss::Exponential => vec![0.5 * logit(second, version)],
        _ => {
            let logs: Vec<f64> = prior.iter().map(|p| p.ln()).collect();
            let mean = (pairwise_sum(&logs) / logs.len() as f64).exp();
            prior.into_iter().map(|p| (p / mean).ln()).collect()
        }
    })
}

/// `scipy.special.logit`. It has another formula near the middle since scipy 1.15, and the file does not say which ran: taken is that of the
/// scipy that was current when scikit-learn's version came out.
fn logit(p: f64, version: Version) -> f64 {
    if version.minor < 6 || !(0.3..=0.65).contains(&p) {
        return (p / (1.0 - p)).ln();
    }
    let s = 2.0 * (p - 0.5);
    s.ln_1p() - (-s).ln_1p()
}

/// `DummyRegressor.predict`.
fn constant(reader: &mut Reader<'_>, value: Value, path: &str) -> Result<Vec<f64>, Error> {
    let (of, _) = reader.part(value, path)?;
    let (_, array) = of.array("constant_")?;
    let number = array.numbers().filter(|_| array.shape == [1, 1]).and_then(|mut numbers| numbers.next());
    let number = number.filter(|number| number.is_finite());
    number.map(|number| vec![number]).ok_or_else(|| of.fault("constant_", "is no finite number alone"))
}

/// `DummyClassifier.predict_proba`.
fn prior(reader: &mut Reader<'_>, value: Value, path: &str, n_classes: usize) -> Result<Vec<f64>, Error> {
    let (of, _) = reader.part(value, path)?;
    let prior = reader.numbers(&of, "class_prior_", n_classes)?;
    if prior.iter().any(|p| !(0.0..=1.0).contains(p)) {
        return Err(of.fault("class_prior_", "has what is no probability"));
    }
    match of.text("strategy")? {
        "prior" => Ok(prior),
        "uniform" => Ok(vec![1.0 / n_classes as f64; n_classes]),
        "most_frequent" => {
            let mut best = (0, f64::NEG_INFINITY);
            for (at, p) in prior.iter().enumerate() {
                best = if *p > best.1 { (at, *p) } else { best };
            }
            Ok((0..n_classes).map(|at| f64::from(u8::from(at == best.0))).collect())
        }
        _ => Err(of.fault("strategy", "is none of prior, uniform and most_frequent")),
    }
}

/// `estimators_`: an array of objects, a row for each stage.
fn trees(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    version: Version,
    n_features: usize,
    margins: usize,
) -> Result<Vec<Tree>, Error> {
    const NAME: &str = "estimators_";
    let rate = of.number("learning_rate")?;
    let (value, array) = of.array(NAME)?;
    let (Data::Objects(members), [_, width]) = (&array.data, array.shape.as_slice()) else {
        return Err(of.fault(NAME, "is no matrix of estimators"));
    };
    if *width != margins || (array.fortran && margins > 1) {
        return Err(of.fault(NAME, format!("has shape {:?} where {margins} trees a stage were expected", array.shape)));
    }
    reader.claim(value, &of.path_of(NAME))?;
    estimator::check_count(reader, of, members.len())?;
    let shape = Shape { n_features, n_classes: vec![1], classifier: false, alone: false, version };
    let mut trees = Vec::with_capacity(members.len());
    for (at, member) in members.iter().enumerate() {
        let (stage, target) = (at / margins, at % margins);
        let path = format!("{}[{stage}, {target}]", of.path_of(NAME));
        let member = estimator::member(reader, *member, &path, Estimator::DecisionTreeRegressor)?;
        let path = member.path_of("tree_");
        let (mut parts, _) = tree::parts(reader, member.get("tree_")?, &path, &shape)?;
        parts.target = u32::try_from(target).ok();
        parts.values.iter_mut().for_each(|value| *value *= rate);
        if parts.values.iter().any(|value| !value.is_finite()) {
            return Err(of.fault("learning_rate", format!("makes a leaf of {path} what is no finite number")));
        }
        trees.push(Tree::new(parts, reader.limits).map_err(|error| error.within(&path))?);
    }
    Ok(trees)
}
