//! CatBoost's models as `save_model(…, format="json")` writes them (`catboost/libs/model/model_export/json_model_helpers.cpp`):
//! oblivious and other trees over numbers and one-hot categories. Not the binary `.cbm`, and no features that are made from
//! training data (CTRs, texts, embeddings).
//!
//! What is read is the model that was trained: numbers are taken as they are written, to the nearest. CatBoost's own reader of
//! this format is off by a unit in the last place now and then.

mod answer;
mod features;
mod hash;
mod info;
mod json;
mod nested;
mod oblivious;
mod splits;
mod trees;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::limits::Limits;
use crate::model::{CategoryRule, Combine, Finish, Input, Model, Parts, Precision, Source, Sum};
use answer::Answer;
use features::Features;
pub use hash::catboost_category;
use info::Info;
use trees::{Builder, Shape};

const LIBRARY: &str = "CatBoost";

/// `f32` for numbers; a category is its hash, which only `f64` can hold.
const INPUT: Input = Input { precision: Precision::Single, infinite_allowed: true, category: CategoryRule::Whole };

const CTR: &str = "computes statistics of categories (CTRs), which this reader does not; train with `one_hot_max_size` at least \
                   the number of categories of each feature, or encode the categories before training";
const MADE: &str = "is made from texts or embeddings, which this reader does not; train without `text_features` and \
                    `embedding_features`";

/// The file's members. What is large stays text until it is known what it is about.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'t> {
    #[serde(borrow)]
    model_info: Option<&'t RawValue>,
    #[serde(borrow)]
    features_info: Option<&'t RawValue>,
    #[serde(borrow)]
    oblivious_trees: Option<&'t RawValue>,
    #[serde(borrow)]
    trees: Option<&'t RawValue>,
    #[serde(borrow)]
    scale_and_bias: Option<&'t RawValue>,
    ctr_data: Option<IgnoredAny>,
}

/// Reads what [`crate::formats::detect`] takes for such a file.
pub(super) fn model(bytes: &[u8], limits: &Limits) -> Result<Model, Error> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Error::content("the file", error.valid_up_to(), "is no UTF-8, which JSON is"))?;
    let document: Document<'_> = json::whole(text)?;
    let missing = |name| Error::content(name, None, "is missing; save the model with `save_model(…, format=\"json\")`");
    if document.ctr_data.is_some() {
        return Err(Error::content("ctr_data", None, format!("the model {CTR}")));
    }
    let info = Info::read(text, document.model_info.ok_or_else(|| missing("model_info"))?)?;
    let features = document.features_info.ok_or_else(|| missing("features_info"))?;
    let features = Features::read(text, features, limits)?;
    let (scale, bias) = scale_and_bias(text, document.scale_and_bias)?;
    let mut builder = Builder::new(text, &features, &info, limits);
    match (document.oblivious_trees, document.trees) {
        (Some(trees), None) => builder.read("oblivious_trees", trees, Shape::Oblivious)?,
        (None, Some(trees)) => builder.read("trees", trees, Shape::Nested)?,
        (None, None) => return Err(missing("oblivious_trees")),
        (Some(_), Some(_)) => return Err(Error::content("trees", None, "stands beside oblivious_trees")),
    }
    let (trees, answer) = builder.finish(bias.len())?;
    Model::new(Parts {
        task: answer.task,
        features: features.list,
        input: INPUT,
        columns: Vec::new(),
        n_outputs: answer.n_outputs,
        sum: sum(&answer, scale, &bias)?,
        classes: answer.classes,
        link: answer.link,
        decision: answer.decision,
        trees,
        source: Source { library: LIBRARY.into(), version: info.version, class: info.loss },
    })
}

/// The bias is one number (before 0.24), one for each margin, or `null`.
fn scale_and_bias(text: &str, raw: Option<&RawValue>) -> Result<(f64, Vec<f64>), Error> {
    let Some(raw) = raw else { return Ok((1.0, Vec::new())) };
    let (scale, json::Numbers(bias)) = json::part(text, raw, "scale_and_bias")?;
    Ok((scale, bias))
}

/// `ApplyScaleAndBias` (`catboost/libs/model/scale_and_bias.cpp`), which leaves the sums alone if there is nothing to do.
fn sum(answer: &Answer, scale: f64, bias: &[f64]) -> Result<Sum, Error> {
    let fault = |message: String| Err(Error::content("scale_and_bias", None, message));
    let found = answer.found();
    if !(bias.is_empty() || bias.len() == 1 || bias.len() == found) {
        return fault(format!("has {} biases for {found} margins", bias.len()));
    }
    if answer.lacks_classes() && scale <= 0.0 {
        return fault(format!("has the scale {scale} where a class has no margin"));
    }
    let bias: Vec<f64> = match bias {
        [one] => vec![*one; found],
        [] => vec![0.0; found],
        each => each.to_vec(),
    };
    let finish = if scale == 1.0 && bias.iter().all(|bias| *bias == 0.0) {
        Finish::Nothing
    } else {
        Finish::ScaleAndShift { scale, shift: answer.place(&bias) }
    };
    Ok(Sum { combine: Combine::Add, precision: Precision::Double, start: answer.start(), finish })
}
