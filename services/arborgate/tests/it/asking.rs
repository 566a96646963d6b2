//! What may be asked of a prediction, and explanations.

use arborgate_testkit::system::System;
use serde_json::{Value, json};

use crate::support::{on_both_buses, predict_soon, problem, put_model, setosa, unique};

on_both_buses!(
    only_what_is_asked_is_answered,
    an_explanation_sums_to_the_margins,
    a_wrong_question_is_told_in_its_place,
    what_can_not_be_explained_says_why,
    a_large_explanation_goes_in_parts_or_is_refused,
);

const ROWS: [[f64; 4]; 3] = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [5.7, 2.8, 4.5, 1.3]];

async fn only_what_is_asked_is_answered(system: &System) {
    let who = system.new_user(&unique("asking"), "predictor").await.unwrap();
    for edge in 0..system.edges() {
        for path in ["/predict", "/v1/models/iris/predict", "/v1/models/iris/versions/1/predict"] {
            let ask = async |output: Value| {
                let body = json!({"output": output, "rows": ROWS});
                let answer = system.post_json_at(edge, path, &body, &who).await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                answer.json()["predictions"].clone()
            };
            let whole = system.post_json_at(edge, path, &json!({"rows": ROWS}), &who).await.unwrap().json();
            let whole = whole["predictions"].as_array().unwrap();
            assert_eq!(ask(json!(["label", "probabilities"])).await, json!(whole));
            let labels = ask(json!(["label"])).await;
            let others = ask(json!(["leaves", "margins"])).await;
            for (row, whole) in whole.iter().enumerate() {
                assert_eq!(labels[row], json!({"prediction": whole["prediction"], "label": whole["label"]}));
                let other = others[row].as_object().unwrap();
                assert_eq!(other.keys().collect::<Vec<_>>(), ["leaves", "margins"]);
                let leaves = other["leaves"].as_array().unwrap();
                assert!(leaves.len() == 100 && leaves.iter().all(|leaf| leaf.as_u64().unwrap() > 0), "{leaves:?}");
                // A forest's margins are its probabilities.
                let margins: Vec<f64> = serde_json::from_value(other["margins"].clone()).unwrap();
                let named = ["setosa", "versicolor", "virginica"].map(|name| whole["probabilities"][name].as_f64());
                assert_eq!(margins.iter().map(|margin| Some(*margin)).collect::<Vec<_>>(), named);
            }
            let mut one = setosa();
            one["output"] = json!(["probabilities"]);
            let answer = system.post_json_at(edge, path, &one, &who).await.unwrap().json();
            let keys: Vec<_> = answer.as_object().unwrap().keys().cloned().collect();
            assert_eq!(keys, ["model", "probabilities", "version"]);
        }
    }
}

async fn an_explanation_sums_to_the_margins(system: &System) {
    let who = system.new_user(&unique("explaining"), "predictor").await.unwrap();
    let body = json!({"rows": ROWS, "output": ["margins"]});
    let margins = system.post_json("/v1/models/iris/predict", &body, &who).await.unwrap().json();
    for edge in 0..system.edges() {
        for path in ["/v1/models/iris/explain", "/v1/models/iris/versions/1/explain"] {
            let whole = system.post_json_at(edge, path, &json!({"rows": ROWS}), &who).await.unwrap();
            assert_eq!(whole.status, 200, "{}", whole.text());
            assert!(whole.header("server-timing").contains("inference"));
            let whole = whole.json();
            assert_eq!((&whole["model"], &whole["version"]), (&json!("iris"), &json!("1")));
            let body = json!({"rows": ROWS, "top_k": 2});
            let top = system.post_json_at(edge, path, &body, &who).await.unwrap().json();
            for row in 0..3 {
                let outputs = whole["explanations"][row]["outputs"].as_array().unwrap();
                let labels: Vec<_> = outputs.iter().map(|of| of["label"].as_str().unwrap()).collect();
                assert_eq!(labels, ["setosa", "versicolor", "virginica"]);
                for (class, of) in outputs.iter().enumerate() {
                    let all = contributions(of);
                    let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
                    assert_eq!(names, ["sepal_length", "sepal_width", "petal_length", "petal_width"]);
                    let sum = of["base"].as_f64().unwrap() + all.iter().map(|(_, part)| part).sum::<f64>();
                    let margin = margins["predictions"][row]["margins"][class].as_f64().unwrap();
                    assert!((sum - margin).abs() < 1e-9, "{sum} {margin}");
                    let mut sorted = all.clone();
                    sorted.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
                    assert_eq!(contributions(&top["explanations"][row]["outputs"][class]), sorted[..2]);
                }
            }
            let one = system.post_json_at(edge, path, &setosa(), &who).await.unwrap().json();
            assert_eq!(one["outputs"], whole["explanations"][0]["outputs"]);
        }
    }
}

fn contributions(output: &Value) -> Vec<(String, f64)> {
    let list = output["contributions"].as_array().unwrap();
    let one = |of: &Value| (of["feature"].as_str().unwrap().to_owned(), of["contribution"].as_f64().unwrap());
    list.iter().map(one).collect()
}

async fn a_wrong_question_is_told_in_its_place(system: &System) {
    let who = system.new_user(&unique("wrong"), "predictor").await.unwrap();
    for (path, body, pointer) in [
        ("predict", json!({"rows": ROWS, "output": ["label", "shap"]}), "/output/1"),
        ("predict", json!({"rows": ROWS, "output": "label"}), "/output"),
        ("predict", json!({"rows": ROWS, "output": []}), "/output"),
        ("explain", json!({"rows": ROWS, "top_k": 0}), "/top_k"),
        ("explain", json!({"rows": ROWS, "top_k": "all"}), "/top_k"),
        ("explain", json!({"rows": [[1, 2, 3]]}), "/rows/0"),
    ] {
        let answer = system.post_json(&format!("/v1/models/iris/{path}"), &body, &who).await.unwrap();
        problem(&answer, 422);
        assert_eq!(answer.pointers(), [pointer], "{body}");
    }
    problem(&system.post_json("/v1/models/no-such/explain", &setosa(), &who).await.unwrap(), 404);
    let nobody = system.new_user(&unique("nobody"), "user").await.unwrap();
    problem(&system.post_json("/v1/models/iris/explain", &setosa(), &nobody).await.unwrap(), 403);
}

async fn what_can_not_be_explained_says_why(system: &System) {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../common/forest/tests/fixtures");
    let file = std::fs::read(fixtures.join("lightgbm/4.7.0/linear.txt")).unwrap();
    let path = format!("/v1/models/{}/versions/1", unique("linear"));
    let added = put_model(system, &path, file).await;
    assert_eq!(added.status, 201, "{}", added.text());
    let features = added.json()["features"].as_array().unwrap().len();
    let admin = system.admin().await.unwrap();
    let body = json!({"rows": [vec![1.0; features]]});
    for edge in 0..system.edges() {
        let answer = predict_soon(system, edge, &format!("{path}/explain"), &body, &admin).await;
        let why = problem(&answer, 422);
        assert!(why.contains("can not be explained") && why.contains("linear leaves"), "{why}");
        let body = json!({"rows": [vec![1.0; features]], "output": ["label", "leaves"]});
        let answer = predict_soon(system, edge, &format!("{path}/predict"), &body, &admin).await.json();
        assert!(answer["predictions"][0]["prediction"].is_number(), "{answer}");
        let body = json!({"rows": [vec![1.0; features]], "output": ["label", "probabilities"]});
        let answer = predict_soon(system, edge, &format!("{path}/predict"), &body, &admin).await;
        assert!(problem(&answer, 422).contains("label, margins, leaves"), "{}", answer.text());
        assert_eq!(answer.pointers(), ["/output/1"]);
    }
}

async fn a_large_explanation_goes_in_parts_or_is_refused(system: &System) {
    let admin = system.admin().await.unwrap();
    let rows: Vec<_> = (0..10_000).map(|row| ROWS[(row * row / 7 + row / 11) % 3]).collect();
    let body = json!({"rows": rows, "top_k": 1});
    let answer = system.post_json("/v1/models/iris/explain", &body, &admin).await.unwrap().json();
    let three = system.post_json("/v1/models/iris/explain", &json!({"rows": ROWS, "top_k": 1}), &admin).await.unwrap();
    let three = three.json();
    let told = answer["explanations"].as_array().unwrap();
    assert_eq!(told.len(), 10_000);
    for (row, told) in told.iter().enumerate() {
        assert_eq!(*told, three["explanations"][(row * row / 7 + row / 11) % 3], "{row}");
    }
    // A hundred leaves a row are told in parts as well.
    let body = json!({"rows": rows, "output": ["leaves"]});
    let answer = system.post_json("/v1/models/iris/predict", &body, &admin).await.unwrap().json();
    assert_eq!(answer["predictions"].as_array().unwrap().len(), 10_000);
}
