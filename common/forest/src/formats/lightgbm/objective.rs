//! The objective that a text names, and what it makes of margins (`src/objective/*.hpp`, `ConvertOutput`).

use super::lines::Value;
use super::number::atof;
use crate::error::{Error, quote};
use crate::link::LightGbmConvert;

/// An objective.
#[derive(Debug, Clone)]
pub(super) struct Objective {
    pub(super) name: &'static str,
    pub(super) convert: LightGbmConvert,
}

/// Those whose text is their name, and may add ` sqrt`.
const REGRESSIONS: &[&str] = &[
    "regression",
    "regression_l1",
    "huber",
    "fair",
    "poisson",
    "quantile",
    "mape",
    "gamma",
    "tweedie",
    "cross_entropy",
    "cross_entropy_lambda",
    "lambdarank",
    "rank_xendcg",
    "custom",
];

impl Objective {
    /// A function of the caller's own: the text says nothing, margins are what is predicted.
    pub(super) fn custom() -> Self {
        Self { name: "custom", convert: LightGbmConvert::Identity }
    }

    /// From `binary sigmoid:1` and the like.
    pub(super) fn parse(value: &Value<'_>, num_class: usize) -> Result<Self, Error> {
        let mut words = value.words();
        let name = words.next().unwrap_or_default();
        let mut parameters = Parameters::default();
        for word in words {
            parameters.add(word, value)?;
        }
        let (name, convert) = match name {
            "binary" => ("binary", LightGbmConvert::Sigmoid(parameters.sigmoid.take().unwrap_or(f64::NAN))),
            "multiclass" => ("multiclass", LightGbmConvert::Softmax),
            "multiclassova" => {
                ("multiclassova", LightGbmConvert::Sigmoid(parameters.sigmoid.take().unwrap_or(f64::NAN)))
            }
            _ => {
                let name = REGRESSIONS.iter().find(|known| **known == name);
                let name = *name.ok_or_else(|| value.fault(unknown(value.text)))?;
                (name, regression(name, std::mem::take(&mut parameters.sqrt)))
            }
        };
        let several = matches!(name, "multiclass" | "multiclassova");
        let of_file = if several { parameters.num_class.take() } else { Some(num_class) };
        let fits = match name {
            "custom" => true,
            _ if several => num_class >= 2,
            _ => num_class == 1,
        };
        if of_file != Some(num_class) || !fits {
            return Err(value.fault(format!("is `{}` for {num_class} classes", quote(value.text))));
        }
        if let LightGbmConvert::Sigmoid(slope) = convert
            && !(slope > 0.0 && slope.is_finite())
        {
            return Err(value.fault("has no sigmoid above 0"));
        }
        if parameters != Parameters::default() {
            return Err(value.fault(unknown(value.text)));
        }
        Ok(Self { name, convert })
    }

    /// Whether it is trained on classes and gives probabilities of them.
    pub(super) fn is_classifier(&self) -> bool {
        matches!(self.name, "binary" | "multiclass" | "multiclassova")
    }
}

/// `RegressionL2loss` and what derives from it; huber and the exponential ones pay no heed to `sqrt`.
fn regression(name: &str, sqrt: bool) -> LightGbmConvert {
    match name {
        "poisson" | "gamma" | "tweedie" => LightGbmConvert::Exp,
        "cross_entropy" => LightGbmConvert::Sigmoid(1.0),
        "cross_entropy_lambda" => LightGbmConvert::Log1pExp,
        "regression" | "regression_l1" | "fair" | "quantile" | "mape" if sqrt => LightGbmConvert::SignedSquare,
        _ => LightGbmConvert::Identity,
    }
}

fn unknown(text: &str) -> String {
    let known = "binary, multiclass, multiclassova";
    format!("is `{}`; this reader knows {known}, {}", quote(text), REGRESSIONS.join(", "))
}

/// What follows the name.
#[derive(Debug, Default, PartialEq)]
struct Parameters {
    sigmoid: Option<f64>,
    num_class: Option<usize>,
    sqrt: bool,
}

impl Parameters {
    fn add(&mut self, word: &str, value: &Value<'_>) -> Result<(), Error> {
        let again = match word.split_once(':') {
            Some(("sigmoid", number)) => {
                let number = atof(number).ok_or_else(|| value.fault("has a sigmoid that is no number"))?;
                self.sigmoid.replace(number).is_some()
            }
            Some(("num_class", number)) => {
                let number = number.parse().map_err(|_| value.fault("has a num_class that is no number"))?;
                self.num_class.replace(number).is_some()
            }
            None if word == "sqrt" => std::mem::replace(&mut self.sqrt, true),
            _ => return Err(value.fault(unknown(value.text))),
        };
        if again { Err(value.fault(format!("has `{}` twice", quote(word)))) } else { Ok(()) }
    }
}
