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

/// What each may answer beside that, the end-to-end suite holds: see `document` of the testkit.
#[test]
fn an_operation_documents_the_refusals_of_its_kind() {
    let document: Value = serde_json::from_str(&arborgate_edge::document()).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            let has = |status: &str| responses.contains_key(status);
            let protocol = path == "/v2" || path.starts_with("/v2/") || path.ends_with(":predict");
            let form = if protocol { "application/json" } else { "application/problem+json" };
            for (status, response) in responses.iter().filter(|(status, _)| status.as_str() >= "400") {
                let content = response["content"].as_object().unwrap();
                assert!(content.len() == 1 && content.contains_key(form), "{method} {path} {status}");
            }
            for status in ["422", "429", "500", "503", "504"] {
                assert!(has(status), "{method} {path} {status}");
            }
            let (guarded, reads) = (operation["security"].is_array(), operation["requestBody"].is_object());
            let signs_in = path == "/token";
            assert_eq!((has("401"), has("403")), (guarded || signs_in, guarded || signs_in), "{method} {path}");
            assert_eq!((has("408"), has("415")), (reads, reads), "{method} {path}");
            assert_eq!(has("400"), guarded || reads, "{method} {path}");
            // The answer to another method on the path; no operation's.
            assert!(!has("405"), "{method} {path}");
        }
    }
    let statuses = |path: &str| document["paths"][path]["get"]["responses"].as_object().unwrap().keys().cloned();
    assert_eq!(statuses("/livez").collect::<Vec<_>>(), ["200", "422", "429", "500", "503", "504"]);
}

#[test]
fn a_body_says_what_it_holds_and_what_may_be_null() {
    let document: Value = serde_json::from_str(&arborgate_edge::document()).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let closed = schemas.iter().filter(|(_, schema)| schema["additionalProperties"] == false);
    let closed: Vec<&str> = closed.map(|(name, _)| name.as_str()).collect();
    let bodies = ["NewApiKey", "NewShadow", "NewSplit", "NewUnload", "NewUser", "Plaintext", "ShareView"];
    assert_eq!(closed, [&["Ciphertext", "IndexRequest", "LoadRequest", "ManyRows"], &bodies[..]].concat());
    for (schema, property) in [("ApiKey", "expires_at"), ("NewApiKey", "expires_in")] {
        assert_eq!(schemas[schema]["properties"][property]["nullable"], true, "{schema}");
    }
}
