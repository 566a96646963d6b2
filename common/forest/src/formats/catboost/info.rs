//! `model_info`: the loss, the classes, the threshold. The rest of it is the trainer's notes and the user's own.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json;
use crate::error::Error;
use crate::model::Label;

const PATH: &str = "model_info";

/// Classes that are looked at before the limits are. A class of two bytes takes ten times as many.
const MOST_CLASSES: usize = 65_536;

#[derive(serde::Deserialize)]
struct Raw {
    params: Option<Nested<Params>>,
    /// Of a sum of models, which has no params.
    loss_function: Option<Nested<Loss>>,
    class_params: Option<Nested<ClassParams>>,
    /// Before 0.24.
    multiclass_params: Option<Nested<ClassParams>>,
    binclass_probability_threshold: Option<String>,
    catboost_version_info: Option<String>,
}

#[derive(serde::Deserialize)]
struct Params {
    loss_function: Option<Nested<Loss>>,
    data_processing_options: Option<Processing>,
}

#[derive(serde::Deserialize)]
struct Loss {
    r#type: String,
}

#[derive(serde::Deserialize)]
struct Processing {
    class_names: Option<ClassNames>,
}

/// `TClassLabelOptions`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassParams {
    class_label_type: Option<String>,
    class_names: Option<ClassNames>,
    pub(super) class_to_label: Option<Vec<f64>>,
    pub(super) classes_count: Option<usize>,
}

/// What of it decides what the model answers.
pub(super) struct Info {
    pub(super) loss: String,
    pub(super) version: String,
    /// As the user or the data gave them; may be empty.
    pub(super) class_names: Vec<Label>,
    pub(super) class_params: Option<ClassParams>,
    /// `p` above which the second of two classes is chosen.
    pub(super) threshold: f64,
}

impl Info {
    pub(super) fn read(text: &str, raw: &RawValue) -> Result<Self, Error> {
        let raw: Raw = json::part(text, raw, PATH)?;
        let params = raw.params.map(|params| params.0);
        let (loss, processing) =
            params.map_or((None, None), |params| (params.loss_function, params.data_processing_options));
        let Some(Nested(loss)) = loss.or(raw.loss_function) else {
            let message = "is missing, so what the model answers is unknown; save the trained model itself";
            return Err(Error::content("model_info.params.loss_function", None, message));
        };
        let mut class_params = raw.class_params.or(raw.multiclass_params).map(|params| params.0);
        let own = class_params.as_mut().and_then(|params| {
            let kind = params.class_label_type.take();
            params.class_names.take().map(|names| (names.0, kind))
        });
        let trained = processing.and_then(|processing| processing.class_names).map_or_else(Vec::new, |names| names.0);
        let (names, kind) = own.unwrap_or_else(|| (if class_params.is_some() { Vec::new() } else { trained }, None));
        let class_names = names.into_iter().map(|name| name.of(kind.as_deref())).collect();
        let threshold = match raw.binclass_probability_threshold {
            None => 0.5,
            Some(text) => threshold(&text)?,
        };
        let version = raw.catboost_version_info.as_deref().and_then(version).unwrap_or("unknown").to_owned();
        Ok(Self { loss: loss.r#type, version, class_names, class_params, threshold })
    }
}

fn threshold(text: &str) -> Result<f64, Error> {
    let threshold = text.trim().parse().ok().filter(|threshold| (0.0..=1.0).contains(threshold));
    threshold.ok_or_else(|| {
        Error::content("model_info.binclass_probability_threshold", None, "is no number between 0 and 1")
    })
}

/// Of the notes on the build, which name it since 1.1 or so: `Branch: tags/v1.2.10`.
fn version(notes: &str) -> Option<&str> {
    let (_, after) = notes.split_once("tags/v").or_else(|| notes.split_once("CatBoost release "))?;
    let end = after.find(|character: char| !(character.is_ascii_digit() || character == '.')).unwrap_or(after.len());
    after.get(..end).map(|version| version.trim_end_matches('.')).filter(|version| (1..=16).contains(&version.len()))
}

/// Something that is JSON, or a text that holds it: metadata that were set by hand or passed through a sum of models.
struct Nested<T>(T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Nested<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: DeserializeOwned> Visitor<'de> for Either<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object, or a text that holds one")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
                serde_json::from_str(text).map_err(|error| E::custom(format_args!("in the text: {error}")))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_any(Either(PhantomData)).map(Self)
    }
}

/// A bounded array of them.
struct ClassNames(Vec<ClassName>);

impl<'de> Deserialize<'de> for ClassNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = Vec<ClassName>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of classes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Vec<ClassName>, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = array.next_element()? {
                    if names.len() == MOST_CLASSES {
                        return Err(A::Error::custom(format_args!("more than {MOST_CLASSES} classes")));
                    }
                    names.push(name);
                }
                Ok(names)
            }
        }
        deserializer.deserialize_seq(Bounded).map(Self)
    }
}

/// A class as JSON has it.
struct ClassName(Label);

impl ClassName {
    /// JSON does not tell 1.0 from 1.
    #[expect(clippy::cast_precision_loss, reason = "CatBoost's float labels are f32")]
    fn of(self, kind: Option<&str>) -> Label {
        match (self.0, kind) {
            (Label::Int(class), Some("Float")) => Label::Float(class as f64),
            (label, _) => label,
        }
    }
}

impl<'de> Deserialize<'de> for ClassName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Label;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a class: an integer, a float, a boolean or a text")
            }

            fn visit_bool<E>(self, class: bool) -> Result<Label, E> {
                Ok(Label::Bool(class))
            }

            fn visit_i64<E>(self, class: i64) -> Result<Label, E> {
                Ok(Label::Int(class))
            }

            fn visit_u64<E: serde::de::Error>(self, class: u64) -> Result<Label, E> {
                i64::try_from(class).map(Label::Int).map_err(|_| E::custom("a class beyond 63 bits"))
            }

            fn visit_f64<E>(self, class: f64) -> Result<Label, E> {
                Ok(Label::Float(class))
            }

            fn visit_str<E>(self, class: &str) -> Result<Label, E> {
                Ok(Label::Text(class.to_owned()))
            }
        }
        deserializer.deserialize_any(Any).map(Self)
    }
}
