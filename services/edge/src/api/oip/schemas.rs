//! The bodies of the Open Inference Protocol's operations, as the document shows them; what reads them is elsewhere.

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::Type;

use super::super::forms::{anything, inline, list, shown, text};
use super::super::payload::Shown;
use crate::models::tensors::Datatype;

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
