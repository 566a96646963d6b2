//! Predictions.

use std::collections::HashMap;
use std::sync::Arc;

use arborgate_contracts::ErrorCode;
use poem_openapi::param::Path;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::Type;
use poem_openapi::{Object, OpenApi};

use super::payload::{RawJson, Rendered, Shown, State};
use super::{Shared, Tag};
use crate::front::admitted::Admitted;
use crate::front::problem::Problem;
use crate::models::catalog::{Served, Versions};
use crate::models::rows;

pub(super) struct Api(pub State);

/// A free form as the document shows it: only its schema is used.
macro_rules! shown {
    ($name:ident, $title:literal, $schema:expr, prediction: $prediction:literal) => {
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
        }
    };
}

fn anything() -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema::ANY))
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
    /// The predicted class as the model's file has it, or the value of a regressor; of several outputs a list.
    prediction: serde_json::Value,
    /// The predicted class as a person calls it; not of a regressor.
    #[oai(skip_serializing_if_is_none)]
    label: Option<serde_json::Value>,
    /// The probability of each class by label; only of a classifier.
    #[oai(skip_serializing_if_is_none)]
    probabilities: Option<HashMap<String, f64>>,
    /// Low for what is unlike the training data; only of an outlier detector.
    #[oai(skip_serializing_if_is_none)]
    score: Option<f64>,
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
             list of values in the features' order.",
        ),
        additional_properties: Some(Box::new(anything())),
        properties: vec![(
            "rows",
            MetaSchemaRef::Inline(Box::new(MetaSchema {
                items: Some(Box::new(anything())),
                min_items: Some(1),
                ..MetaSchema::new("array")
            })),
        )],
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
             model and the version once.",
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
            ("model", MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")))),
            ("version", MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")))),
        ],
        ..MetaSchema::new("object")
    },
    prediction: false
);

#[OpenApi(tag = "Tag::Predictions")]
impl Api {
    /// Ask the default model
    ///
    /// The body holds the default model's features by name.
    #[oai(path = "/predict", method = "post", operation_id = "predict")]
    async fn predict(&self, admitted: Admitted, body: RawJson<Features>) -> Result<Rendered<Prediction>, Problem> {
        let shared = self.0.get()?;
        let served = shared.catalog.now().default_model().cloned();
        let served = served.ok_or_else(|| {
            Problem::new(
                ErrorCode::NotFound,
                "there is no default model; add one with 'arborgate models add … --default'",
            )
        })?;
        answer(shared, &served, admitted, &body.bytes).await
    }

    /// Ask a model
    ///
    /// The version that was added last answers.
    #[oai(path = "/v1/models/:model/predict", method = "post", operation_id = "predict_model")]
    async fn predict_model(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        body: RawJson<RowsRequest>,
    ) -> Result<Rendered<RowsAnswer>, Problem> {
        let shared = self.0.get()?;
        let served = find(shared, &model, |versions| versions.current().cloned())?;
        answer(shared, &served, admitted, &body.bytes).await
    }

    /// Ask a version of a model
    #[oai(path = "/v1/models/:model/versions/:version/predict", method = "post", operation_id = "predict_version")]
    async fn predict_version(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        /// The version.
        version: Path<String>,
        body: RawJson<RowsRequest>,
    ) -> Result<Rendered<RowsAnswer>, Problem> {
        let shared = self.0.get()?;
        let served = find(shared, &model, |versions| versions.get(&version).cloned())?;
        answer(shared, &served, admitted, &body.bytes).await
    }
}

/// A model's version, or 404.
pub(super) fn find(
    shared: &Shared,
    model: &str,
    choose: impl FnOnce(&Versions) -> Option<Arc<Served>>,
) -> Result<Arc<Served>, Problem> {
    let snapshot = shared.catalog.now();
    let unknown = |detail| Problem::new(ErrorCode::NotFound, detail);
    let versions =
        snapshot.model(model).ok_or_else(|| unknown("there is no such model; GET /v1/models lists what there is"))?;
    choose(versions).ok_or_else(|| unknown("this model has no such version; GET /v1/models/{model} lists them"))
}

async fn answer<T>(shared: &Shared, served: &Served, admitted: Admitted, body: &[u8]) -> Result<Rendered<T>, Problem> {
    let rows = rows::parse(body, &served.signature, shared.config.inference.max_rows)?;
    let many = rows.many;
    let answer = served.lane.predict(rows, admitted.meta, &admitted.caller.grant).await?;
    let json = if many { served.template.many(&answer) } else { served.template.one(&answer) };
    Ok(Rendered::new(json).timed(answer.queued_us, answer.computed_us))
}
