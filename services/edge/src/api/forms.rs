//! What stands in predictions and explanations, as the document shows it: their forms depend on the model, so that only the
//! schemas are used and the bodies are read and written elsewhere.

use std::collections::HashMap;

use poem_openapi::Object;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::Type;

use super::payload::Shown;
use crate::models::ask::Kind;

/// A free form as the document shows it: only its schema is used.
macro_rules! shown {
    ($name:ident, $title:literal, $schema:expr, prediction: $prediction:literal) => {
        shown!($name, $title, $schema, prediction: $prediction, alone: true);
    };
    ($name:ident, $title:literal, $schema:expr, prediction: $prediction:literal, alone: $alone:literal) => {
        pub(super) struct $name;

        impl Type for $name {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> std::borrow::Cow<'static, str> {
                $title.into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Reference($title.to_owned())
            }

            fn register(registry: &mut poem_openapi::registry::Registry) {
                registry.create_schema::<Self, _>($title.to_owned(), |_| $schema);
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl Shown for $name {
            const PREDICTION: bool = $prediction;
            const ALONE: bool = $alone;
        }
    };
}
pub(super) use shown;

pub(super) fn anything() -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema::ANY))
}

pub(super) fn inline(schema: MetaSchema) -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(schema))
}

pub(super) fn text(description: &'static str) -> MetaSchemaRef {
    inline(MetaSchema { description: Some(description), ..MetaSchema::new("string") })
}

pub(super) fn list(of: MetaSchema) -> MetaSchema {
    MetaSchema { items: Some(Box::new(inline(of))), ..MetaSchema::new("array") }
}

/// `rows` of a request.
fn rows() -> (&'static str, MetaSchemaRef) {
    let rows = MetaSchema { items: Some(Box::new(anything())), min_items: Some(1), ..MetaSchema::new("array") };
    ("rows", inline(rows))
}

/// Kinds of output, each once.
pub(super) fn kinds() -> MetaSchema {
    let kinds = Kind::ALL.into_iter().map(|kind| kind.name().into()).collect();
    MetaSchema {
        min_items: Some(1),
        unique_items: Some(true),
        ..list(MetaSchema { enum_items: kinds, ..MetaSchema::new("string") })
    }
}

/// `output` of a request.
fn output() -> (&'static str, MetaSchemaRef) {
    let output = MetaSchema {
        description: Some(
            "What is answered; without it label and probabilities. `label`: what is predicted. `probabilities`: of a \
             classifier, of each class. `margins`: what the trees sum to, before it becomes a value or a probability. \
             `leaves`: for each tree the number of the leaf that the row ends in, as the library numbers them (`apply` of \
             scikit-learn, `pred_leaf` of XGBoost and LightGBM). Not of a model with a feature of this name, unless \
             `rows` stands before it.",
        ),
        ..kinds()
    };
    ("output", inline(output))
}

shown!(
    Features,
    "Features",
    MetaSchema {
        description: Some("One row: each of the model's features by name. Or `{\"rows\": […]}`: see RowsRequest."),
        additional_properties: Some(Box::new(anything())),
        example: Some(serde_json::json!(
            {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
        )),
        ..MetaSchema::new("object")
    },
    prediction: true
);

/// One row's answer.
#[derive(Object)]
pub(super) struct Prediction {
    /// The predicted class as the model's file has it, or the value of a regressor; of several outputs a list. Not there if
    /// `output` was given without `label`.
    #[oai(skip_serializing_if_is_none)]
    prediction: Option<serde_json::Value>,
    /// The predicted class as a person calls it; not of a regressor.
    #[oai(skip_serializing_if_is_none)]
    label: Option<serde_json::Value>,
    /// The probability of each class by label; only of a classifier.
    #[oai(skip_serializing_if_is_none)]
    probabilities: Option<HashMap<String, f64>>,
    /// Low for what is unlike the training data; only of an outlier detector.
    #[oai(skip_serializing_if_is_none)]
    score: Option<f64>,
    /// What the trees sum to; only if `output` names `margins`.
    #[oai(skip_serializing_if_is_none)]
    margins: Option<Vec<f64>>,
    /// For each tree the leaf that the row ends in; only if `output` names `leaves`.
    #[oai(skip_serializing_if_is_none)]
    leaves: Option<Vec<u32>>,
    /// Which model answered.
    model: String,
    /// Which of its versions.
    version: String,
}

shown!(
    RowsRequest,
    "RowsRequest",
    MetaSchema {
        description: Some(
            "Either one row, each feature by name, or `rows`: a list of rows, each an object of features by name or a \
             list of values in the features' order. Beside them `output`.",
        ),
        additional_properties: Some(Box::new(anything())),
        properties: vec![rows(), output()],
        example: Some(serde_json::json!({"rows": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]})),
        ..MetaSchema::new("object")
    },
    prediction: true
);

shown!(
    RowsAnswer,
    "RowsAnswer",
    MetaSchema {
        description: Some(
            "To one row what `POST /predict` answers; to `rows` the list `predictions` in the rows' order, with the \
             model and the version once. Where `output` was given, only what it names.",
        ),
        required: vec!["model", "version"],
        additional_properties: Some(Box::new(anything())),
        properties: vec![
            (
                "predictions",
                MetaSchemaRef::Inline(Box::new(MetaSchema {
                    items: Some(Box::new(MetaSchemaRef::Inline(Box::new(MetaSchema::new("object"))))),
                    ..MetaSchema::new("array")
                })),
            ),
            ("model", inline(MetaSchema::new("string"))),
            ("version", inline(MetaSchema::new("string"))),
        ],
        ..MetaSchema::new("object")
    },
    prediction: false
);

shown!(
    ManyRows,
    "ManyRows",
    MetaSchema {
        description: Some(
            "A list of rows, each an object of features by name or a list of values in the features' order. Beside it \
             `output`.",
        ),
        required: vec!["rows"],
        properties: vec![rows(), output()],
        example: Some(serde_json::json!({"rows": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]})),
        ..MetaSchema::new("object")
    },
    prediction: true,
    alone: false
);

shown!(
    ManyAnswers,
    "ManyAnswers",
    MetaSchema {
        description: Some(
            "In the rows' order what `POST /predict` answers to each. Where `output` was given, only what it names.",
        ),
        required: vec!["predictions", "model", "version"],
        properties: vec![
            ("predictions", inline(list(MetaSchema::new("object")))),
            ("model", text("Which model answered.")),
            ("version", text("Which of its versions.")),
        ],
        ..MetaSchema::new("object")
    },
    prediction: false
);

shown!(
    ExplainRequest,
    "ExplainRequest",
    MetaSchema {
        description: Some("Rows as in RowsRequest; beside them `top_k`."),
        additional_properties: Some(Box::new(anything())),
        properties: vec![
            rows(),
            (
                "top_k",
                inline(MetaSchema {
                    description: Some(
                        "Only so many features, those of the greatest contributions, the greatest first. Not of a model \
                         with a feature of this name, unless `rows` stands before it.",
                    ),
                    minimum: Some(1.0),
                    maximum: Some(f64::from(u32::MAX)),
                    ..MetaSchema::new_with_format("integer", "int64")
                }),
            ),
        ],
        example: Some(serde_json::json!({"rows": [[5.1, 3.5, 1.4, 0.2]], "top_k": 2})),
        ..MetaSchema::new("object")
    },
    prediction: true
);

/// What each feature contributed to one margin: contributions and base sum to it.
fn explained_output() -> MetaSchema {
    let contribution = MetaSchema {
        required: vec!["feature", "contribution"],
        properties: vec![
            ("feature", text("Its name.")),
            ("contribution", inline(MetaSchema::new_with_format("number", "double"))),
        ],
        ..MetaSchema::new("object")
    };
    let whole = |description| {
        inline(MetaSchema { description: Some(description), ..MetaSchema::new_with_format("integer", "int64") })
    };
    MetaSchema {
        description: Some(
            "Contributions and base sum to the margin, which `output: [\"margins\"]` of a prediction gives.",
        ),
        required: vec!["base", "contributions"],
        properties: vec![
            ("output", whole("Which output of the model, from 0; absent where there is one.")),
            ("label", text("The class whose margin it is; of two classes with one margin the second.")),
            ("margin", whole("Which margin, from 0, where it is that of no output or class.")),
            (
                "base",
                inline(MetaSchema {
                    description: Some("What no feature contributed: the mean over the training data."),
                    ..MetaSchema::new_with_format("number", "double")
                }),
            ),
            ("contributions", inline(list(contribution))),
        ],
        ..MetaSchema::new("object")
    }
}

shown!(
    Explanations,
    "Explanations",
    MetaSchema {
        description: Some(
            "To one row `outputs`; to `rows` the list `explanations` of such in the rows' order. The model and the version \
             once.",
        ),
        required: vec!["model", "version"],
        properties: vec![
            ("outputs", inline(list(explained_output()))),
            (
                "explanations",
                inline(list(MetaSchema {
                    required: vec!["outputs"],
                    properties: vec![("outputs", inline(list(explained_output())))],
                    ..MetaSchema::new("object")
                })),
            ),
            ("model", text("Which model answered.")),
            ("version", text("Which of its versions.")),
        ],
        ..MetaSchema::new("object")
    },
    prediction: false
);
