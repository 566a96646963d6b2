//! Predictions and their explanations.

use std::sync::Arc;

use arborgate_contracts::ErrorCode;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use super::forms::{ExplainRequest, Explanations, Features, Prediction, RowsAnswer, RowsRequest};
use super::payload::{RawJson, Rendered, State};
use super::{Shared, Tag};
use crate::front::admitted::Admitted;
use crate::front::problem::Problem;
use crate::models::ask::Purpose;
use crate::models::catalog::{Served, Versions};
use crate::models::rows::{self, Reading, Rows};

/// Contributions that an answer tells, at most: each has its feature's name beside it.
const MOST_TOLD: usize = 1 << 20;

pub(super) struct Api(pub State);

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

    /// Explain a model
    ///
    /// What each feature contributed to each row's margins: the exact Shapley values of the trees, as `pred_contribs` of
    /// XGBoost and `TreeExplainer` of shap give them.
    #[oai(path = "/v1/models/:model/explain", method = "post", operation_id = "explain_model")]
    async fn explain_model(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        body: RawJson<ExplainRequest>,
    ) -> Result<Rendered<Explanations>, Problem> {
        let shared = self.0.get()?;
        let served = find(shared, &model, |versions| versions.current().cloned())?;
        explain(shared, &served, admitted, &body.bytes).await
    }

    /// Explain a version of a model
    #[oai(path = "/v1/models/:model/versions/:version/explain", method = "post", operation_id = "explain_version")]
    async fn explain_version(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        /// The version.
        version: Path<String>,
        body: RawJson<ExplainRequest>,
    ) -> Result<Rendered<Explanations>, Problem> {
        let shared = self.0.get()?;
        let served = find(shared, &model, |versions| versions.get(&version).cloned())?;
        explain(shared, &served, admitted, &body.bytes).await
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
    let reading = Reading { purpose: Purpose::Predict, most: shared.config.inference.max_rows };
    let rows = rows::parse(body, &served.signature, reading)?;
    ask(served, admitted, rows).await
}

async fn explain<T>(shared: &Shared, served: &Served, admitted: Admitted, body: &[u8]) -> Result<Rendered<T>, Problem> {
    let reading = Reading { purpose: Purpose::Explain, most: shared.config.inference.max_rows };
    let rows = rows::parse(body, &served.signature, reading)?;
    let features = served.signature.columns();
    let told = rows.ask.top_k.map_or(features, |top_k| features.min(top_k as usize));
    let most = MOST_TOLD / (told * served.manifest.margins()).max(1);
    if rows.count as usize > most {
        let detail =
            format!("an explanation of {} rows is too large; ask for at most {most}, or give top_k", rows.count);
        return Err(Problem::new(ErrorCode::TooLarge, detail));
    }
    // It is much, and seldom.
    Box::pin(ask(served, admitted, rows)).await
}

async fn ask<T>(served: &Served, admitted: Admitted, rows: Rows) -> Result<Rendered<T>, Problem> {
    let (many, asked) = (rows.many, rows.ask);
    let answer = served.lane.predict(rows, admitted.meta, &admitted.caller.grant).await?;
    let json = if many { served.template.many(&answer, asked) } else { served.template.one(&answer, asked) };
    Ok(Rendered::new(json).timed(answer.queued_us, answer.computed_us))
}
