//! Models and their versions.

use arborgate_bus::{Meta, StoreError};
use arborgate_contracts::inference::{Register, Registered, Remove};
use arborgate_contracts::name::NameError;
use arborgate_contracts::registry::{Feature, FeatureType, Manifest, Task, Unseen};
use arborgate_contracts::{ErrorCode, Fault, ModelName, Version};
use poem::{Request, RequestBody};
use poem_openapi::param::{Path, Query};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, Enum, ExtractParamOptions, Object, OpenApi};
use serde::Serialize;

use super::payload::{Gone, Made, Rendered, State};
use super::{Shared, Tag};
use crate::front::admitted::Admitted;
use crate::front::problem::Problem;
use crate::front::request_id;
use crate::models::catalog::{Served, Versions};
use crate::upload::Upload;

pub(super) struct Api(pub State);

/// What a model does.
#[derive(Enum, Serialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum TaskName {
    Classification,
    Regression,
    OutlierDetection,
}

/// What a feature takes.
#[derive(Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum FeatureTypeName {
    /// A number within the range of a 32-bit float.
    Number,
    /// A number within the range of a 64-bit float.
    Double,
    /// One of `categories`.
    Category,
    /// A category's number.
    Code,
    /// A category's text.
    Text,
}

/// What becomes of a category that is none of the feature's.
#[derive(Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum UnseenName {
    /// It is refused.
    Refused,
    /// It counts as missing.
    Missing,
    /// The model decides.
    Passed,
}

/// The categories of a feature.
#[derive(Object, Serialize)]
struct CategoriesView {
    /// A number, a text or a boolean each.
    values: Vec<serde_json::Value>,
    /// What becomes of others.
    unseen: UnseenName,
}

/// One column of the input.
#[derive(Object, Serialize)]
struct FeatureView {
    /// Its name.
    name: String,
    /// What it takes.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: FeatureTypeName,
    /// Whether `null` is a value.
    missing: bool,
    /// What a category may be; only of the type `category`.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    categories: Option<CategoriesView>,
}

impl FeatureView {
    fn of(feature: &Feature) -> Self {
        let kind = match feature.kind {
            FeatureType::Number => FeatureTypeName::Number,
            FeatureType::Double => FeatureTypeName::Double,
            FeatureType::Category => FeatureTypeName::Category,
            FeatureType::Code => FeatureTypeName::Code,
            FeatureType::Text => FeatureTypeName::Text,
        };
        let categories = (feature.kind == FeatureType::Category).then(|| CategoriesView {
            values: feature.categories.clone(),
            unseen: match feature.unseen {
                Unseen::Refused => UnseenName::Refused,
                Unseen::Missing => UnseenName::Missing,
                Unseen::Passed => UnseenName::Passed,
            },
        });
        Self { name: feature.name.clone(), kind, missing: feature.missing, categories }
    }
}

/// A class of a classifier.
#[derive(Object, Serialize)]
struct ClassView {
    /// As the model's file has it: `prediction` in answers.
    value: serde_json::Value,
    /// What a person calls it: `label` in answers.
    label: String,
}

/// A version of a model.
#[derive(Object, Serialize)]
struct VersionView {
    /// The model's name.
    model: String,
    /// The version.
    version: String,
    /// What it does.
    task: TaskName,
    /// What wrote the file.
    source: String,
    /// SHA-256 of the file.
    digest: String,
    /// Bytes of the file.
    size: u64,
    /// In the order of a positional row.
    features: Vec<FeatureView>,
    /// The classes of each output; empty for a regressor.
    classes: Vec<Vec<ClassView>>,
    /// How many outputs.
    outputs: u32,
    /// Trees.
    trees: u32,
    /// Nodes of all trees.
    nodes: u64,
    /// RFC 3339.
    created_at: String,
    /// Who.
    created_by: String,
}

/// A model.
#[derive(Object, Serialize)]
struct ModelView {
    /// Its name.
    name: String,
    /// Whether it answers `POST /predict`.
    default: bool,
    /// The version that answers when none is named: the one added last.
    current: String,
    /// All.
    versions: Vec<VersionView>,
}

impl VersionView {
    fn of(manifest: &Manifest) -> Self {
        let class =
            |c: &arborgate_contracts::registry::Class| ClassView { value: c.value.clone(), label: c.label.clone() };
        Self {
            model: manifest.model.to_string(),
            version: manifest.version.to_string(),
            task: match manifest.task {
                Task::Classification => TaskName::Classification,
                Task::Regression => TaskName::Regression,
                Task::OutlierDetection => TaskName::OutlierDetection,
            },
            source: manifest.source.clone(),
            digest: manifest.digest.clone(),
            size: manifest.size,
            features: manifest.features.iter().map(FeatureView::of).collect(),
            classes: manifest.classes.iter().map(|output| output.iter().map(class).collect()).collect(),
            outputs: manifest.outputs,
            trees: manifest.trees,
            nodes: manifest.nodes,
            created_at: manifest.created_at.clone(),
            created_by: manifest.created_by.clone(),
        }
    }
}

impl ModelView {
    fn of(name: &ModelName, versions: &Versions, default: Option<&ModelName>) -> Self {
        let version = |served: &std::sync::Arc<Served>| VersionView::of(&served.manifest);
        Self {
            name: name.to_string(),
            default: default == Some(name),
            current: versions.current().map_or_else(String::new, |served| served.manifest.version.to_string()),
            versions: versions.all().map(version).collect(),
        }
    }
}

/// The file's bytes, streamed.
struct File(Upload);

impl<'a> ApiExtractor<'a> for File {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "binary")));
        let content = vec![MetaMediaType { content_type: "application/octet-stream", schema }];
        Some(MetaRequest { description: Some("The model's file."), content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        crate::front::body::check_type(request.headers(), "application/octet-stream")?;
        Ok(Self(Upload::of(request, body)?))
    }
}

fn names(list: Option<String>) -> Vec<String> {
    list.map(|list| list.split(',').map(|name| name.trim().to_owned()).collect()).unwrap_or_default()
}

fn legal(model: &str, version: &str) -> Result<(ModelName, Version), Problem> {
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
        let snapshot = self.0.get()?.catalog.now();
        let default = snapshot.default_name();
        let models = snapshot.models();
        let views: Vec<_> = models.into_iter().map(|(name, versions)| ModelView::of(name, versions, default)).collect();
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
        let snapshot = self.0.get()?.catalog.now();
        let detail = "there is no such model; GET /v1/models lists what there is";
        let versions = snapshot.model(&model).ok_or_else(|| Problem::new(ErrorCode::NotFound, detail))?;
        let name = model.parse::<ModelName>().map_err(|_| Problem::new(ErrorCode::NotFound, detail))?;
        Rendered::of(&ModelView::of(&name, versions, snapshot.default_name()))
    }

    /// Add a version
    ///
    /// The same bytes again are no change; other bytes under an existing version are refused.
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
        /// Whether the model answers `POST /predict` from now on.
        #[oai(default)]
        default: Query<bool>,
        file: File,
    ) -> Result<Made<VersionView>, Problem> {
        let shared = self.0.get()?;
        let (model, version) = legal(&model, &version)?;
        let object = format!("{model}/{version}/{}", request_id::fresh());
        let stored = file.0.store(&shared.objects, &object).await?;
        let question = Register {
            model,
            version,
            object: object.clone(),
            digest: stored.digest,
            size: stored.size,
            features: names(features.0),
            classes: names(classes.0),
            default: default.0,
            created_by: admitted.caller.principal.to_string(),
        };
        let meta = Meta { trace: admitted.meta.trace, ..Meta::within(*shared.config.requests.upload_timeout) };
        let registered: Registered = match shared.inference.call(&question, None, meta).await {
            Ok(registered) => registered,
            Err(error) => {
                forget(shared, &object, &error).await;
                return Err(error.into());
            }
        };
        let rendered = Rendered::of(&VersionView::of(&registered.manifest))?;
        Ok(Made { rendered, created: registered.created })
    }

    /// Remove a version
    ///
    /// Requests under way are answered.
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
        shared.inference.call(&Remove { model, version }, None, admitted.meta).await?;
        Ok(Gone)
    }
}

/// A worker deletes what it refused; what no worker ever saw is deleted here. Where nobody knows, it stays.
async fn forget(shared: &Shared, object: &str, error: &arborgate_bus::CallError) {
    use arborgate_bus::{CallError, RequestError};
    let never_seen = matches!(
        error,
        CallError::Unreached { source: RequestError::NoResponders { .. } | RequestError::Full { .. }, .. }
    );
    if never_seen && let Err(error) = shared.objects.delete(object).await {
        let error: StoreError = error;
        tracing::warn!(%error, "an upload that nobody took could not be deleted");
    }
}
