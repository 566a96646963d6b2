//! The repository's calls: a model's versions are unloaded and loaded.

use arborgate_testkit::system::{Credential, System, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::{categorical, predictor, refused, send};
use crate::support::{model_files, on_both_buses, predict_soon, put_model};

on_both_buses!(a_model_is_unloaded_and_loaded);

async fn a_model_is_unloaded_and_loaded(system: &System) {
    let (who, admin) = (predictor(system).await, system.admin().await.unwrap());
    let (model, rows) = categorical(system, &who).await;
    let change = async |name: &str, who: &Credential, body: &str| {
        send(system, &format!("/v2/repository/models/{model}/{name}"), who, &[], body.into()).await
    };
    let index = async || {
        let all = send(system, "/v2/repository/index", &who, &[], Vec::new()).await.json();
        all.as_array().unwrap().iter().find(|of| of["name"] == model.as_str()).unwrap().clone()
    };
    // As V1 asks.
    let ready = async || system.get(&format!("/v1/models/{model}"), &who).await.unwrap().json()["ready"].clone();
    refused(&change("unload", &who, "").await, 403);
    refused(&change("load", &admin, r#"{"parameters": {"config": "{}"}}"#).await, 422);
    refused(&change("load", &admin, r#"{"parameters": 1}"#).await, 422);
    refused(&send(system, "/v2/repository/models/not-there/load", &admin, &[], b"{}".to_vec()).await, 404);
    refused(&send(system, "/v2/repository/models/a%3E/unload", &admin, &[], b"{}".to_vec()).await, 404);
    let path = format!("/v1/models/{model}:predict");
    for _ in 0..2 {
        let answer = change("unload", &admin, r#"{"parameters": {"unload_dependents": false}}"#).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        eventually("the model is gone", async || Ok(index().await["state"] == "UNAVAILABLE")).await.unwrap();
        assert!(index().await["reason"].as_str().unwrap().starts_with("unloaded"));
        assert_eq!(ready().await, false);
        refused(&system.get(&format!("/v2/models/{model}/ready"), &who).await.unwrap(), 503);
        refused(&system.post_json(&path, &json!({"instances": rows}), &who).await.unwrap(), 503);
        // Twice is no other than once.
        assert_eq!(change("unload", &admin, "").await.status, 200);
        assert_eq!(change("load", &admin, "{}").await.status, 200);
        eventually("the model is back", async || Ok(index().await["state"] == "READY")).await.unwrap();
        assert_eq!(ready().await, true);
        let answer = predict_soon(system, 0, &path, &json!({"instances": rows}), &who).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // All of its versions go and come back, whichever was promoted.
    for path in [format!("/v1/models/{model}/versions/2?promote=false"), format!("/v1/models/{model}/versions/3")] {
        let iris = std::fs::read(model_files().join("iris.joblib")).unwrap();
        assert_eq!(put_model(system, &path, iris).await.status, 201);
    }
    let promoted =
        system.send(admin.apply(system.request(0, Method::POST, &format!("/v1/models/{model}/versions/3/promote"))));
    assert_eq!(promoted.await.unwrap().status, 200);
    for (name, state) in [("unload", "UNAVAILABLE"), ("load", "READY")] {
        assert_eq!(change(name, &admin, "").await.status, 200);
        eventually("every version follows", async || {
            let all = send(system, "/v2/repository/index", &who, &[], Vec::new()).await.json();
            let of: Vec<Value> =
                all.as_array().unwrap().iter().filter(|of| of["name"] == model.as_str()).cloned().collect();
            Ok(of.len() == 3 && of.iter().all(|of| of["state"] == state))
        })
        .await
        .unwrap();
    }
}
