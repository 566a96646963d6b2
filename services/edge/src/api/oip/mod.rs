//! The Open Inference Protocol (V2) and KServe's V1 `:predict`, over HTTP. What they do is in `crate::protocol`, for gRPC as
//! well; here is what is HTTP about it, and the document.

mod body;
mod length;
mod schemas;
mod shown;

use std::time::Instant;

use bytes::Bytes;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path};

use self::body::{IndexBody, InferBody, Inferred, LoadBody};
use self::length::JsonBytes;
use self::schemas::{Instances, Predictions};
use self::shown::{Health, IndexedView, ModelMetadataView, ModelNames, ModelReady, ServerMetadataView, StatisticsView};
use super::payload::{RawJson, Rendered, State};
use super::{Shared, Tag};
use crate::front::admitted::Admitted;
use crate::front::problem::Problem;
use crate::models::ask::{Ask, Purpose};
use crate::models::rows::{self, Reading};
use crate::models::tensors::{Document, Framing, written};
use crate::protocol::{self, Named};
use arborgate_contracts::ErrorCode;

pub(super) struct Api(pub State);

#[OpenApi(tag = "Tag::OpenInference")]
impl Api {
    /// Which server is it?
    #[oai(path = "/v2", method = "get", operation_id = "server_metadata")]
    async fn server(&self) -> Result<Rendered<ServerMetadataView>, Problem> {
        Rendered::of(&ServerMetadataView::new())
    }

    /// Does it live?
    #[oai(path = "/v2/health/live", method = "get", operation_id = "server_live")]
    async fn live(&self) -> Result<Rendered<Health>, Problem> {
        Rendered::of(&Health::live())
    }

    /// Is it ready?
    #[oai(path = "/v2/health/ready", method = "get", operation_id = "server_ready")]
    async fn ready(&self) -> Result<Rendered<Health>, Problem> {
        if self.0.get()?.health.is_ready() {
            return Rendered::of(&Health::ready());
        }
        Err(Problem { retry_after_ms: Some(1000), ..Problem::new(ErrorCode::Unavailable, "the server is not ready") })
    }

    /// Which models are there?
    #[oai(path = "/v2/models", method = "get", operation_id = "list_model_names")]
    async fn models(&self, _admitted: Admitted) -> Result<Rendered<ModelNames>, Problem> {
        let snapshot = self.0.get()?.catalog.now();
        Rendered::of(&ModelNames { models: snapshot.models().keys().map(ToString::to_string).collect() })
    }

    /// What has been asked of every version?
    ///
    /// Of this server since it knows them; a cluster has several.
    #[oai(path = "/v2/models/stats", method = "get", operation_id = "all_statistics")]
    async fn all_statistics(&self, _admitted: Admitted) -> Result<Rendered<StatisticsView>, Problem> {
        Rendered::of(&StatisticsView::of(&protocol::statistics(self.0.get()?, None)?))
    }

    /// What does a model take and give?
    #[oai(path = "/v2/models/:model", method = "get", operation_id = "model_metadata")]
    async fn metadata(
        &self,
        _admitted: Admitted,
        /// The model's name.
        model: Path<String>,
    ) -> Result<Rendered<ModelMetadataView>, Problem> {
        Rendered::of(&ModelMetadataView::of(protocol::metadata(self.0.get()?, Named::model(&model))?))
    }

    /// What does a version take and give?
    #[oai(path = "/v2/models/:model/versions/:version", method = "get", operation_id = "version_metadata")]
    async fn version_metadata(
        &self,
        _admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        /// The version.
        version: Path<String>,
    ) -> Result<Rendered<ModelMetadataView>, Problem> {
        Rendered::of(&ModelMetadataView::of(protocol::metadata(self.0.get()?, Named::version(&model, &version))?))
    }

    /// Is a model ready?
    #[oai(path = "/v2/models/:model/ready", method = "get", operation_id = "model_ready")]
    async fn model_ready(
        &self,
        _admitted: Admitted,
        /// The model's name.
        model: Path<String>,
    ) -> Result<Rendered<ModelReady>, Problem> {
        Rendered::of(&ModelReady::of(protocol::ready(self.0.get()?, Named::model(&model))?))
    }

    /// Is a version ready?
    #[oai(path = "/v2/models/:model/versions/:version/ready", method = "get", operation_id = "version_ready")]
    async fn version_ready(
        &self,
        _admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        /// The version.
        version: Path<String>,
    ) -> Result<Rendered<ModelReady>, Problem> {
        Rendered::of(&ModelReady::of(protocol::ready(self.0.get()?, Named::version(&model, &version))?))
    }

    /// What has been asked of a model?
    #[oai(path = "/v2/models/:model/stats", method = "get", operation_id = "model_statistics")]
    async fn model_statistics(
        &self,
        _admitted: Admitted,
        /// The model's name.
        model: Path<String>,
    ) -> Result<Rendered<StatisticsView>, Problem> {
        Rendered::of(&StatisticsView::of(&protocol::statistics(self.0.get()?, Some(Named::model(&model)))?))
    }

    /// What has been asked of a version?
    #[oai(path = "/v2/models/:model/versions/:version/stats", method = "get", operation_id = "version_statistics")]
    async fn version_statistics(
        &self,
        _admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        /// The version.
        version: Path<String>,
    ) -> Result<Rendered<StatisticsView>, Problem> {
        let named = Named::version(&model, &version);
        Rendered::of(&StatisticsView::of(&protocol::statistics(self.0.get()?, Some(named))?))
    }

    /// Ask a model, by tensors
    #[oai(path = "/v2/models/:model/infer", method = "post", operation_id = "infer_model")]
    async fn infer_model(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        /// Bytes of the JSON, where buffers follow it; 0: all of the body is the only input's buffer.
        #[oai(name = "Inference-Header-Content-Length")]
        json: Header<Option<JsonBytes>>,
        body: InferBody,
    ) -> Result<Inferred, Problem> {
        infer(self.0.get()?, Named::model(&model), admitted, json.0.map(|json| json.0), body).await
    }

    /// Ask a version of a model, by tensors
    #[oai(path = "/v2/models/:model/versions/:version/infer", method = "post", operation_id = "infer_version")]
    async fn infer_version(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        /// The version.
        version: Path<String>,
        /// Bytes of the JSON, where buffers follow it; 0: all of the body is the only input's buffer.
        #[oai(name = "Inference-Header-Content-Length")]
        json: Header<Option<JsonBytes>>,
        body: InferBody,
    ) -> Result<Inferred, Problem> {
        infer(self.0.get()?, Named::version(&model, &version), admitted, json.0.map(|json| json.0), body).await
    }

    /// Which versions are there, and are they ready?
    #[oai(path = "/v2/repository/index", method = "post", operation_id = "repository_index")]
    async fn index(&self, _admitted: Admitted, body: IndexBody) -> Result<Rendered<Vec<IndexedView>>, Problem> {
        let indexed = protocol::index(self.0.get()?, body.ready);
        Rendered::of(&indexed.into_iter().map(IndexedView::of).collect::<Vec<_>>())
    }

    /// Load a model
    ///
    /// Workers hold its versions again that were unloaded; answers when they do.
    #[oai(path = "/v2/repository/models/:model/load", method = "post", operation_id = "load_model")]
    async fn load(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        _body: LoadBody,
    ) -> Result<Rendered<Vec<IndexedView>>, Problem> {
        let shared = self.0.get()?;
        protocol::load(shared, &model, &admitted.caller).await?;
        Rendered::of(&index_of(shared, &model))
    }

    /// Unload a model
    ///
    /// Workers let all its versions go when what is under way is answered; their files stay.
    #[oai(path = "/v2/repository/models/:model/unload", method = "post", operation_id = "unload_model")]
    async fn unload(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        _body: LoadBody,
    ) -> Result<Rendered<Vec<IndexedView>>, Problem> {
        let shared = self.0.get()?;
        protocol::unload(shared, &model, &admitted.caller).await?;
        Rendered::of(&index_of(shared, &model))
    }

    /// Ask a model, as V1 has it
    #[oai(path = "/v1/models/:model/instances", method = "post", operation_id = "predict_instances")]
    async fn instances(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        body: RawJson<Instances>,
    ) -> Result<Rendered<Predictions>, Problem> {
        let shared = self.0.get()?;
        let route = protocol::route(shared, Named::model(&model), admitted.who())?;
        let served = &route.served;
        let reading = Reading {
            purpose: Purpose::Instances,
            ask: Ask::of(Purpose::Instances),
            most: shared.config.inference.max_rows,
            alone: true,
        };
        let rows = rows::parse(&body.bytes, &served.signature, reading)?;
        let answer = route.predict(rows, admitted.meta, &admitted.caller.grant).await?;
        Ok(Rendered::new(served.template.instances(&answer)))
    }
}

/// The versions of a model.
fn index_of(shared: &Shared, model: &str) -> Vec<IndexedView> {
    protocol::index(shared, false).into_iter().filter(|of| of.name == model).map(IndexedView::of).collect()
}

async fn infer(
    shared: &Shared,
    named: Named<'_>,
    admitted: Admitted,
    json: Option<u32>,
    body: InferBody,
) -> Result<Inferred, Problem> {
    let route = protocol::route(shared, named, admitted.who())?;
    let served = &*route.served;
    let begun = Instant::now();
    let most = shared.config.inference.max_rows;
    let prepared = match json {
        Some(0) => protocol::prepare_raw(served, &body.bytes, most),
        json => prepare(served, &body.bytes, json, most),
    };
    let prepared = prepared.inspect_err(|_| served.lane.statistics().failed(begun.elapsed()))?;
    served.lane.statistics().input(begun.elapsed());
    let protocol::Prepared { rows, plan, id, timeout } = prepared;
    let meta = protocol::within(admitted.meta, timeout);
    let answer = route.predict(rows, meta, &admitted.caller.grant).await?;
    let begun = Instant::now();
    let manifest = &served.manifest;
    let tensors = served.tensors.tensors(&plan, &answer);
    let whole = written(manifest.model.as_str(), manifest.version.as_str(), id.as_deref(), &tensors);
    served.lane.statistics().output(begun.elapsed());
    Ok(Inferred::new(Bytes::from(whole.body), whole.json, body.coding, (answer.queued_us, answer.computed_us)).await)
}

fn prepare(
    served: &crate::models::catalog::Served,
    body: &Bytes,
    json: Option<u32>,
    most: u32,
) -> Result<protocol::Prepared, Problem> {
    let framing = json.map_or(Framing::Json, |len| Framing::Binary(len as usize));
    let document = Document::new(body, framing)?;
    let read = document.read()?;
    protocol::prepare(served, &read.inputs, &read.parameters, read.outputs.as_deref(), read.id.clone(), most)
}
