//! What the margins mean, by the loss and the classes (`catboost/libs/eval_result/eval_helpers.cpp`,
//! `catboost/private/libs/labels/external_label_helper.cpp`; what `predict` gives is `core.py`'s).

use super::info::Info;
use crate::error::{Error, quote};
use crate::limits::Limits;
use crate::link::{CatBoostLink, Link};
use crate::model::{Decision, Label, Task};

const LOSS: &str = "model_info.params.loss_function.type";
const CLASSES: &str = "model_info.class_params";

/// What a loss trains.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Two classes by one margin.
    Binary,
    /// A margin for each class.
    Classes(CatBoostLink),
    /// A margin for each of several yes-or-no questions.
    Labels,
    /// The margins, or what the link makes of them.
    Numbers(Option<CatBoostLink>),
}

/// Of these `predict` gives the margins; of a ranking's only the order means something.
const AS_THEY_ARE: &[&str] = &[
    "RMSE",
    "MAE",
    "Quantile",
    "MultiQuantile",
    "GroupQuantile",
    "LogLinQuantile",
    "Huber",
    "MAPE",
    "LogCosh",
    "Expectile",
    "Lq",
    "MultiRMSE",
    "MultiRMSEWithMissingValues",
    "SurvivalAft",
    "Cox",
    "YetiRank",
    "YetiRankPairwise",
    "PairLogit",
    "PairLogitPairwise",
    "QueryRMSE",
    "QuerySoftMax",
    "QueryCrossEntropy",
    "StochasticRank",
    "StochasticFilter",
    "LambdaMart",
    "Combination",
];

fn kind(loss: &str) -> Result<Kind, Error> {
    Ok(match loss {
        "Logloss" | "CrossEntropy" | "Focal" => Kind::Binary,
        "MultiClass" => Kind::Classes(CatBoostLink::Softmax),
        "MultiClassOneVsAll" => Kind::Classes(CatBoostLink::SigmoidEach),
        "MultiLogloss" | "MultiCrossEntropy" => Kind::Labels,
        "Poisson" | "Tweedie" => Kind::Numbers(Some(CatBoostLink::Exponent)),
        "RMSEWithUncertainty" => Kind::Numbers(Some(CatBoostLink::MeanAndVariance)),
        plain if AS_THEY_ARE.contains(&plain) => Kind::Numbers(None),
        other => {
            let message =
                format!("is `{}`, which this reader does not know; train with one of CatBoost's own", quote(other));
            return Err(Error::content(LOSS, None, message));
        }
    })
}

/// What the margins mean.
pub(super) struct Answer {
    pub(super) task: Task,
    pub(super) n_outputs: usize,
    pub(super) classes: Vec<Vec<Label>>,
    pub(super) link: Link,
    pub(super) decision: Decision,
    /// For each of the file's margins the class it belongs to; `None` if they are in order and complete.
    order: Option<Vec<usize>>,
    /// Margins in the file.
    found: usize,
    /// Margins of the model: also for the classes that no row of the training data had.
    margins: usize,
}

impl Answer {
    /// For so many margins in the file.
    pub(super) fn new(info: &Info, found: usize, limits: &Limits) -> Result<Self, Error> {
        let kind = kind(&info.loss)?;
        let most = if matches!(kind, Kind::Classes(_)) { limits.max_classes } else { limits.max_outputs };
        if found > most {
            return Err(Error::limit("margins of a model", most));
        }
        let expected = match kind {
            Kind::Binary => Some(1),
            Kind::Numbers(Some(CatBoostLink::Exponent)) => Some(1),
            Kind::Numbers(Some(CatBoostLink::MeanAndVariance)) => Some(2),
            _ => None,
        };
        if found == 0 || expected.is_some_and(|expected| expected != found) {
            return Err(Error::content(
                LOSS,
                None,
                format!("is {}, for which {found} margins are wrong", quote(&info.loss)),
            ));
        }
        // -log(1/p - 1), as `Logit`
        let above = Decision::MarginAbove(-(1.0 / info.threshold - 1.0).ln());
        let pairs = Link::CatBoost(CatBoostLink::SigmoidPairs);
        let plain = Self {
            task: Task::Classification,
            n_outputs: 1,
            classes: Vec::new(),
            link: pairs,
            decision: above,
            order: None,
            found,
            margins: found,
        };
        Ok(match kind {
            Kind::Binary => Self { classes: vec![binary(info, limits)?], ..plain },
            Kind::Labels => {
                ordered(info, found)?;
                Self { n_outputs: found, classes: vec![vec![Label::Int(0), Label::Int(1)]; found], ..plain }
            }
            Kind::Classes(link) => {
                let (classes, order) = several(info, found, limits)?;
                let decision = Decision::LargestMargin;
                let margins = classes.len();
                Self { classes: vec![classes], link: Link::CatBoost(link), decision, order, margins, ..plain }
            }
            Kind::Numbers(link) => {
                let link = link.map_or(Link::Identity, Link::CatBoost);
                Self { task: Task::Regression, n_outputs: found, link, decision: Decision::None, ..plain }
            }
        })
    }

    /// Margins in the file.
    pub(super) fn found(&self) -> usize {
        self.found
    }

    /// Margins of the model.
    pub(super) fn margins(&self) -> usize {
        self.margins
    }

    /// Whether there are more margins than in the file.
    pub(super) fn lacks_classes(&self) -> bool {
        self.margins > self.found
    }

    /// The file's numbers, a group for each leaf or one for all, in the model's order; 0 for what is not in the file.
    pub(super) fn place(&self, values: &[f64]) -> Vec<f64> {
        let Some(order) = &self.order else { return values.to_vec() };
        let groups = values.len() / self.found.max(1);
        let mut placed = vec![0.0; groups.saturating_mul(self.margins)];
        for (to, from) in placed.chunks_exact_mut(self.margins.max(1)).zip(values.chunks_exact(self.found.max(1))) {
            for (class, value) in order.iter().zip(from) {
                if let Some(slot) = to.get_mut(*class) {
                    *slot = *value;
                }
            }
        }
        placed
    }

    /// As [`Answer::place`], without a copy where nothing moves.
    pub(super) fn place_owned(&self, values: Vec<f64>) -> Vec<f64> {
        if self.order.is_none() { values } else { self.place(&values) }
    }

    /// A class that no row had has −∞ as its margin (`MakeExternalApprox`).
    pub(super) fn start(&self) -> Vec<f64> {
        if !self.lacks_classes() {
            return vec![0.0; self.margins];
        }
        let order = self.order.as_deref().unwrap_or_default();
        (0..self.margins).map(|class| if order.contains(&class) { 0.0 } else { f64::NEG_INFINITY }).collect()
    }
}

fn fault(message: String) -> Error {
    Error::content(CLASSES, None, message)
}

fn checked(classes: Vec<Label>, limits: &Limits) -> Result<Vec<Label>, Error> {
    if classes.len() > limits.max_classes {
        return Err(Error::limit("classes of an output", limits.max_classes));
    }
    if classes.iter().any(|class| matches!(class, Label::Text(text) if text.len() > limits.max_text)) {
        return Err(Error::limit("bytes of a name or label", limits.max_text));
    }
    Ok(classes)
}

fn numbered(count: usize, limits: &Limits) -> Result<Vec<Label>, Error> {
    if count > limits.max_classes {
        return Err(Error::limit("classes of an output", limits.max_classes));
    }
    Ok((0_i64..).map(Label::Int).take(count).collect())
}

/// `class_to_label` as whole numbers of at least 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn whole(labels: &[f64]) -> Result<Vec<usize>, Error> {
    let whole = |label: &f64| (label.trunc() == *label && (0.0..1e9).contains(label)).then_some(*label as usize);
    let labels: Option<Vec<usize>> = labels.iter().map(whole).collect();
    labels.ok_or_else(|| fault("class_to_label has what is no class's number".into()))
}

fn as_labels(labels: &[usize]) -> Result<Vec<Label>, Error> {
    let classes = labels.iter().map(|label| i64::try_from(*label).map(Label::Int)).collect::<Result<_, _>>();
    classes.map_err(|_| fault("class_to_label has what is no class's number".into()))
}

fn binary(info: &Info, limits: &Limits) -> Result<Vec<Label>, Error> {
    let params = info.class_params.as_ref();
    let count = params.and_then(|params| params.classes_count).filter(|count| *count > 0);
    let labels = params.and_then(|params| params.class_to_label.as_deref()).filter(|labels| !labels.is_empty());
    let classes = match (&*info.class_names, count, labels) {
        ([], None, Some(labels)) => as_labels(&whole(labels)?)?,
        ([], count, _) => numbered(count.unwrap_or(2), limits)?,
        (names, ..) => names.to_vec(),
    };
    if classes.len() != 2 {
        return Err(fault(format!("has {} classes where {} has 2", classes.len(), quote(&info.loss))));
    }
    checked(classes, limits)
}

/// Several labels have no order of their own.
fn ordered(info: &Info, found: usize) -> Result<(), Error> {
    let Some(labels) = info.class_params.as_ref().and_then(|params| params.class_to_label.as_deref()) else {
        return Ok(());
    };
    if whole(labels)?.into_iter().eq(0..found) {
        return Ok(());
    }
    Err(fault(format!("class_to_label is not 0 to {}", found - 1)))
}

type Order = Option<Vec<usize>>;

fn several(info: &Info, found: usize, limits: &Limits) -> Result<(Vec<Label>, Order), Error> {
    let names = checked(info.class_names.clone(), limits)?;
    let Some(params) = &info.class_params else {
        let classes = if names.is_empty() { numbered(found, limits)? } else { names };
        let fits = classes.len() == found;
        return if fits {
            Ok((classes, None))
        } else {
            Err(fault(format!("{} names for {found} classes", classes.len())))
        };
    };
    let labels = whole(params.class_to_label.as_deref().unwrap_or_default())?;
    if labels.len() != found {
        return Err(fault(format!("class_to_label has {} classes for {found} margins", labels.len())));
    }
    let count = params.classes_count.unwrap_or(0);
    if names.is_empty() && count == 0 {
        // the classes are as the data had them, the margins in their order
        return Ok((as_labels(&labels)?, None));
    }
    let classes = if names.is_empty() { numbered(count, limits)? } else { names };
    if count != 0 && count != classes.len() {
        return Err(fault(format!("has {} class_names where classes_count is {count}", classes.len())));
    }
    let mut met = vec![false; classes.len()];
    for label in &labels {
        match met.get_mut(*label) {
            Some(met) if !*met => *met = true,
            _ => return Err(fault(format!("class_to_label has {label} twice, or there is no such class"))),
        }
    }
    let order = if labels.iter().copied().eq(0..classes.len()) { None } else { Some(labels) };
    Ok((classes, order))
}
