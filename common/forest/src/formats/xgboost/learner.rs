//! What the file says, part by part (`src/learner.cc`), before it is known what it means together.

use std::borrow::Cow;
use std::collections::HashSet;

use super::booster::Booster;
use super::document::{Document, Kind};
use super::json::Json;
use super::version::Version;
use crate::error::{Error, quote};
use crate::limits::Limits;
use crate::model::Label;

/// A whole file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) version: Version,
    pub(super) learner: Learner,
}

/// `learner`
#[derive(Debug, Default)]
pub(super) struct Learner {
    pub(super) feature_names: Vec<String>,
    /// For each feature whether it is a category.
    pub(super) feature_types: Vec<bool>,
    /// One for all margins, or one for each; before the link.
    pub(super) base_scores: Vec<f32>,
    pub(super) n_features: usize,
    /// What a row gives, before the link.
    pub(super) margins: usize,
    /// 0 unless the objective is for many classes.
    pub(super) n_classes: usize,
    pub(super) objective: String,
    /// Quantiles or expectiles, as many as were asked for.
    pub(super) alphas: Option<usize>,
    pub(super) booster: Booster,
    /// The best round, where training stopped early.
    pub(super) best_round: Option<usize>,
    /// What the scikit-learn wrapper left.
    pub(super) wrapper: Option<Wrapper>,
}

/// `attributes.scikit_learn`, itself JSON. Before 2.0 it holds all that the wrapper had.
#[derive(Debug, Default)]
pub(super) struct Wrapper {
    pub(super) is_classifier: bool,
    pub(super) parallel: Option<usize>,
    pub(super) classes: Vec<Label>,
}

impl Wrapper {
    fn read(text: &str, limits: &Limits) -> Result<Self, Error> {
        let mut json = Json::new(text.as_bytes());
        let mut wrapper = Self::default();
        json.object(&mut |json, key| match (&**key, json.kind()?) {
            // `type` before 1.4
            ("_estimator_type" | "type", Kind::Text) => {
                wrapper.is_classifier |= matches!(&*json.text()?, "classifier" | "XGBClassifier" | "XGBRFClassifier");
                Ok(())
            }
            ("num_parallel_tree", Kind::Number) => {
                wrapper.parallel = usize::try_from(json.int()?).ok();
                Ok(())
            }
            ("missing", Kind::Number) if !json.float()?.is_nan() => Err(json.wrong(MISSING)),
            ("missing", Kind::Number) => Ok(()),
            ("classes_", Kind::Array) => json.array(&mut |json, count| {
                if count >= limits.max_classes {
                    return Err(Error::limit("classes", limits.max_classes));
                }
                wrapper.classes.push(json.label(limits)?);
                Ok(())
            }),
            _ => json.skip(),
        })?;
        json.end()?;
        Ok(wrapper)
    }
}

/// Why an estimator is refused that takes another number for missing.
pub(super) const MISSING: &str =
    "is no NaN: this reader takes only NaN for missing; give NaN in place of that number, and fit with it";

impl File {
    /// A model, or the snapshot of a learner that a pickle holds, with the model in it.
    pub(super) fn read<'b, D: Document<'b>>(document: &mut D, limits: &Limits) -> Result<Self, Error> {
        let mut parts = (None, None);
        let mut snapshot = None;
        document.object(&mut |document, key| match &**key {
            "Model" => {
                let mut parts = (None, None);
                document.object(&mut |document, key| part(document, key, &mut parts, limits))?;
                snapshot = Some(parts);
                Ok(())
            }
            _ => part(document, key, &mut parts, limits),
        })?;
        let missing = |key: &str| Error::content(key, None, "is missing; is this a model of XGBoost?");
        let (learner, version) = snapshot.unwrap_or(parts);
        let learner = learner.ok_or_else(|| missing("learner"))?;
        Ok(Self { version: version.ok_or_else(|| missing("version"))?, learner })
    }
}

fn part<'b, D: Document<'b>>(
    document: &mut D,
    key: &str,
    (learner, version): &mut (Option<Learner>, Option<Version>),
    limits: &Limits,
) -> Result<(), Error> {
    match key {
        "learner" => *learner = Some(Learner::read(document, limits)?),
        "version" => {
            let mut numbers = Vec::new();
            document.ints(&mut numbers)?;
            *version = Some(Version::new(&numbers)?);
        }
        _ => document.skip()?,
    }
    Ok(())
}

impl Learner {
    fn read<'b, D: Document<'b>>(document: &mut D, limits: &Limits) -> Result<Self, Error> {
        let mut learner = Self::default();
        let mut booster = None;
        document.object(&mut |document, key| match &**key {
            "attributes" => learner.attributes(document, limits),
            "feature_names" => names(document, &mut learner.feature_names, limits),
            "feature_types" => document.array(&mut |document, count| {
                if count >= limits.max_features {
                    return Err(Error::limit("features", limits.max_features));
                }
                learner.feature_types.push(document.text()? == "c");
                Ok(())
            }),
            "gradient_booster" => {
                booster = Some(Booster::read(document, limits)?);
                Ok(())
            }
            "learner_model_param" => learner.parameters(document, limits),
            "objective" => learner.objective(document, limits),
            other => Err(document.wrong(format!("`{}` is no part of a learner that is known here", quote(other)))),
        })?;
        learner.booster = booster.ok_or_else(|| document.wrong("has no `gradient_booster`"))?;
        if learner.objective.is_empty() {
            return Err(document.wrong("has no `objective`"));
        }
        if learner.n_features == 0 || learner.base_scores.is_empty() {
            return Err(document.wrong("has no `learner_model_param`; was the model fitted?"));
        }
        Ok(learner)
    }

    fn attributes<'b, D: Document<'b>>(&mut self, document: &mut D, limits: &Limits) -> Result<(), Error> {
        document.object(&mut |document, key| {
            match &**key {
                "best_iteration" => self.best_round = Some(document.count()?),
                "scikit_learn" => {
                    let text = document.text()?;
                    self.wrapper = Some(Wrapper::read(&text, limits)?);
                }
                _ => document.skip()?,
            }
            Ok(())
        })
    }

    fn parameters<'b, D: Document<'b>>(&mut self, document: &mut D, limits: &Limits) -> Result<(), Error> {
        let mut targets = 1;
        document.object(&mut |document, key| {
            match &**key {
                "base_score" => {
                    let text = document.text()?;
                    self.base_scores = floats(&text)
                        .ok_or_else(|| document.wrong(format!("is `{}`, which is no number", quote(&text))))?;
                }
                "num_class" => self.n_classes = document.count()?,
                "num_feature" => self.n_features = document.count()?,
                "num_target" => targets = document.count()?,
                _ => document.skip()?,
            }
            Ok(())
        })?;
        if self.n_features > limits.max_features {
            return Err(Error::limit("features", limits.max_features));
        }
        if self.n_classes > limits.max_classes {
            return Err(Error::limit("classes", limits.max_classes));
        }
        if targets > limits.max_outputs {
            return Err(Error::limit("outputs", limits.max_outputs));
        }
        if self.n_classes > 1 && targets > 1 {
            return Err(document.wrong("has both classes and targets, which XGBoost does not know together"));
        }
        self.margins = self.n_classes.max(targets).max(1);
        Ok(())
    }

    fn objective<'b, D: Document<'b>>(&mut self, document: &mut D, limits: &Limits) -> Result<(), Error> {
        document.object(&mut |document, key| {
            match &**key {
                "name" => self.objective = document.name(limits)?,
                "quantile_loss_param" | "expectile_loss_param" => document.object(&mut |document, key| {
                    match &**key {
                        "quantile_alpha" | "expectile_alpha" => {
                            let text: Cow<'_, str> = document.text()?;
                            self.alphas = floats(&text).map(|alphas| alphas.len());
                        }
                        _ => document.skip()?,
                    }
                    Ok(())
                })?,
                _ => document.skip()?,
            }
            Ok(())
        })
    }
}

fn names<'b, D: Document<'b>>(document: &mut D, out: &mut Vec<String>, limits: &Limits) -> Result<(), Error> {
    document.array(&mut |document, count| {
        if count >= limits.max_features {
            return Err(Error::limit("features", limits.max_features));
        }
        out.push(document.name(limits)?);
        Ok(())
    })?;
    let mut seen = HashSet::with_capacity(out.len());
    match out.iter().find(|name| !seen.insert(name.as_str())) {
        Some(twice) => Err(document.wrong(format!("has `{}` twice", quote(twice)))),
        None => Ok(()),
    }
}

/// `5E-1`, or `[5E-1,2.5E-1]` (`src/common/param_array.cc`).
fn floats(text: &str) -> Option<Vec<f32>> {
    let text = text.trim();
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let number = |number: &str| number.trim().parse::<f32>().ok().filter(|number| number.is_finite());
    inner.split([',', ' ']).filter(|number| !number.is_empty()).map(number).collect()
}
