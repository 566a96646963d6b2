//! What each objective means: from the base score to the base margin, and from margins to values
//! (`src/objective/*`, `ProbToMargin` and `PredTransform`).

use super::version::Version;
use crate::link::XgboostCurve;

/// `kRtEps`
const EPSILON: f32 = 1e-6;

/// What an objective does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Objective {
    pub(super) base: Base,
    pub(super) form: Form,
}

/// From the base score to the base margin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Base {
    Same,
    Logit {
        clamped: bool,
    },
    Log,
    /// The first as it is, then what each is above the one before.
    Expectiles,
}

/// What the margins of a row are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// Of classes, of which there is one; the class by the largest probability or by the largest margin.
    Classes { by_margin: bool },
    /// Each of the second of two classes.
    Pairs(XgboostCurve),
    /// Each a number.
    Numbers(XgboostCurve),
    /// Ascending numbers.
    Quantiles,
    /// Numbers, each given as what it is above the one before.
    Expectiles,
}

impl Objective {
    /// `None` for an objective that is not known.
    pub(super) fn find(name: &str, version: Version) -> Option<Self> {
        let sigmoid = if version.has_clamped_sigmoid() { XgboostCurve::ClampedSigmoid } else { XgboostCurve::Sigmoid };
        let logit = Base::Logit { clamped: version.has_clamped_base() };
        let (base, form) = match name {
            "reg:squarederror"
            | "reg:linear"
            | "reg:squaredlogerror"
            | "reg:pseudohubererror"
            | "reg:absoluteerror"
            | "rank:pairwise"
            | "rank:ndcg"
            | "rank:map" => (Base::Same, Form::Numbers(XgboostCurve::Identity)),
            "reg:quantileerror" if version.sorts_quantiles() => (Base::Same, Form::Quantiles),
            "reg:quantileerror" => (Base::Same, Form::Numbers(XgboostCurve::Identity)),
            "reg:expectileerror" if version.has_expectiles() => (Base::Expectiles, Form::Expectiles),
            "reg:logistic" => (logit, Form::Numbers(sigmoid)),
            "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" | "survival:aft" => {
                (Base::Log, Form::Numbers(XgboostCurve::Exp))
            }
            "binary:logistic" => (logit, Form::Pairs(sigmoid)),
            "binary:logitraw" => {
                (if version.has_raw_base() { Base::Same } else { logit }, Form::Pairs(XgboostCurve::Identity))
            }
            "binary:hinge" => (Base::Same, Form::Pairs(XgboostCurve::Step)),
            "multi:softprob" => (Base::Same, Form::Classes { by_margin: false }),
            "multi:softmax" => (Base::Same, Form::Classes { by_margin: true }),
            _ => return None,
        };
        Some(Self { base, form })
    }
}

impl Base {
    /// The base margins, in place.
    pub(super) fn apply(self, scores: &mut [f32]) -> Result<(), String> {
        match self {
            Self::Same => {}
            Self::Logit { clamped } => {
                for score in scores.iter_mut() {
                    let legal = if clamped { (0.0..=1.0).contains(score) } else { *score > 0.0 && *score < 1.0 };
                    if !legal {
                        return Err(format!("is {score:?}, which is no probability"));
                    }
                    let bound = if clamped { score.clamp(EPSILON, 1.0 - EPSILON) } else { *score };
                    *score = -(1.0 / bound - 1.0).ln();
                }
            }
            Self::Log => scores.iter_mut().for_each(|score| *score = score.ln()),
            Self::Expectiles => {
                for at in (1..scores.len()).rev() {
                    if let Some([below, own]) = scores.get_mut(at - 1..=at) {
                        let gap = (*own - *below - EPSILON).max(EPSILON);
                        *own = gap + (-(-gap).exp_m1()).ln();
                    }
                }
            }
        }
        match scores.iter().find(|score| !score.is_finite()) {
            Some(score) => Err(format!("becomes {score:?} as a margin")),
            None => Ok(()),
        }
    }
}
