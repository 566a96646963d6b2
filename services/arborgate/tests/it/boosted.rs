//! Models of LightGBM, XGBoost, CatBoost and ONNX predict, by name and by category, what the library itself predicts, to
//! the bit. `boosted/make.py` made the files.

use std::path::{Path, PathBuf};

use arborgate_testkit::system::System;
use serde_json::{Value, json};

use crate::support::{on_both_buses, predict_soon, problem, unique};

on_both_buses!(
    lightgbm_is_equal_to_the_bit,
    xgboost_is_equal_to_the_bit,
    catboost_is_equal_to_the_bit,
    onnx_is_equal_to_the_bit,
    categories_are_shown_and_others_refused,
);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/boosted")
}

async fn add(system: &System, file: &str, more: &[&str]) -> String {
    let model = unique("boosted");
    let path = folder().join(file);
    let command = ["models", "add", &model, path.to_str().unwrap(), "--version", "1"];
    let added = system.cli(command.iter().copied().chain(more.iter().copied())).await.unwrap();
    assert!(added.success, "{}", added.stderr);
    model
}

/// One row alone, and all together.
async fn compare(system: &System, file: &str, rows: &str, more: &[&str]) {
    let model = add(system, file, more).await;
    let text = std::fs::read_to_string(folder().join(rows)).unwrap();
    let expected: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(expected.len(), 40);
    let admin = system.admin().await.unwrap();
    let path = format!("/v1/models/{model}/predict");
    let all: Vec<&Value> = expected.iter().map(|row| &row["row"]).collect();
    for edge in 0..system.edges() {
        let together = predict_soon(system, edge, &path, &json!({"rows": all}), &admin).await;
        assert_eq!(together.status, 200, "{}", together.text());
        let alone = predict_soon(system, edge, &path, all[0], &admin).await.json();
        assert_same(&alone, &expected[0], file);
        let together = together.json();
        let predictions = together["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), expected.len());
        for (answer, expected) in predictions.iter().zip(&expected) {
            assert_same(answer, expected, file);
        }
    }
}

/// Both were read to the same bits as they were written.
fn assert_same(answer: &Value, expected: &Value, file: &str) {
    assert_eq!(answer["prediction"], expected["prediction"], "{file} {}", expected["row"]);
    assert_eq!(answer["probabilities"], expected["probabilities"], "{file} {}", expected["row"]);
}

async fn lightgbm_is_equal_to_the_bit(system: &System) {
    compare(system, "lightgbm.txt", "lightgbm.rows.json", &[]).await;
}

async fn xgboost_is_equal_to_the_bit(system: &System) {
    compare(system, "xgboost.json", "xgboost.rows.json", &[]).await;
}

async fn catboost_is_equal_to_the_bit(system: &System) {
    compare(system, "catboost.json", "catboost.rows.json", &[]).await;
}

async fn onnx_is_equal_to_the_bit(system: &System) {
    compare(system, "onnx.onnx", "onnx.rows.json", &["--features", "age,income"]).await;
}

async fn categories_are_shown_and_others_refused(system: &System) {
    let admin = system.admin().await.unwrap();
    let cities = |last: &str| json!(["berlin", "new york", "paris", "rome", last]);
    let row = |city: Value| json!({"age": null, "income": 1000, "city": city, "plan": 10});
    for (file, kind, categories) in [
        ("xgboost.json", "category", json!({"values": cities("zurich"), "unseen": "refused"})),
        ("lightgbm.txt", "category", json!({"values": cities("zürich"), "unseen": "missing"})),
        ("catboost.json", "text", Value::Null),
    ] {
        let model = add(system, file, &[]).await;
        let path = format!("/v1/models/{model}/predict");
        let known = predict_soon(system, 0, &path, &row(json!("rome")), &admin).await;
        assert_eq!(known.status, 200, "{}", known.text());
        let shown = system.get(&format!("/v1/models/{model}"), &admin).await.unwrap().json();
        let features = shown["versions"][0]["features"].as_array().unwrap().clone();
        let city = features.iter().find(|feature| feature["name"] == "city").unwrap();
        assert_eq!((&city["type"], &city["categories"]), (&json!(kind), &categories), "{file}");

        let unseen = system.post_json_at(0, &path, &row(json!("oslo")), &admin).await.unwrap();
        if file == "xgboost.json" {
            problem(&unseen, 422);
            let fault = &unseen.json()["errors"][0];
            assert_eq!(fault["pointer"], "/city");
            assert!(fault["detail"].as_str().unwrap().contains("\"rome\", \"zurich\""), "{fault}");
        } else {
            assert_eq!(unseen.status, 200, "{file}: {}", unseen.text());
        }
        for wrong in [json!(0.5), json!(true), json!([])] {
            let refused = system.post_json_at(0, &path, &row(wrong.clone()), &admin).await.unwrap();
            problem(&refused, 422);
            assert_eq!(refused.json()["errors"][0]["pointer"], "/city", "{file} {wrong}");
        }
    }
}
