//! The table of operations and the OpenAPI document say the same.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use arborgate_edge::operations::{Access, OPERATIONS};
use serde_json::Value;

#[test]
fn the_table_and_the_document_have_the_same_operations() {
    let document: Value = serde_json::from_str(&arborgate_edge::document()).unwrap();
    let mut documented = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            let schemes = operation["security"].as_array().map_or(0, Vec::len);
            documented.insert(id, (method.to_uppercase(), path.clone(), schemes));
        }
    }
    let table: BTreeMap<_, _> = OPERATIONS
        .iter()
        .map(|o| {
            // Either a bearer token or an API key.
            let schemes = if o.access == Access::Public { 0 } else { 2 };
            (o.id.to_owned(), (o.method.to_string(), o.path.to_owned(), schemes))
        })
        .collect();
    assert_eq!(documented, table);
}

#[test]
fn every_operation_documents_its_refusals() {
    let document: Value = serde_json::from_str(&arborgate_edge::document()).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            for status in ["400", "401", "403", "404", "409", "413", "415", "422", "429", "500", "503", "504"] {
                let content = &responses[status]["content"]["application/problem+json"];
                assert!(content.is_object(), "{method} {path} {status}");
            }
        }
    }
}
