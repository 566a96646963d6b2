//! Files that the current scikit-learn made a moment ago predict what it predicts, to the bit, on every row.

use std::collections::HashMap;

use arborgate_testkit::system::System;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::support::{model_files, on_both_buses, put_model, unique};

on_both_buses!(
    iris_is_equal_to_the_bit,
    wine_is_equal_to_the_bit,
    breast_cancer_is_equal_to_the_bit,
    digits_are_equal_to_the_bit,
    regressors_are_equal_to_the_bit,
    extra_trees_are_equal_to_the_bit,
    missing_values_go_where_they_were_learnt_to,
    thresholds_are_kept_to_the_last_bit,
);

async fn iris_is_equal_to_the_bit(system: &System) {
    assert_eq!(compare(system, "iris", By::Command).await, 150);
}

async fn wine_is_equal_to_the_bit(system: &System) {
    assert_eq!(compare(system, "wine", By::Api).await, 178);
}

async fn breast_cancer_is_equal_to_the_bit(system: &System) {
    assert_eq!(compare(system, "breast_cancer", By::Command).await, 569);
}

async fn digits_are_equal_to_the_bit(system: &System) {
    assert_eq!(compare(system, "digits", By::Command).await, 1797);
}

async fn regressors_are_equal_to_the_bit(system: &System) {
    assert_eq!(compare(system, "regressor", By::Api).await, 442);
    assert_eq!(compare(system, "two_values", By::Api).await, 50);
}

async fn extra_trees_are_equal_to_the_bit(system: &System) {
    assert_eq!(compare(system, "extra_trees", By::Api).await, 178);
}

async fn missing_values_go_where_they_were_learnt_to(system: &System) {
    assert_eq!(compare(system, "gaps", By::Api).await, 178);
    assert_eq!(compare(system, "no_missing", By::Api).await, 150);
}

async fn thresholds_are_kept_to_the_last_bit(system: &System) {
    assert!(compare(system, "near", By::Api).await > 400);
}

/// How the model is added.
enum By {
    Command,
    Api,
}

/// Numbers are kept as texts: how this test's own JSON reader rounds must not matter.
#[derive(Deserialize)]
struct Answers {
    predictions: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    prediction: Box<RawValue>,
    probabilities: Option<HashMap<String, Box<RawValue>>>,
}

fn bits(text: &str) -> Vec<u64> {
    let numbers = text.trim_matches(['[', ']']).split([',', ' ']).filter(|number| !number.is_empty());
    numbers.map(|number| number.parse::<f64>().unwrap().to_bits()).collect()
}

async fn compare(system: &System, name: &str, by: By) -> usize {
    let folder = model_files();
    let (path, model) = (folder.join(format!("{name}.joblib")), unique("parity"));
    match by {
        By::Command => {
            let file = path.to_str().unwrap();
            let added = system.cli(["models", "add", &model, file, "--version", "1"]).await.unwrap();
            assert!(added.success, "{}", added.stderr);
            assert!(added.stdout.contains("scikit-learn 1.9.1 RandomForestClassifier"), "{}", added.stdout);
        }
        By::Api => {
            let target = format!("/v1/models/{model}/versions/1");
            let added = put_model(system, &target, std::fs::read(&path).unwrap()).await;
            assert_eq!(added.status, 201, "{}", added.text());
        }
    }
    let admin = system.admin().await.unwrap();
    let expected = std::fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap();
    let lines: Vec<Vec<&str>> = expected.lines().map(|line| line.split('|').collect()).collect();
    let rows: Vec<String> =
        lines.iter().map(|line| format!("[{}]", line[0].replace(' ', ",").replace("nan", "null"))).collect();
    let body = format!("{{\"rows\":[{}]}}", rows.join(","));
    for edge in 0..system.edges() {
        let url = format!("/v1/models/{model}/predict");
        let mut answer = None;
        arborgate_testkit::system::eventually("the edge knows the model", async || {
            let request = system.request(edge, reqwest::Method::POST, &url).header("Content-Type", "application/json");
            let now = system.send(admin.apply(request).body(body.clone())).await?;
            // Not known yet, or loaded by no worker yet.
            let soon = matches!(now.status, 404 | 503);
            answer = Some(now);
            Ok(!soon)
        })
        .await
        .unwrap();
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answers: Answers = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answers.predictions.len(), lines.len());
        for (number, (row, line)) in answers.predictions.iter().zip(&lines).enumerate() {
            assert_eq!(bits(row.prediction.get()), bits(line[1]), "{name} row {number} at {edge}");
            let given = row.probabilities.iter().flatten();
            let mut given: Vec<(u64, u64)> =
                given.map(|(class, p)| (class.parse().unwrap(), bits(p.get())[0])).collect();
            given.sort_unstable();
            let given: Vec<u64> = given.into_iter().map(|(_, p)| p).collect();
            assert_eq!(given, bits(line[2]), "{name} row {number} at {edge}");
        }
    }
    lines.len()
}
