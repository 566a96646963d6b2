//! What the Open Inference Protocol's operations read and answer, as the document shows it.

use poem_openapi::Object;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::Type;
use serde::Serialize;

use super::super::forms::{anything, inline, list, shown, text};
use super::super::payload::Shown;
use crate::models::catalog::Served;
use crate::models::statistics;
use crate::models::tensors::{Datatype, Described};
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

fn boolean(description: &'static str) -> MetaSchema {
    MetaSchema { description: Some(description), ..MetaSchema::new("boolean") }
}

fn flag(description: &'static str) -> MetaSchemaRef {
    inline(boolean(description))
}

fn parameters(properties: Vec<(&'static str, MetaSchemaRef)>) -> (&'static str, MetaSchemaRef) {
    let schema = MetaSchema {
        description: Some("Texts, numbers and booleans."),
        additional_properties: Some(Box::new(anything())),
        properties,
        nullable: true,
        ..MetaSchema::new("object")
    };
    ("parameters", inline(schema))
}

fn datatype() -> (&'static str, MetaSchemaRef) {
    let names = Datatype::ALL.into_iter().map(|datatype| datatype.name().into()).collect();
    ("datatype", inline(MetaSchema { enum_items: names, ..MetaSchema::new("string") }))
}

fn shape() -> (&'static str, MetaSchemaRef) {
    let dimension = MetaSchema { minimum: Some(0.0), ..MetaSchema::new_with_format("integer", "int64") };
    ("shape", inline(MetaSchema { min_items: Some(1), max_items: Some(8), ..list(dimension) }))
}

fn data(description: &'static str) -> (&'static str, MetaSchemaRef) {
    let items = Some(Box::new(anything()));
    ("data", inline(MetaSchema { description: Some(description), items, ..MetaSchema::new("array") }))
}

fn whole(description: &'static str) -> MetaSchemaRef {
    inline(MetaSchema { description: Some(description), ..MetaSchema::new_with_format("integer", "int64") })
}

shown!(
    InferRequest,
    "InferRequest",
    MetaSchema {
        description: Some(
            "A request of the Open Inference Protocol V2: one matrix `[N, features]` called `input__0` (or `predict`, \
             `input-0`, or anything with `content_type` `np`), or an input a feature by its name, `[N]` or `[N, 1]`. A \
             datatype is held; numbers of any are taken for numbers, BOOL as 0 and 1. Categories are BYTES as in the data \
             frame. `null` and the literal `NaN` are missing."
        ),
        required: vec!["inputs"],
        properties: vec![
            ("id", text("It comes back in the answer.")),
            parameters(vec![
                ("content_type", text("`np`: the first input is the matrix; `pd`: each input is a feature. `prediction` alone is answered unless outputs are named.")),
                ("binary_data_output", flag("Whether outputs are answered in binary that do not say it themselves.")),
                ("timeout", whole("Microseconds that the client waits.")),
            ]),
            (
                "inputs",
                inline(MetaSchema {
                    min_items: Some(1),
                    ..list(MetaSchema {
                        required: vec!["name", "shape", "datatype"],
                        properties: vec![
                            ("name", text("Of the matrix or of a feature.")),
                            shape(),
                            datatype(),
                            parameters(vec![(
                                "binary_data_size",
                                whole("Bytes of its buffer after the JSON, in place of `data`."),
                            )]),
                            data("Flat, or nested as the shape is; row after row."),
                        ],
                        ..MetaSchema::new("object")
                    })
                }),
            ),
            (
                "outputs",
                inline(list(MetaSchema {
                    required: vec!["name"],
                    properties: vec![
                        (
                            "name",
                            text(
                                "`prediction` (or `predict`, `output__0`), `label`, `probabilities` (or `predict_proba`, \
                                 `output__1`), `score`, `margins`, `leaves` or `contributions`.",
                            ),
                        ),
                        parameters(vec![
                            ("binary_data", flag("Whether it is answered in binary.")),
                            (
                                "classification",
                                whole("Answer the so many most probable classes, each as `probability:index:label`."),
                            ),
                        ]),
                    ],
                    ..MetaSchema::new("object")
                })),
            ),
        ],
        example: Some(serde_json::json!({
            "id": "1",
            "inputs": [{"name": "input__0", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}],
        })),
        ..MetaSchema::new("object")
    },
    prediction: true
);

shown!(
    InferAnswer,
    "InferAnswer",
    MetaSchema {
        description: Some("An answer of the Open Inference Protocol V2."),
        required: vec!["model_name", "model_version", "outputs"],
        properties: vec![
            ("model_name", text("Which model answered.")),
            ("model_version", text("Which of its versions.")),
            ("id", text("The request's.")),
            (
                "outputs",
                inline(list(MetaSchema {
                    required: vec!["name", "shape", "datatype"],
                    properties: vec![
                        ("name", text("As the request calls it.")),
                        shape(),
                        datatype(),
                        parameters(vec![("binary_data_size", whole("Bytes of its buffer after the JSON."))]),
                        data("Flat, row after row."),
                    ],
                    ..MetaSchema::new("object")
                })),
            ),
        ],
        ..MetaSchema::new("object")
    },
    prediction: false
);

shown!(
    IndexRequest,
    "IndexRequest",
    MetaSchema {
        properties: vec![("ready", inline(MetaSchema { nullable: true, ..boolean("Only what is ready.") }))],
        ..MetaSchema::new("object")
    },
    prediction: false
);

shown!(
    LoadRequest,
    "LoadRequest",
    MetaSchema {
        properties: vec![parameters(Vec::new())],
        ..MetaSchema::new("object")
    },
    prediction: false
);

shown!(
    Instances,
    "Instances",
    MetaSchema {
        description: Some(
            "A request of KServe's V1 protocol: rows, each an object of features by name or a list of values in the \
             features' order.",
        ),
        required: vec!["instances"],
        properties: vec![(
            "instances",
            inline(MetaSchema { items: Some(Box::new(anything())), min_items: Some(1), ..MetaSchema::new("array") }),
        )],
        example: Some(serde_json::json!({"instances": [[5.1, 3.5, 1.4, 0.2]]})),
        ..MetaSchema::new("object")
    },
    prediction: true
);

shown!(
    Predictions,
    "Predictions",
    MetaSchema {
        description: Some("An answer of KServe's V1 protocol."),
        required: vec!["predictions"],
        properties: vec![(
            "predictions",
            inline(MetaSchema {
                description: Some("Of each row the class as the model's file has it, or the value; of several outputs a list."),
                items: Some(Box::new(anything())),
                ..MetaSchema::new("array")
            }),
        )],
        ..MetaSchema::new("object")
    },
    prediction: false
);
