//! Models and their versions: listed, shown, added, removed.

mod upload;
mod view;

use std::time::Duration;

use arborgate_bus::{CallError, Meta, RequestError};
use arborgate_contracts::inference::{Change, ChangeRollout, Register, Registered, Remove};
use arborgate_contracts::name::NameError;
use arborgate_contracts::signature::{GivenFeatures, GivenSignature};
use arborgate_contracts::{ErrorCode, Fault, ModelName, Version};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use super::payload::{Gone, Made, Rendered, State};
use super::{Shared, Tag};
use crate::front::admitted::Admitted;
use crate::front::problem::Problem;
use crate::front::request_id;
use crate::models::held;
use upload::Artifact;
pub(crate) use view::{ModelView, VersionView};

/// How long a version that was added is waited for until a worker holds it.
const HELD_WITHIN: Duration = Duration::from_secs(15);

pub(in crate::api) struct Api(pub State);

fn names(list: Option<String>) -> Vec<String> {
    list.map(|list| list.split(',').map(|name| name.trim().to_owned()).collect()).unwrap_or_default()
}

/// Names in a path.
pub(super) fn legal(model: &str, version: &str) -> Result<(ModelName, Version), Problem> {
    let fault = |pointer: &str, error: NameError| Fault { pointer: pointer.to_owned(), detail: error.to_string() };
    match (model.parse::<ModelName>(), version.parse::<Version>()) {
        (Ok(model), Ok(version)) => Ok((model, version)),
        (model, version) => {
            let faults =
                model.err().map(|e| fault("model", e)).into_iter().chain(version.err().map(|e| fault("version", e)));
            Err(Problem::invalid(faults.collect()))
        }
    }
}

#[OpenApi(tag = "Tag::Models")]
impl Api {
    /// List models
    #[oai(path = "/v1/models", method = "get", operation_id = "list_models")]
    async fn list(&self, _admitted: Admitted) -> Result<Rendered<Vec<ModelView>>, Problem> {
        let catalog = &self.0.get()?.catalog;
        let snapshot = catalog.now();
        let default = snapshot.default_name();
        let models = snapshot.models().into_iter();
        let views: Vec<_> = models.map(|(name, versions)| ModelView::of(name, versions, default, catalog)).collect();
        Rendered::of(&views)
    }

    /// See a model
    #[oai(path = "/v1/models/:model", method = "get", operation_id = "get_model")]
    async fn get(
        &self,
        _admitted: Admitted,
        /// The model's name.
        model: Path<String>,
    ) -> Result<Rendered<ModelView>, Problem> {
        let catalog = &self.0.get()?.catalog;
        let snapshot = catalog.now();
        let detail = "there is no such model; GET /v1/models lists what there is";
        let versions = snapshot.model(&model).ok_or_else(|| Problem::new(ErrorCode::NotFound, detail))?;
        let name = model.parse::<ModelName>().map_err(|_| Problem::new(ErrorCode::NotFound, detail))?;
        Rendered::of(&ModelView::of(&name, versions, snapshot.default_name(), catalog))
    }

    /// Add a version
    ///
    /// The same bytes again are no change; other bytes under an existing version are refused. Answers when a worker holds
    /// it. It answers for its model from now on, unless another version was promoted, or `promote` is false. What no worker
    /// can hold is added, and not promoted: 503 says why.
    #[oai(path = "/v1/models/:model/versions/:version", method = "put", operation_id = "put_model_version")]
    #[allow(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn put(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        /// The version.
        version: Path<String>,
        /// Names of the features in the file's order, by commas; absent: the file's own, or x0, x1, ….
        features: Query<Option<String>>,
        /// What a person calls the classes in the file's order, by commas; absent: the file's own.
        classes: Query<Option<String>>,
        /// Whether the version answers for its model from now on; absent: unless another was promoted.
        promote: Query<Option<bool>>,
        /// Whether the model answers `POST /predict` from now on.
        #[oai(default)]
        default: Query<bool>,
        artifact: Artifact,
    ) -> Result<Made<VersionView>, Problem> {
        let shared = self.0.get()?;
        let (model, version) = legal(&model, &version)?;
        let (features, classes) = (names(features.0), names(classes.0));
        let in_query = [("features", !features.is_empty()), ("classes", !classes.is_empty())];
        let signature = signature(artifact.signature.clone(), features, classes)?;
        let provenance = artifact.provenance.clone();
        let object = format!("{model}/{version}/{}", request_id::fresh());
        let stored = artifact.store(&shared.objects, &object).await?;
        let question = Register {
            model: model.clone(),
            version: version.clone(),
            object,
            digest: stored.digest,
            size: stored.size,
            signature,
            provenance,
            held_back: promote.0.is_some(),
            default: default.0,
            created_by: admitted.caller.principal.to_string(),
        };
        let meta = admitted.within(*shared.config.requests.upload_timeout);
        let registered = register(shared, &question, meta).await.map_err(|problem| placed(problem, in_query))?;
        let is_held = shared.catalog.held(&model, &version, HELD_WITHIN).await;
        if promote.0 == Some(true) {
            // It was waited for; sent again, nothing is done but this.
            held::now(&shared.catalog, &model, &version).await?;
            let change = Change::Promote(version.clone());
            let question = ChangeRollout { model: model.clone(), change, changed_by: question.created_by };
            shared.inference.call(&question, None, meta).await?;
        }
        let snapshot = shared.catalog.now();
        let versions = snapshot.model(model.as_str()).filter(|_| is_held);
        let known = versions.and_then(|all| Some(VersionView::of(all.get(version.as_str())?, all.rollout())));
        let view = known.unwrap_or_else(|| VersionView::fresh(&registered.manifest));
        Ok(Made { rendered: Rendered::of(&view)?, created: registered.created })
    }

    /// Remove a version
    ///
    /// Requests under way are answered. A version that has a part of the model's traffic is not removed while there are
    /// others: it is current, has a share, or is the shadow.
    #[oai(path = "/v1/models/:model/versions/:version", method = "delete", operation_id = "delete_model_version")]
    async fn delete(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        /// The version.
        version: Path<String>,
    ) -> Result<Gone, Problem> {
        let shared = self.0.get()?;
        let (model, version) = legal(&model, &version)?;
        held::successor(&shared.catalog, &model, &version).await?;
        let meta = admitted.within(*shared.config.requests.timeout);
        shared.inference.call(&Remove { model, version }, None, meta).await?;
        Ok(Gone)
    }
}

/// What is said of the model, in one way or the other.
fn signature(given: GivenSignature, features: Vec<String>, classes: Vec<String>) -> Result<GivenSignature, Problem> {
    let mut faults = Vec::new();
    let mut twice = |name: &str, is_twice: bool| {
        if is_twice {
            let detail = "is given in the query and in the signature; give it once".to_owned();
            faults.push(Fault { pointer: name.to_owned(), detail });
        }
    };
    twice("features", !features.is_empty() && !given.features.is_empty());
    twice("classes", !classes.is_empty() && !given.classes.is_empty());
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    let named = if features.is_empty() { given.features } else { GivenFeatures::named(features) };
    let classes = if classes.is_empty() { given.classes } else { classes };
    Ok(GivenSignature { features: named, classes, ..given })
}

/// Faults of the signature as the request has it: in the form's part, but for what the query says.
fn placed(problem: Problem, in_query: [(&str, bool); 2]) -> Problem {
    if problem.faults.is_empty() {
        return problem;
    }
    let place = |fault: Fault| {
        let member = fault.pointer.split('/').next().unwrap_or_default();
        let asked = in_query.iter().any(|(name, is_in)| *is_in && *name == member);
        Fault { pointer: if asked { fault.pointer } else { format!("signature/{}", fault.pointer) }, ..fault }
    };
    Problem::invalid(problem.faults.into_iter().map(place).collect())
}

/// An upload becomes a version. A worker deletes what it refused; what no worker ever saw is deleted here. Where nobody knows,
/// it stays.
async fn register(shared: &Shared, question: &Register, meta: Meta) -> Result<Registered, Problem> {
    let error = match shared.inference.call(question, None, meta).await {
        Ok(registered) => return Ok(registered),
        Err(error) => error,
    };
    let never_seen = matches!(
        error,
        CallError::Unreached { source: RequestError::NoResponders { .. } | RequestError::Full { .. }, .. }
    );
    if never_seen && let Err(error) = shared.objects.delete(&question.object).await {
        tracing::warn!(%error, "an upload that nobody took could not be deleted");
    }
    Err(error.into())
}
