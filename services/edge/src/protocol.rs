//! What the Open Inference Protocol asks, whichever way it comes: over HTTP (`api::oip`) or gRPC (`grpc`).

use std::sync::Arc;
use std::time::Duration;

use arborgate_bus::Meta;
use arborgate_contracts::inference::{Change, ChangeRollout};
use arborgate_contracts::{ErrorCode, Fault, ModelName, Version};

use crate::api::{Route, Shared};
use crate::front::problem::Problem;
use crate::identity::Caller;
use crate::models::ask::{Ask, Purpose};
use crate::models::catalog::{Served, Versions};
use crate::models::held;
use crate::models::rows::{Reading, Rows, from_tensors};
use crate::models::statistics::Totals;
use crate::models::tensors::{Described, Elements, Faults, Parameters, Plan, Requested, Tensor};
use crate::models::traffic::Who;

/// The server's name in metadata.
pub(crate) const NAME: &str = "arborgate";
/// What runs the models.
pub(crate) const PLATFORM: &str = "arborgate_forest";
/// The protocol's extensions that it has.
pub(crate) const EXTENSIONS: [&str; 4] = ["binary_tensor_data", "classification", "statistics", "model_repository"];

/// A model, or one of its versions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    model: &'a str,
    version: Option<&'a str>,
}

impl<'a> Named<'a> {
    /// Whichever version answers.
    pub(crate) fn model(model: &'a str) -> Self {
        Self { model, version: None }
    }

    /// That one.
    pub(crate) fn version(model: &'a str, version: &'a str) -> Self {
        Self { model, version: Some(version) }
    }
}

/// Where a caller's rows go; 404 if there is no such model or version.
pub(crate) fn route(shared: &Shared, named: Named<'_>, who: Who<'_>) -> Result<Route, Problem> {
    let snapshot = shared.catalog.now();
    let versions = snapshot.model(named.model).ok_or_else(no_model)?;
    match named.version {
        None => Route::of(versions, who),
        Some(version) => Route::to(versions, version),
    }
}

fn no_model() -> Problem {
    Problem::new(ErrorCode::NotFound, "there is no such model; GET /v2/models lists what there is")
}

/// The version that is told of: the current one where none is named; 404 if there is none.
pub(crate) fn find(shared: &Shared, named: Named<'_>) -> Result<Arc<Served>, Problem> {
    let snapshot = shared.catalog.now();
    let unknown = |detail| Problem::new(ErrorCode::NotFound, detail);
    let versions = snapshot.model(named.model).ok_or_else(no_model)?;
    let served = match named.version {
        // Also a model of which every version is unloaded is told of.
        None => versions.current().or_else(|| versions.all().last()).cloned(),
        Some(version) => versions.get(version).cloned(),
    };
    served.ok_or_else(|| unknown("this model has no such version; GET /v2/models/{model} lists them"))
}

/// The version, if a worker holds it; else 503.
pub(crate) fn ready(shared: &Shared, named: Named<'_>) -> Result<Arc<Served>, Problem> {
    let served = find(shared, named)?;
    let snapshot = shared.catalog.now();
    let versions = snapshot.model(named.model).ok_or_else(no_model)?;
    if indexed(versions, &served).state == "READY" {
        return Ok(served);
    }
    let detail = "no worker holds this model yet; try again shortly";
    Err(Problem { retry_after_ms: Some(1000), ..Problem::new(ErrorCode::Unavailable, detail) })
}

/// What a version takes and gives.
pub(crate) struct Metadata {
    /// The model's name.
    pub(crate) name: String,
    /// All of the model.
    pub(crate) versions: Vec<String>,
    /// What it takes.
    pub(crate) inputs: Vec<Described>,
    /// What it gives.
    pub(crate) outputs: Vec<Described>,
}

/// What a version takes and gives.
pub(crate) fn metadata(shared: &Shared, named: Named<'_>) -> Result<Metadata, Problem> {
    let served = find(shared, named)?;
    let snapshot = shared.catalog.now();
    let versions = snapshot.model(named.model).into_iter().flat_map(|versions| versions.all());
    Ok(Metadata {
        name: served.manifest.model.to_string(),
        versions: versions.map(|served| served.manifest.version.to_string()).collect(),
        inputs: served.tensors.inputs().to_vec(),
        outputs: served.tensors.described(),
    })
}

/// What was asked of a version.
pub(crate) struct Counted {
    /// The model's name.
    pub(crate) name: String,
    /// The version.
    pub(crate) version: String,
    /// What was asked.
    pub(crate) totals: Totals,
}

/// What was asked of a version, of all of a model's, or of all.
pub(crate) fn statistics(shared: &Shared, named: Option<Named<'_>>) -> Result<Vec<Counted>, Problem> {
    let snapshot = shared.catalog.now();
    let served: Vec<Arc<Served>> = match named {
        None => snapshot.models().into_values().flat_map(|versions| versions.all()).cloned().collect(),
        Some(named @ Named { version: None, .. }) => {
            find(shared, named)?;
            snapshot.model(named.model).into_iter().flat_map(|versions| versions.all()).cloned().collect()
        }
        Some(named) => vec![find(shared, named)?],
    };
    let counted = |served: Arc<Served>| Counted {
        name: served.manifest.model.to_string(),
        version: served.manifest.version.to_string(),
        totals: served.lane.statistics().totals(),
    };
    Ok(served.into_iter().map(counted).collect())
}

/// A version as the repository's index has it.
pub(crate) struct Indexed {
    /// The model's name.
    pub(crate) name: String,
    /// The version.
    pub(crate) version: String,
    /// `READY` or `UNAVAILABLE`.
    pub(crate) state: &'static str,
    /// Why it is not ready.
    pub(crate) reason: String,
}

/// All versions, or those that are ready.
pub(crate) fn index(shared: &Shared, ready: bool) -> Vec<Indexed> {
    let snapshot = shared.catalog.now();
    let all = snapshot.models().into_values().flat_map(|versions| versions.all().map(move |of| indexed(versions, of)));
    all.filter(|indexed| !ready || indexed.state == "READY").collect()
}

fn indexed(versions: &Versions, served: &Served) -> Indexed {
    let out = versions.rollout().and_then(|rollout| rollout.unloaded.get(&served.manifest.version));
    let reason = match out {
        Some(out) => format!("unloaded: {}", out.reason),
        None if served.lane.workers().count() > 0 => String::new(),
        None => "no worker holds it".to_owned(),
    };
    Indexed {
        name: served.manifest.model.to_string(),
        version: served.manifest.version.to_string(),
        state: if reason.is_empty() { "READY" } else { "UNAVAILABLE" },
        reason,
    }
}

/// The name of a model that there is.
fn known(shared: &Shared, model: &str) -> Result<ModelName, Problem> {
    let name = model.parse().map_err(|_| no_model())?;
    shared.catalog.now().model(model).map(|_| name).ok_or_else(no_model)
}

async fn change(shared: &Shared, model: &ModelName, change: Change, caller: &Caller) -> Result<(), Problem> {
    let question = ChangeRollout { model: model.clone(), change, changed_by: caller.principal.to_string() };
    shared.inference.call(&question, None, Meta::within(*shared.config.requests.timeout)).await?;
    Ok(())
}

/// Workers hold all versions of a model again; answers when they do.
pub(crate) async fn load(shared: &Shared, model: &str, caller: &Caller) -> Result<(), Problem> {
    let name = known(shared, model)?;
    change(shared, &name, Change::LoadAll, caller).await?;
    let snapshot = shared.catalog.now();
    let versions = snapshot.model(model).into_iter().flat_map(|versions| versions.all());
    let versions: Vec<Version> = versions.map(|served| served.manifest.version.clone()).collect();
    held::again(&shared.catalog, &name, &versions).await
}

/// Workers let all versions of a model go; their files stay.
pub(crate) async fn unload(shared: &Shared, model: &str, caller: &Caller) -> Result<(), Problem> {
    let name = known(shared, model)?;
    change(shared, &name, Change::UnloadAll("by the repository's unload".to_owned()), caller).await
}

/// A request to load that brings a configuration or files of its own.
pub(crate) fn no_override(pointer: &str) -> Problem {
    let detail = "is not offered: a version is added by PUT /v1/models/{model}/versions/{version}".to_owned();
    Problem::invalid(vec![Fault { pointer: pointer.to_owned(), detail }])
}

/// A request, read and checked.
pub(crate) struct Prepared {
    /// What is predicted.
    pub(crate) rows: Rows,
    /// What is answered.
    pub(crate) plan: Plan,
    /// It comes back in the answer.
    pub(crate) id: Option<String>,
    /// As long as the client waits.
    pub(crate) timeout: Option<Duration>,
}

/// Reads and checks a request.
pub(crate) fn prepare(
    served: &Served,
    inputs: &[Tensor<'_>],
    parameters: &Parameters,
    outputs: Option<&[Requested]>,
    id: Option<String>,
    most: u32,
) -> Result<Prepared, Problem> {
    let mut faults = Faults::default();
    let plan = served.tensors.plan(outputs, parameters, &mut faults);
    let ask = Ask { asked: plan.asked, top_k: None };
    let reading = Reading { purpose: Purpose::Predict, ask, most, alone: true };
    let content_type = parameters.content_type.as_deref();
    let rows = from_tensors(inputs, content_type, &served.signature, reading, &mut faults);
    let (Some(rows), true) = (rows, faults.is_empty()) else { return Err(faults.problem()) };
    // 0 is what clients send for none.
    let timeout = parameters.timeout.filter(|timeout| *timeout > 0).map(Duration::from_micros);
    Ok(Prepared { rows, plan, id, timeout })
}

/// The same of a body that is the only input's buffer and nothing else; all outputs go in binary.
pub(crate) fn prepare_raw(served: &Served, body: &[u8], most: u32) -> Result<Prepared, Problem> {
    let [input] = served.tensors.inputs() else {
        let detail =
            "this model has more than one input, so that a body has to say which; send JSON before the buffers";
        return Err(Problem::new(ErrorCode::Invalid, detail));
    };
    let mut shape: Vec<u64> = input.shape.iter().map(|of| u64::try_from(*of).unwrap_or(1)).collect();
    let row = shape.iter().product::<u64>() * input.datatype.size().unwrap_or(1) as u64;
    let bytes = body.len() as u64;
    if row == 0 || input.datatype.size().is_none() || bytes == 0 || !bytes.is_multiple_of(row) {
        let detail = format!("the body has {bytes} bytes; a row of {} takes {row}", input.datatype.name());
        return Err(Problem::new(ErrorCode::Invalid, detail));
    }
    if let Some(first) = shape.first_mut() {
        *first = bytes / row;
    }
    let tensor = Tensor {
        name: input.name.as_str().into(),
        datatype: input.datatype,
        shape,
        elements: Elements::Raw(body),
        content_type: None,
        pointer: String::new(),
    };
    let parameters = Parameters { binary_data_output: Some(true), ..Parameters::default() };
    prepare(served, &[tensor], &parameters, None, None, most)
}

/// What is known of a request whose client waits no longer than `timeout`.
pub(crate) fn within(meta: Meta, timeout: Option<Duration>) -> Meta {
    match timeout {
        None => meta,
        Some(timeout) => Meta { deadline: meta.deadline.within(timeout), ..meta },
    }
}
