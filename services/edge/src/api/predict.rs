//! Predictions and their explanations.

use std::sync::Arc;

use arborgate_bus::Meta;
use arborgate_contracts::wire::Answer;
use arborgate_contracts::{ErrorCode, Fault, ServiceError};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use super::content::{Answered, Content};
use super::forms::{
    ExplainRequest, Explanations, Features, ManyAnswers, ManyRows, Prediction, RowsAnswer, RowsRequest,
};
use super::payload::{Shown, State};
use super::{Shared, Tag};
use crate::front::admitted::Admitted;
use crate::front::problem::Problem;
use crate::models::ask::{Ask, Purpose, kinds};
use crate::models::catalog::{Served, Versions};
use crate::models::rows::{self, Form, Reading, Rows};
use crate::models::shadow::Shadowing;
use crate::models::traffic::Who;

/// Contributions that an answer tells, at most: each has its feature's name beside it.
const MOST_TOLD: usize = 1 << 20;

pub(super) struct Api(pub State);

#[OpenApi(tag = "Tag::Predictions")]
impl Api {
    /// Ask the default model
    ///
    /// The body holds the default model's features by name.
    #[oai(path = "/predict", method = "post", operation_id = "predict")]
    async fn predict(
        &self,
        admitted: Admitted,
        /// As `output` in the body, with commas between, for bodies that are tables.
        output: Query<Option<String>>,
        body: Content<Features>,
    ) -> Result<Answered<Prediction>, Problem> {
        let shared = self.0.get()?;
        let none = "there is no default model; add one with 'arborgate models add … --default'";
        let route = {
            let snapshot = shared.catalog.now();
            let versions = snapshot.default_model().ok_or_else(|| Problem::new(ErrorCode::NotFound, none))?;
            Route::of(versions, admitted.who())?
        };
        answer(shared, &route, admitted, output.0.as_deref(), body).await
    }

    /// Ask a model
    ///
    /// The current version answers, or one with a share of the model's traffic.
    #[oai(path = "/v1/models/:model/predict", method = "post", operation_id = "predict_model")]
    async fn predict_model(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        /// As `output` in the body, with commas between, for bodies that are tables.
        output: Query<Option<String>>,
        body: Content<RowsRequest>,
    ) -> Result<Answered<RowsAnswer>, Problem> {
        let shared = self.0.get()?;
        let route = find(shared, &model, |versions| Route::of(versions, admitted.who()))?;
        answer(shared, &route, admitted, output.0.as_deref(), body).await
    }

    /// Ask a model about many rows
    ///
    /// As `predict_model`, and the answer is always a list: of `rows`, or of the rows of a table.
    #[oai(path = "/v1/models/:model/predict/rows", method = "post", operation_id = "predict_rows")]
    async fn predict_rows(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        /// As `output` in the body, with commas between, for bodies that are tables.
        output: Query<Option<String>>,
        body: Content<ManyRows>,
    ) -> Result<Answered<ManyAnswers>, Problem> {
        let shared = self.0.get()?;
        let route = find(shared, &model, |versions| Route::of(versions, admitted.who()))?;
        answer(shared, &route, admitted, output.0.as_deref(), body).await
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
        /// As `output` in the body, with commas between, for bodies that are tables.
        output: Query<Option<String>>,
        body: Content<RowsRequest>,
    ) -> Result<Answered<RowsAnswer>, Problem> {
        let shared = self.0.get()?;
        let route = find(shared, &model, |versions| Route::to(versions, &version))?;
        answer(shared, &route, admitted, output.0.as_deref(), body).await
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
        /// As `top_k` in the body, for bodies that are tables.
        #[oai(validator(minimum(value = "1")))]
        top_k: Query<Option<u32>>,
        body: Content<ExplainRequest>,
    ) -> Result<Answered<Explanations>, Problem> {
        let shared = self.0.get()?;
        let route = find(shared, &model, |versions| Route::of(versions, admitted.who()))?;
        explain(shared, &route, admitted, top_k.0, body).await
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
        /// As `top_k` in the body, for bodies that are tables.
        #[oai(validator(minimum(value = "1")))]
        top_k: Query<Option<u32>>,
        body: Content<ExplainRequest>,
    ) -> Result<Answered<Explanations>, Problem> {
        let shared = self.0.get()?;
        let route = find(shared, &model, |versions| Route::to(versions, &version))?;
        explain(shared, &route, admitted, top_k.0, body).await
    }
}

/// Where rows go.
pub(crate) struct Route {
    pub(crate) served: Arc<Served>,
    /// What is asked as well.
    shadow: Option<Arc<Shadowing>>,
}

impl Route {
    /// To the version that answers for the model.
    pub(crate) fn of(versions: &Versions, who: Who<'_>) -> Result<Self, Problem> {
        let none = || Problem::new(ErrorCode::Unavailable, "every version of this model is unloaded");
        let served = versions.choose(who).cloned().ok_or_else(none)?;
        Ok(Self { served, shadow: versions.shadow().cloned() })
    }

    /// To one by name.
    pub(crate) fn to(versions: &Versions, version: &str) -> Result<Self, Problem> {
        let none = "this model has no such version; GET /v1/models/{model} lists them";
        let served = versions.get(version).cloned().ok_or_else(|| Problem::new(ErrorCode::NotFound, none))?;
        if versions.rollout().is_some_and(|rollout| rollout.unloaded.contains_key(version)) {
            let detail = "this version is unloaded; GET /v1/models/{model} says why";
            return Err(Problem::new(ErrorCode::Unavailable, detail));
        }
        Ok(Self { served, shadow: None })
    }

    /// What the rows give.
    pub(crate) async fn predict(&self, rows: Rows, meta: Meta, grant: &Arc<str>) -> Result<Answer, ServiceError> {
        let sample = self.shadow.as_ref().and_then(|shadow| shadow.sample(&rows, &self.served));
        let answer = self.served.lane.predict(rows, meta, grant).await?;
        if let Some(sample) = sample {
            sample.compare(&answer, grant);
        }
        Ok(answer)
    }
}

/// Something of a model's versions, or 404.
pub(super) fn find<T>(
    shared: &Shared,
    model: &str,
    choose: impl FnOnce(&Versions) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let none = "there is no such model; GET /v1/models lists what there is";
    let snapshot = shared.catalog.now();
    choose(snapshot.model(model).ok_or_else(|| Problem::new(ErrorCode::NotFound, none))?)
}

async fn answer<B: Shown, T>(
    shared: &Shared,
    route: &Route,
    admitted: Admitted,
    output: Option<&str>,
    body: Content<B>,
) -> Result<Answered<T>, Problem> {
    let mut ask = Ask::of(Purpose::Predict);
    if let Some(output) = output {
        ask.asked = kinds(output.split(','), route.served.manifest.task).map_err(|faults| {
            let fault = |(_, detail)| Fault { pointer: "output".to_owned(), detail };
            Problem::invalid(faults.into_iter().map(fault).collect())
        })?;
    }
    let most = shared.config.inference.max_rows;
    let reading = Reading { purpose: Purpose::Predict, ask, most, alone: B::ALONE };
    send(route, admitted, reading, body).await
}

async fn explain<B, T>(
    shared: &Shared,
    route: &Route,
    admitted: Admitted,
    top_k: Option<u32>,
    body: Content<B>,
) -> Result<Answered<T>, Problem> {
    let ask = Ask { top_k, ..Ask::of(Purpose::Explain) };
    let most = shared.config.inference.max_rows;
    let reading = Reading { purpose: Purpose::Explain, ask, most, alone: true };
    // It is much, and seldom.
    Box::pin(send(route, admitted, reading, body)).await
}

async fn send<B, T>(
    route: &Route,
    admitted: Admitted,
    reading: Reading,
    body: Content<B>,
) -> Result<Answered<T>, Problem> {
    let Content { form, bytes, wants, .. } = body;
    let served = &*route.served;
    let rows = rows::parse_form(&bytes, form, &served.signature, reading)?;
    let (many, asked) = (rows.many, rows.ask);
    if reading.purpose == Purpose::Explain {
        check_told(served, rows.count as usize, asked)?;
    }
    let answer = route.predict(rows, admitted.meta, &admitted.caller.grant).await?;
    let times = (answer.queued_us, answer.computed_us);
    match wants.form {
        Form::Json if many => Ok(Answered::json(served.template.many(&answer, asked), wants, times).await),
        Form::Json => Ok(Answered::json(served.template.one(&answer, asked), wants, times).await),
        Form::Csv | Form::Arrow => Answered::table(&served.template.frame(&answer, asked), wants, times).await,
    }
}

/// That an explanation is not too much to be told.
fn check_told(served: &Served, rows: usize, ask: Ask) -> Result<(), Problem> {
    let features = served.signature.columns();
    let told = ask.top_k.map_or(features, |top_k| features.min(top_k as usize));
    let most = MOST_TOLD / (told * served.manifest.margins()).max(1);
    if rows <= most {
        return Ok(());
    }
    let detail = format!("an explanation of {rows} rows is too large; ask for at most {most}, or give top_k");
    Err(Problem::new(ErrorCode::TooLarge, detail))
}
