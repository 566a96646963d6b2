//! Bad requests, each told in its place.

use arborgate_testkit::system::System;
use serde_json::{Value, json};

use super::{INFER, infer, predictor, refused, send};
use crate::support::{on_both_buses, unique};

on_both_buses!(bad_requests_are_told_in_their_place);

async fn bad_requests_are_told_in_their_place(system: &System) {
    let who = predictor(system).await;
    let input = |more: Value| {
        let mut input = json!({"name": "input__0", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]});
        for (name, value) in more.as_object().unwrap() {
            input[name] = value.clone();
        }
        json!({"inputs": [input]})
    };
    for (body, pointer) in [
        (input(json!({"datatype": "FP8"})), "/inputs/0/datatype"),
        (input(json!({"shape": [1, 5]})), "/inputs/0/shape"),
        (input(json!({"shape": [4_294_967_296_i64, 4_294_967_296_i64]})), "/inputs/0/shape"),
        (input(json!({"shape": [1_000_000_000, 4]})), "/inputs/0/shape"),
        (input(json!({"name": "x"})), "/inputs/0/name"),
        (input(json!({"data": [1, 2, 3, 1e39]})), "/inputs/0/data/3"),
        (input(json!({"data": [1, 2, 3, true]})), "/inputs/0/data/3"),
        (input(json!({"data": [1, 2, 3]})), "/inputs/0"),
        (input(json!({"parameters": {"binary_data_size": 16}})), "/inputs/0/data"),
        (json!({"inputs": []}), "/inputs"),
        (json!([]), ""),
    ] {
        let answer = system.post_json(INFER, &body, &who).await.unwrap();
        assert!(refused(&answer, 422).contains(pointer));
        assert_eq!(answer.pointers(), [pointer], "{body}");
    }
    let two = json!({"inputs": [{"name": "a", "datatype": "X", "shape": [-1], "data": []}]});
    let answer = system.post_json(INFER, &two, &who).await.unwrap();
    assert!(refused(&answer, 422).contains("/inputs/0/shape/0: must not be negative"));
    // Lengths that lie.
    let lying =
        json!({"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}]});
    for bytes in [0, 15, 17] {
        refused(&infer(system, &who, &lying, &[&vec![0; bytes]]).await, 422);
    }
    const LENGTH: &str = "Inference-Header-Content-Length";
    for length in ["99999", "-1", "+2", "x", "", "2, 2", "4294967296"] {
        let answer = send(system, INFER, &who, &[(LENGTH, length)], b"{}".to_vec()).await;
        assert!(refused(&answer, 422).starts_with(LENGTH), "{}", answer.text());
        assert_eq!(answer.pointers(), [LENGTH]);
    }
    let answer = send(system, INFER, &who, &[(LENGTH, "2"), (LENGTH, "2")], b"{}".to_vec()).await;
    assert_eq!(refused(&answer, 422), format!("{LENGTH}: must be there once"));
    // What is said twice is not known.
    let twice = br#"{"inputs": [], "parameters": {"binary_data_output": true, "binary_data_output": false}}"#;
    assert!(
        refused(&send(system, INFER, &who, &[], twice.to_vec()).await, 422).starts_with("/parameters: must have each")
    );
    refused(&send(system, INFER, &who, &[], b"{\"inputs\": [".to_vec()).await, 400);
    refused(&send(system, INFER, &who, &[("Content-Type", "text/csv")], b"{}".to_vec()).await, 415);
    refused(&send(system, INFER, &who, &[], vec![b' '; 17 << 20]).await, 413);
    for model in ["..", "a*", "a%3E", "a%20b", "%2e%2e%2f", "%ff"] {
        let answer = send(system, &format!("/v2/models/{model}/infer"), &who, &[], b"{}".to_vec()).await;
        assert!(matches!(answer.status, 404 | 405), "{model}: {}", answer.status);
        let told = refused(&answer, answer.status);
        assert!(["there is ", "this path knows"].iter().any(|of| told.starts_with(of)), "{model}: {told}");
    }
    let path = "/v2/models/iris/infer?x=1";
    refused(&send(system, path, &who, &[], b"{}".to_vec()).await, 422);
    let user = system.new_user(&unique("oip-user"), "user").await.unwrap();
    assert!(refused(&send(system, INFER, &user, &[], b"{}".to_vec()).await, 403).contains("not permitted"));
}
