//! From what a file says to a [`Model`]: which trees predict, what they are added to, and what the sums mean.

use super::learner::{File, Learner};
use super::objective::{Form, Objective};
use super::tree::RawTree;
use super::version::Version;
use crate::error::{Error, quote};
use crate::limits::{Options, Rounds};
use crate::link::{Link, XgboostCurve, XgboostLink};
use crate::model::{
    Categories, CategoryRule, Combine, Decision, Feature, FeatureKind, Finish, Input, Label, Model, Parts, Precision,
    Source, Sum, Task, Tree,
};

const LIBRARY: &str = "XGBoost";

/// Cast to `f32`; NaN is missing; what is infinite is compared as any number, as `inplace_predict` does.
const INPUT: Input =
    Input { precision: Precision::Single, infinite_allowed: true, category: CategoryRule::Truncated32 };

/// What a pickle of the scikit-learn wrapper or of a `Booster` knows beside the file in it.
#[derive(Debug, Default)]
pub(super) struct Outside {
    /// The estimator's class, if it is one of the wrapper's.
    pub(super) estimator: Option<&'static str>,
    pub(super) is_classifier: bool,
    pub(super) classes: Vec<Label>,
    pub(super) feature_names: Vec<String>,
    pub(super) parallel: Option<usize>,
}

pub(super) fn model(file: File, outside: Outside, options: &Options) -> Result<Model, Error> {
    let File { version, mut learner } = file;
    let objective = Objective::find(&learner.objective, version).ok_or_else(|| unknown(&learner.objective))?;
    learner.booster.check(learner.margins)?;
    if !version.has_stable_categories() && learner.booster.trees.iter().any(|tree| !tree.categorical.is_empty()) {
        let message =
            "has categorical splits, whose rules were others before 1.7.3; save it again with that or a newer";
        return Err(Error::content("learner.gradient_booster", None, message));
    }
    let sums_from_base = version.sums_from_base(!learner.booster.weights.is_empty());
    let trees = trees(&mut learner, version, &outside, options)?;
    let answer = answer(&mut learner, &outside, objective.form)?;
    let base = base(&learner, objective)?;
    let widened: Vec<f64> = base.into_iter().map(f64::from).collect();
    let (start, finish) = if sums_from_base {
        (widened, Finish::Nothing)
    } else {
        (vec![0.0; widened.len()], Finish::ScaleAndShift { scale: 1.0, shift: widened })
    };
    let class = outside
        .estimator
        .map_or_else(|| learner.objective.clone(), |estimator| format!("{estimator} {}", learner.objective));
    Model::new(Parts {
        task: answer.task,
        features: features(learner, version, outside.feature_names, &trees.categorical)?,
        input: INPUT,
        columns: Vec::new(),
        n_outputs: answer.n_outputs,
        classes: answer.classes,
        sum: Sum { combine: Combine::Add, precision: Precision::Single, start, finish },
        link: answer.link,
        decision: answer.decision,
        trees: trees.trees,
        source: Source { library: LIBRARY.to_owned(), version: version.to_string(), class },
    })
}

fn unknown(name: &str) -> Error {
    let known =
        "this reader knows reg:*, binary:*, multi:*, count:poisson, rank:* and survival:* of XGBoost 1.0 to 3.4";
    Error::content("learner.objective.name", None, format!("is `{}`; {known}", quote(name)))
}

/// Those that predict, and the columns that any of them takes for a category.
struct Trees {
    trees: Vec<Tree>,
    categorical: Vec<u32>,
}

fn trees(learner: &mut Learner, version: Version, outside: &Outside, options: &Options) -> Result<Trees, Error> {
    let count = rounds(learner, outside, options.rounds)?.unwrap_or(learner.booster.trees.len());
    let weights = std::mem::take(&mut learner.booster.weights);
    let mut weights = weights.into_iter();
    let raw = std::mem::take(&mut learner.booster.trees);
    let mut found = Trees { trees: Vec::with_capacity(count.min(raw.len())), categorical: Vec::new() };
    for (number, (raw, target)) in raw.into_iter().zip(&learner.booster.targets).take(count).enumerate() {
        let RawTree { mut parts, each, categorical } = raw;
        found.categorical.extend(categorical);
        parts.target = (each == 1).then_some(*target);
        if let Some(weight) = weights.next() {
            weigh(&mut parts.values, weight, version);
        }
        let place = || format!("learner.gradient_booster.model.trees[{number}]");
        found.trees.push(Tree::new(parts, &options.limits).map_err(|error| error.within(&place()))?);
    }
    Ok(found)
}

/// DART multiplies each leaf by its tree's weight, in `f32`, before it is added.
#[expect(clippy::cast_possible_truncation, reason = "the leaves were `f32`")]
fn weigh(values: &mut [f64], weight: f32, version: Version) {
    let zero = if version.weighs_leaves() { -0.0 } else { 0.0 };
    values.iter_mut().for_each(|value| *value = f64::from((zero + *value as f32) * weight));
}

/// How many trees predict, if not all.
fn rounds(learner: &Learner, outside: &Outside, rounds: Rounds) -> Result<Option<usize>, Error> {
    let wrapped = learner.wrapper.is_some() || outside.estimator.is_some();
    let stops = match rounds {
        Rounds::AsSaved => wrapped,
        Rounds::Best => true,
        Rounds::All => false,
    };
    let Some(best) = learner.best_round.filter(|_| stops) else { return Ok(None) };
    let parallel = learner.wrapper.as_ref().and_then(|wrapper| wrapper.parallel).or(outside.parallel);
    let trees = best.checked_add(1).and_then(|rounds| learner.booster.trees_of(rounds, parallel));
    let message = "names a round that the model does not have";
    trees.map(Some).ok_or_else(|| Error::content("learner.attributes.best_iteration", None, message))
}

/// What the values of a row are.
struct Answer {
    task: Task,
    n_outputs: usize,
    classes: Vec<Vec<Label>>,
    link: Link,
    decision: Decision,
}

fn answer(learner: &mut Learner, outside: &Outside, form: Form) -> Result<Answer, Error> {
    let margins = learner.margins;
    let wrong = |key: &str, message: String| Err(Error::content(format!("learner.{key}"), None, message));
    let by_wrapper = learner.wrapper.as_ref().is_some_and(|wrapper| wrapper.is_classifier);
    let numbers = |link| Answer {
        task: Task::Regression,
        n_outputs: margins,
        classes: Vec::new(),
        link,
        decision: Decision::None,
    };
    match form {
        Form::Classes { by_margin } => {
            if learner.n_classes < 2 {
                return wrong("learner_model_param.num_class", format!("is {} with many classes", learner.n_classes));
            }
            let decision = if by_margin { Decision::LargestMargin } else { Decision::LargestValue };
            let classes = vec![labels(learner, outside, margins)?];
            let link = Link::Xgboost(XgboostLink::Softmax);
            Ok(Answer { task: Task::Classification, n_outputs: 1, classes, link, decision })
        }
        Form::Pairs(_) if learner.n_classes > 1 => {
            wrong("learner_model_param.num_class", format!("is {} with an objective of two classes", learner.n_classes))
        }
        // the wrapper's classifier takes whatever an objective gives for a probability
        Form::Pairs(curve) => pairs(learner, outside, curve),
        Form::Numbers(curve) if (by_wrapper || outside.is_classifier) && learner.n_classes <= 1 => {
            pairs(learner, outside, curve)
        }
        Form::Numbers(XgboostCurve::Identity) => Ok(numbers(Link::Identity)),
        Form::Numbers(curve) => Ok(numbers(Link::Xgboost(XgboostLink::Each(curve)))),
        Form::Quantiles | Form::Expectiles if learner.alphas != Some(margins) => {
            wrong("objective", format!("has not one alpha for each of {margins} outputs"))
        }
        Form::Quantiles => Ok(numbers(Link::Xgboost(XgboostLink::Sorted))),
        Form::Expectiles => Ok(numbers(Link::Xgboost(XgboostLink::Expectiles))),
    }
}

/// Each margin is of the second of two classes; the second is chosen if its value is above one half.
fn pairs(learner: &mut Learner, outside: &Outside, curve: XgboostCurve) -> Result<Answer, Error> {
    let n_outputs = learner.margins;
    let classes = if n_outputs == 1 {
        vec![labels(learner, outside, 2)?]
    } else {
        vec![vec![Label::Int(0), Label::Int(1)]; n_outputs]
    };
    let decision = Decision::MarginAbove(f64::from(curve.last_to_one_half()));
    let link = Link::Xgboost(XgboostLink::Pair(curve));
    Ok(Answer { task: Task::Classification, n_outputs, classes, link, decision })
}

/// Those that the wrapper kept, else the numbers from 0. A wrapper that saw one class of two kept one.
fn labels(learner: &mut Learner, outside: &Outside, count: usize) -> Result<Vec<Label>, Error> {
    let kept = learner.wrapper.as_mut().map(|wrapper| std::mem::take(&mut wrapper.classes)).unwrap_or_default();
    let kept = if outside.classes.is_empty() { kept } else { outside.classes.clone() };
    match kept.len() {
        length if length == count => Ok(kept),
        0 | 1 => (0..count)
            .map(|number| i64::try_from(number).map(Label::Int))
            .collect::<Result<_, _>>()
            .map_err(|_| Error::model("too many classes")),
        length => {
            let message = format!("are {length}, where the model has {count}");
            Err(Error::content("classes_", None, message))
        }
    }
}

fn base(learner: &Learner, objective: Objective) -> Result<Vec<f32>, Error> {
    let wrong = |message: String| Error::content("learner.learner_model_param.base_score", None, message);
    let mut scores = match *learner.base_scores.as_slice() {
        [one] => vec![one; learner.margins],
        ref scores if scores.len() == learner.margins => scores.to_vec(),
        ref scores => return Err(wrong(format!("has {} numbers for {} outputs", scores.len(), learner.margins))),
    };
    objective.base.apply(&mut scores).map_err(wrong)?;
    Ok(scores)
}

fn features(
    learner: Learner,
    version: Version,
    outside: Vec<String>,
    categorical: &[u32],
) -> Result<Vec<Feature>, Error> {
    let Learner { feature_names, feature_types, n_features, mut booster, .. } = learner;
    let names = if feature_names.is_empty() { outside } else { feature_names };
    let lengths = [("names", names.len()), ("types", feature_types.len()), ("categories", booster.categories.len())];
    if let Some((what, length)) = lengths.into_iter().find(|(_, length)| *length != 0 && *length != n_features) {
        let message = format!("has {length} {what} for {n_features} features");
        return Err(Error::content("learner", None, message));
    }
    let mut asked = vec![false; n_features];
    for column in categorical {
        if let Some(asked) = asked.get_mut(*column as usize) {
            *asked = true;
        }
    }
    if version.has_whole_categories() && booster.categories.iter().any(|names| !names.whole) {
        let message = "has names of categories that are no UTF-8, or bytes that belong to none";
        return Err(Error::content("learner.gradient_booster.model.cats", None, message));
    }
    let mut names = names.into_iter();
    let feature = |(at, asked): (usize, bool)| {
        let named = booster.categories.get_mut(at).map(std::mem::take).unwrap_or_default();
        let kind = if !named.labels.is_empty() && named.whole && (named.ascii || version.has_whole_categories()) {
            FeatureKind::Category(Categories::Named(named.labels))
        } else if asked || feature_types.get(at) == Some(&true) {
            FeatureKind::Category(Categories::Codes)
        } else {
            FeatureKind::Number
        };
        Feature { name: names.next(), kind, missing_allowed: true }
    };
    Ok(asked.into_iter().enumerate().map(feature).collect())
}
