//! What an uploader says of a model: told to callers, and held to; in a form with the file.

use arborgate_testkit::system::{Answer, System};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::support::{model_files, on_both_buses, predict_soon, problem, unique};

on_both_buses!(
    what_is_said_is_shown_and_held_to,
    what_is_wrong_is_told_and_leaves_nothing,
    forms_are_read_as_they_come
);

const SAID: &str = r#"
description = "irises"
classes = ["setosa", "versicolor", "virginica"]

[labels]
team = "botany"

[[features]]
name = "sepal length (cm)"
unit = "cm"
description = "from base to tip"
min = 0
max = 30

[[features]]
name = "wide"
type = "boolean"

[[features]]
name = "petals"
type = "integer"
min = 0

[[features]]
name = "petal width"
"#;

fn iris() -> Vec<u8> {
    std::fs::read(model_files().join("iris.joblib")).unwrap()
}

async fn put(system: &System, path: &str, form: Form) -> Answer {
    let admin = system.admin().await.unwrap();
    system.send(admin.apply(system.request(0, Method::PUT, path).multipart(form))).await.unwrap()
}

async fn what_is_said_is_shown_and_held_to(system: &System) {
    let admin = system.admin().await.unwrap();
    let model = unique("said");
    let form = Form::new().text("signature", SAID).part("file", Part::bytes(iris()));
    let made = put(system, &format!("/v1/models/{model}/versions/1"), form).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let view = made.json();
    assert_eq!(
        (&view["description"], &view["labels"]),
        (&json!("irises"), &json!([{"name": "team", "value": "botany"}]))
    );
    let first = json!({"name": "sepal length (cm)", "type": "number", "missing": view["features"][0]["missing"],
        "min": 0.0, "max": 30.0, "unit": "cm", "description": "from base to tip"});
    assert_eq!(view["features"][0], first);
    assert_eq!((&view["features"][1]["type"], &view["features"][2]["type"]), (&json!("boolean"), &json!("integer")));
    let path = format!("/v1/models/{model}/predict");
    let good = json!({"sepal length (cm)": 5.1, "wide": true, "petals": 3, "petal width": 0.2});
    let by_name = predict_soon(system, 0, &path, &good, &admin).await;
    assert_eq!(by_name.status, 200, "{}", by_name.text());
    // True is 1.
    let row = json!({"rows": [[5.1, 1, 3, 0.2]]});
    let by_place = system.post_json(&path, &row, &admin).await.unwrap().json();
    assert_eq!(by_place["predictions"][0]["probabilities"], by_name.json()["probabilities"]);
    let bad = json!({"rows": [[30.5, 2, 3.5, 0], [-1, false, -1, 0], [0, "yes", 1, 0]]});
    let refused = system.post_json(&path, &bad, &admin).await.unwrap();
    problem(&refused, 422);
    let errors = refused.json()["errors"].clone();
    let told: Vec<(&str, &str)> = errors
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| (fault["pointer"].as_str().unwrap(), fault["detail"].as_str().unwrap()))
        .collect();
    let (length, wide, petals) =
        ("must be a number from 0 to 30", "must be true or false", "must be a whole number from 0");
    let expected = [
        ("/rows/0/0", length),
        ("/rows/0/1", wide),
        ("/rows/0/2", petals),
        ("/rows/1/0", length),
        ("/rows/1/2", petals),
        ("/rows/2/1", wide),
    ];
    assert_eq!(told, expected);
    let csv = "wide,petals,petal width,sepal length (cm)\nTrue,3,0.2,5.1\nmaybe,3,0.2,5.1\n";
    let request = system.request(0, Method::POST, &path).header("Content-Type", "text/csv").body(csv);
    let refused = system.send(admin.apply(request)).await.unwrap();
    assert!(problem(&refused, 422).contains("row 2"), "{}", refused.text());
    // The same again is no change; another description is.
    let again = Form::new().text("signature", SAID).part("file", Part::bytes(iris()));
    assert_eq!(put(system, &format!("/v1/models/{model}/versions/1"), again).await.status, 200);
    let other = Form::new().text("signature", r#"{"description": "roses"}"#).part("file", Part::bytes(iris()));
    problem(&put(system, &format!("/v1/models/{model}/versions/1"), other).await, 409);
}

async fn what_is_wrong_is_told_and_leaves_nothing(system: &System) {
    let admin = system.admin().await.unwrap();
    let model = unique("wrong");
    let path = format!("/v1/models/{model}/versions/1");
    for (said, pointer, detail) in [
        (r#"{"features": [{"name": "a"}]}"#, "signature/features", "there are 1 names; the model has 4 features"),
        (
            r#"{"features": {"nothing": {"unit": "cm"}}}"#,
            "signature/features/nothing",
            "is none of the file's features",
        ),
        (r#"{"features": {"x0": {"min": 2, "max": 1}}}"#, "signature/features/x0/min", "is more than max"),
        (r#"{"features": {"x0": {"min": 1e300}}}"#, "signature/features/x0/min", "leave no value"),
        (
            r#"{"features": {"x0": {"type": "integer", "min": 0.2, "max": 0.8}}}"#,
            "signature/features/x0/min",
            "leave no value",
        ),
        (r#"{"features": {"x0": {"categories": ["a"]}}}"#, "signature/features/x0/categories", "by its number alone"),
        (r#"{"features": {"x0": {"type": "boolean", "min": 0}}}"#, "signature/features/x0/min", "not of booleans"),
        (r#"{"features": {"x0": {"kind": "number"}}}"#, "signature/features/x0/kind", "unknown field"),
        (r#"{"labels": {"a b/~": "c"}}"#, "signature/labels/a b~1~0", "names and values of labels"),
        (r#"{"description": "\u0007"}"#, "signature/description", "control character"),
        ("classes = 3", "signature/classes", "line 1"),
        ("{", "signature", "EOF"),
    ] {
        let form = Form::new().text("signature", said).part("file", Part::bytes(iris()));
        let refused = put(system, &path, form).await;
        problem(&refused, 422);
        let fault = &refused.json()["errors"][0];
        assert_eq!(fault["pointer"], pointer, "{said}: {}", refused.text());
        assert!(fault["detail"].as_str().unwrap().contains(detail), "{said}: {}", refused.text());
    }
    let twice = Form::new().text("signature", SAID).part("file", Part::bytes(iris()));
    let refused = put(system, &format!("{path}?classes=a,b,c&features=a,b,c,d"), twice).await;
    problem(&refused, 422);
    assert_eq!(refused.json()["errors"].as_array().unwrap().len(), 2, "{}", refused.text());
    problem(&system.get(&format!("/v1/models/{model}"), &admin).await.unwrap(), 404);
}

async fn forms_are_read_as_they_come(system: &System) {
    let model = unique("form");
    let path = format!("/v1/models/{model}/versions/1");
    let bytes = || Part::bytes(iris());
    for (form, status, told) in [
        (Form::new().text("signature", SAID), 422, "file: is missing"),
        (Form::new().part("file", bytes()).text("signature", SAID), 422, "file: must be the last part"),
        (Form::new().text("signature", SAID).text("signature", SAID).part("file", bytes()), 422, "a part twice"),
        (Form::new().text("description", "x").part("file", bytes()), 422, "none of signature, provenance and file"),
        (Form::new().text("signature", "x".repeat(2 << 20)).part("file", bytes()), 413, "over the limit of 1048576"),
        (Form::new().text("provenance", "{}").part("file", bytes()), 422, "provenance: missing field"),
        (Form::new().part("file", Part::text("no model")), 422, ""),
    ] {
        let refused = put(system, &path, form).await;
        let detail = problem(&refused, status);
        assert!(detail.contains(told), "{detail}");
    }
    let admin = system.admin().await.unwrap();
    let raw = async |content_type: &str, body: &str| {
        let request = system.request(0, Method::PUT, &path).header("Content-Type", content_type).body(body.to_owned());
        system.send(admin.apply(request)).await.unwrap()
    };
    assert!(problem(&raw("multipart/form-data", "x").await, 400).contains("boundary"));
    let cut = "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc";
    problem(&raw("multipart/form-data; boundary=b", cut).await, 400);
    problem(&raw("text/plain", "x").await, 415);
    let gone: Value = system.get(&format!("/v1/models/{model}"), &admin).await.unwrap().json();
    assert_eq!(gone["status"], 404);
}
