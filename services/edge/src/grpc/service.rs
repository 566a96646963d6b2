//! The calls. Who may and how often was decided before, in `crate::front`, as for the operations over HTTP.

use std::sync::Arc;
use std::time::Instant;

use tonic::{Request, Response, Status};

use super::messages;
use super::proto::grpc_inference_service_server::GrpcInferenceService;
use super::proto::repository_index_response::ModelIndex;
use super::proto::{
    InferStatistics, ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse,
    ModelReadyRequest, ModelReadyResponse, ModelStatistics, ModelStatisticsRequest, ModelStatisticsResponse,
    RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelLoadResponse,
    RepositoryModelUnloadRequest, RepositoryModelUnloadResponse, ServerLiveRequest, ServerLiveResponse,
    ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse, StatisticDuration,
};
use crate::api::Shared;
use crate::front::admitted::Anybody;
use crate::front::problem::Problem;
use crate::identity::Caller;
use crate::models::statistics::Counted;
use crate::models::traffic::Who;
use crate::protocol::{self, EXTENSIONS, NAME, Named, PLATFORM};
use arborgate_contracts::{ErrorCode, ServiceError};

/// What the calls share.
#[derive(Clone)]
pub(super) struct Service(Arc<Shared>);

impl Service {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }
}

type Answer<T> = Result<Response<T>, Status>;

/// An empty version is none.
fn named<'a>(model: &'a str, version: &'a str) -> Named<'a> {
    if version.is_empty() { Named::model(model) } else { Named::version(model, version) }
}

/// Who makes a call that needs a permission.
fn caller<T>(request: &Request<T>) -> Result<Arc<Caller>, Status> {
    let caller = request.extensions().get::<Anybody>().and_then(|anybody| anybody.caller.clone());
    caller.ok_or_else(|| Problem::from(ServiceError::internal()).into())
}

fn duration(counted: Counted) -> Option<StatisticDuration> {
    Some(StatisticDuration { count: counted.count, ns: counted.ns })
}

fn counted(of: protocol::Counted) -> ModelStatistics {
    let totals = of.totals;
    let inference_stats = InferStatistics {
        success: duration(totals.success),
        fail: duration(totals.fail),
        queue: duration(totals.queue),
        compute_input: duration(totals.compute_input),
        compute_infer: duration(totals.compute_infer),
        compute_output: duration(totals.compute_output),
        ..InferStatistics::default()
    };
    ModelStatistics {
        name: of.name,
        version: of.version,
        last_inference: totals.last_ms,
        inference_count: totals.rows,
        execution_count: totals.executions,
        inference_stats: Some(inference_stats),
        ..ModelStatistics::default()
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for Service {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Answer<ServerLiveResponse> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Answer<ServerReadyResponse> {
        Ok(Response::new(ServerReadyResponse { ready: self.0.health.is_ready() }))
    }

    async fn server_metadata(&self, _: Request<ServerMetadataRequest>) -> Answer<ServerMetadataResponse> {
        Ok(Response::new(ServerMetadataResponse {
            name: NAME.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: EXTENSIONS.map(str::to_owned).to_vec(),
        }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Answer<ModelReadyResponse> {
        let ModelReadyRequest { name, version } = request.into_inner();
        match protocol::ready(&self.0, named(&name, &version)) {
            Ok(_) => Ok(Response::new(ModelReadyResponse { ready: true })),
            Err(problem) if problem.code == ErrorCode::Unavailable => {
                Ok(Response::new(ModelReadyResponse { ready: false }))
            }
            Err(problem) => Err(problem.into()),
        }
    }

    async fn model_metadata(&self, request: Request<ModelMetadataRequest>) -> Answer<ModelMetadataResponse> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        let metadata = protocol::metadata(&self.0, named(&name, &version)).map_err(Status::from)?;
        Ok(Response::new(ModelMetadataResponse {
            name: metadata.name,
            versions: metadata.versions,
            platform: PLATFORM.to_owned(),
            inputs: metadata.inputs.into_iter().map(messages::described).collect(),
            outputs: metadata.outputs.into_iter().map(messages::described).collect(),
        }))
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Answer<ModelInferResponse> {
        let anybody = request.extensions().get::<Anybody>().cloned();
        let caller = anybody.as_ref().and_then(|anybody| anybody.caller.clone());
        let (Some(anybody), Some(caller)) = (anybody, caller) else {
            return Err(Problem::from(ServiceError::internal()).into());
        };
        let message = request.into_inner();
        let who = Who { principal: &caller.grant, headers: &anybody.sticky };
        let named = named(&message.model_name, &message.model_version);
        let route = protocol::route(&self.0, named, who).map_err(Status::from)?;
        let served = &*route.served;
        let begun = Instant::now();
        let prepared = messages::read(&message).and_then(|read| {
            let most = self.0.config.inference.max_rows;
            protocol::prepare(served, &read.inputs, &read.parameters, Some(&read.outputs), None, most)
        });
        let prepared =
            prepared.inspect_err(|_| served.lane.statistics().failed(begun.elapsed())).map_err(Status::from)?;
        served.lane.statistics().input(begun.elapsed());
        let protocol::Prepared { rows, plan, timeout, .. } = prepared;
        let meta = protocol::within(anybody.meta, timeout);
        let answer = route.predict(rows, meta, &caller.grant).await;
        let answer = answer.map_err(|error| Status::from(Problem::from(error)))?;
        let begun = Instant::now();
        let tensors = served.tensors.tensors(&plan, &answer);
        let manifest = &served.manifest;
        let whole = messages::write(manifest.model.as_str(), manifest.version.as_str(), message.id, &tensors);
        served.lane.statistics().output(begun.elapsed());
        Ok(Response::new(whole))
    }

    async fn model_statistics(&self, request: Request<ModelStatisticsRequest>) -> Answer<ModelStatisticsResponse> {
        let ModelStatisticsRequest { name, version } = request.into_inner();
        let of = (!name.is_empty()).then(|| named(&name, &version));
        let all = protocol::statistics(&self.0, of).map_err(Status::from)?;
        Ok(Response::new(ModelStatisticsResponse { model_stats: all.into_iter().map(counted).collect() }))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Answer<RepositoryModelLoadResponse> {
        let caller = caller(&request)?;
        let message = request.into_inner();
        if let Some(name) = message.parameters.keys().next() {
            return Err(protocol::no_override(&format!("/parameters/{name}")).into());
        }
        protocol::load(&self.0, &message.model_name, &caller).await.map_err(Status::from)?;
        Ok(Response::new(RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Answer<RepositoryModelUnloadResponse> {
        let caller = caller(&request)?;
        protocol::unload(&self.0, &request.into_inner().model_name, &caller).await.map_err(Status::from)?;
        Ok(Response::new(RepositoryModelUnloadResponse {}))
    }

    async fn repository_index(&self, request: Request<RepositoryIndexRequest>) -> Answer<RepositoryIndexResponse> {
        let index = |of: protocol::Indexed| ModelIndex {
            name: of.name,
            version: of.version,
            state: of.state.to_owned(),
            reason: of.reason.to_owned(),
        };
        let models = protocol::index(&self.0, request.into_inner().ready).into_iter().map(index).collect();
        Ok(Response::new(RepositoryIndexResponse { models }))
    }
}
