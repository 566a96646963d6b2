//! What the Open Inference Protocol's operations answer, but for what is inferred.

use poem_openapi::Object;
use serde::Serialize;

use crate::models::catalog::Served;
use crate::models::statistics;
use crate::models::tensors::Described;
use crate::protocol::{self, Counted, EXTENSIONS, Indexed, Metadata};

/// Which server it is.
#[derive(Object, Serialize)]
pub(super) struct ServerMetadataView {
    /// Its name.
    name: String,
    /// Its version.
    version: String,
    /// Which extensions of the protocol it has.
    extensions: Vec<String>,
}

impl ServerMetadataView {
    pub(super) fn new() -> Self {
        Self {
            name: protocol::NAME.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: EXTENSIONS.map(str::to_owned).to_vec(),
        }
    }
}

/// Whether it lives, or is ready.
#[derive(Object, Serialize)]
pub(super) struct Health {
    /// It lives.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<bool>,
    /// It is ready.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<bool>,
}

impl Health {
    pub(super) fn live() -> Self {
        Self { live: Some(true), ready: None }
    }

    pub(super) fn ready() -> Self {
        Self { live: None, ready: Some(true) }
    }
}

/// The models that there are.
#[derive(Object, Serialize)]
pub(super) struct ModelNames {
    /// Their names.
    pub(super) models: Vec<String>,
}

/// A tensor that a model takes or gives.
#[derive(Object, Serialize)]
struct TensorView {
    /// Its name.
    name: String,
    /// Of its elements.
    datatype: String,
    /// Its dimensions; −1 is one of any size.
    shape: Vec<i64>,
}

impl TensorView {
    fn of(described: Described) -> Self {
        let Described { name, datatype, shape } = described;
        Self { name, datatype: datatype.name().to_owned(), shape }
    }
}

/// What a model takes and gives.
#[derive(Object, Serialize)]
pub(super) struct ModelMetadataView {
    /// Its name.
    name: String,
    /// Its versions.
    versions: Vec<String>,
    /// What runs it.
    platform: String,
    /// One matrix where all features are numbers, else a tensor a feature. A matrix may be sent as a tensor a feature as
    /// well, each by the feature's name.
    inputs: Vec<TensorView>,
    /// What it gives. Those are answered that stand before `label`, or before `margins` where there is none, unless a request
    /// names others.
    outputs: Vec<TensorView>,
}

impl ModelMetadataView {
    pub(super) fn of(metadata: Metadata) -> Self {
        Self {
            name: metadata.name,
            versions: metadata.versions,
            platform: protocol::PLATFORM.to_owned(),
            inputs: metadata.inputs.into_iter().map(TensorView::of).collect(),
            outputs: metadata.outputs.into_iter().map(TensorView::of).collect(),
        }
    }
}

/// A model that is ready.
#[derive(Object, Serialize)]
pub(super) struct ModelReady {
    /// Its name.
    name: String,
    /// It is.
    ready: bool,
}

impl ModelReady {
    pub(super) fn of(served: std::sync::Arc<Served>) -> Self {
        Self { name: served.manifest.model.to_string(), ready: true }
    }
}

/// How often, and how long together.
#[derive(Object, Serialize)]
struct CountedView {
    /// How often.
    count: u64,
    /// Nanoseconds together.
    ns: u64,
}

impl CountedView {
    fn of(counted: statistics::Counted) -> Self {
        Self { count: counted.count, ns: counted.ns }
    }
}

/// What became of requests, and how long it took.
#[derive(Object, Serialize)]
struct InferStatisticsView {
    /// Answered.
    success: CountedView,
    /// Not answered, of whatever cause.
    fail: CountedView,
    /// Waiting in a worker's queue.
    queue: CountedView,
    /// Reading tensors.
    compute_input: CountedView,
    /// Computing.
    compute_infer: CountedView,
    /// Writing tensors.
    compute_output: CountedView,
}

/// What was asked of a version.
#[derive(Object, Serialize)]
struct ModelStatisticsView {
    /// The model's name.
    name: String,
    /// The version.
    version: String,
    /// When it was asked last, in milliseconds since 1970.
    last_inference: u64,
    /// Rows that were predicted.
    inference_count: u64,
    /// Messages that workers answered.
    execution_count: u64,
    /// What became of requests.
    inference_stats: InferStatisticsView,
}

/// What was asked of versions.
#[derive(Object, Serialize)]
pub(super) struct StatisticsView {
    /// One each.
    model_stats: Vec<ModelStatisticsView>,
}

impl StatisticsView {
    pub(super) fn of(all: &[Counted]) -> Self {
        let one = |of: &Counted| {
            let totals = of.totals;
            ModelStatisticsView {
                name: of.name.clone(),
                version: of.version.clone(),
                last_inference: totals.last_ms,
                inference_count: totals.rows,
                execution_count: totals.executions,
                inference_stats: InferStatisticsView {
                    success: CountedView::of(totals.success),
                    fail: CountedView::of(totals.fail),
                    queue: CountedView::of(totals.queue),
                    compute_input: CountedView::of(totals.compute_input),
                    compute_infer: CountedView::of(totals.compute_infer),
                    compute_output: CountedView::of(totals.compute_output),
                },
            }
        };
        Self { model_stats: all.iter().map(one).collect() }
    }
}

/// A version in the repository.
#[derive(Object, Serialize)]
pub(super) struct IndexedView {
    /// The model's name.
    name: String,
    /// The version.
    version: String,
    /// `READY` or `UNAVAILABLE`.
    state: String,
    /// Why it is not ready.
    reason: String,
}

impl IndexedView {
    pub(super) fn of(indexed: Indexed) -> Self {
        let Indexed { name, version, state, reason } = indexed;
        Self { name, version, state: state.to_owned(), reason: reason.to_owned() }
    }
}
