//! Models and versions: added, listed, switched, removed.

use arborgate_testkit::system::{Credential, Kind, Options, System, eventually};
use serde_json::{Value, json};

use crate::support::{
    model_files, on_both_buses, on_both_kinds, predict_soon, private, problem, put_model, setosa, unique,
};

on_both_buses!(
    the_same_bytes_are_taken_twice_and_others_are_not,
    names_are_given_and_shown,
    the_version_added_last_answers,
    what_is_removed_is_gone_everywhere,
    a_large_batch_is_answered_in_order,
    illegal_names_are_refused,
    wrong_uploads_are_refused,
    the_commands_add_list_and_remove,
);
on_both_kinds!(the_default_is_switched);

fn file(name: &str) -> Vec<u8> {
    std::fs::read(model_files().join(name)).unwrap()
}

/// What of a version does not depend on the moment.
fn lasting(mut version: Value) -> Value {
    for member in ["state", "workers"] {
        assert!(version.as_object_mut().unwrap().remove(member).is_some(), "{member}");
    }
    version
}

async fn gone_soon(system: &System, path: &str, who: &Credential) {
    for edge in 0..system.edges() {
        eventually("the model is gone", async || {
            let answer = system.post_json_at(edge, path, &json!({"rows": [[1, 2, 3, 4]]}), who).await?;
            // Between the manifest and the workers it is neither there nor gone.
            assert!([200, 404, 503].contains(&answer.status), "{}", answer.text());
            Ok(answer.status == 404)
        })
        .await
        .unwrap();
    }
}

async fn the_same_bytes_are_taken_twice_and_others_are_not(system: &System) {
    let path = format!("/v1/models/{}/versions/1.0", unique("twice"));
    let first = put_model(system, &path, file("iris.joblib")).await;
    assert_eq!(first.status, 201, "{}", first.text());
    let again = put_model(system, &path, file("iris.joblib")).await;
    assert_eq!(again.status, 200, "{}", again.text());
    assert_eq!(lasting(again.json()), lasting(first.json()));
    let renamed = put_model(system, &format!("{path}?classes=a,b,c"), file("iris.joblib")).await;
    assert!(problem(&renamed, 409).contains("other names"));
    let other = put_model(system, &path, file("wine.joblib")).await;
    assert!(problem(&other, 409).contains(first.json()["digest"].as_str().unwrap()));
    let named = put_model(system, &format!("{path}x"), file("wine.joblib")).await;
    assert_eq!(named.status, 201, "{}", named.text());
}

async fn names_are_given_and_shown(system: &System) {
    let admin = system.admin().await.unwrap();
    let model = unique("named");
    let path = format!("/v1/models/{model}/versions/1?features=a,b,c,d&classes=uno,dos,tres");
    let made = put_model(system, &path, file("iris.joblib")).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let view = made.json();
    let features: Vec<_> = view["features"].as_array().unwrap().iter().map(|f| f["name"].clone()).collect();
    assert_eq!(features, ["a", "b", "c", "d"]);
    assert_eq!(view["features"][0]["type"], "number");
    let labels: Vec<_> = view["classes"][0].as_array().unwrap().iter().map(|c| c["label"].clone()).collect();
    assert_eq!(labels, ["uno", "dos", "tres"]);
    assert_eq!((&view["task"], &view["trees"], &view["outputs"]), (&json!("classification"), &json!(100), &json!(1)));
    assert_eq!(view["size"], file("iris.joblib").len());
    assert_eq!(view["digest"].as_str().unwrap().len(), 64);
    assert_eq!(view["created_by"], "user:admin");
    let row = json!({"a": 5.1, "b": 3.5, "c": 1.4, "d": 0.2});
    for edge in 0..system.edges() {
        let answer = predict_soon(system, edge, &format!("/v1/models/{model}/predict"), &row, &admin).await;
        assert_eq!(answer.json()["label"], "uno", "{}", answer.text());
    }
    let shown = system.get(&format!("/v1/models/{model}"), &admin).await.unwrap().json();
    assert_eq!((&shown["name"], &shown["current"], &shown["default"]), (&json!(model), &json!("1"), &json!(false)));
    assert_eq!(lasting(shown["versions"][0].clone()), lasting(view.clone()));
    let list = system.get("/v1/models", &admin).await.unwrap().json();
    assert!(list.as_array().unwrap().iter().any(|m| m["name"] == model));
    for (query, pointer) in
        [("features=a,b,c", "features"), ("classes=x,y", "classes"), ("features=a,a,b,c", "features")]
    {
        let answer = put_model(system, &format!("/v1/models/{model}/versions/2?{query}"), file("iris.joblib")).await;
        problem(&answer, 422);
        assert!(answer.text().contains(pointer), "{}", answer.text());
    }
    // Without names.
    let plain = put_model(system, &format!("/v1/models/{model}/versions/3"), file("wine.joblib")).await.json();
    assert_eq!((&plain["features"][12]["name"], &plain["features"][0]["name"]), (&json!("x12"), &json!("x0")));
}

async fn the_version_added_last_answers(system: &System) {
    let admin = system.admin().await.unwrap();
    let model = unique("versions");
    let row = json!({"rows": [[5.1, 3.5, 1.4, 0.2]]});
    for version in ["2", "10", "1"] {
        let path = format!("/v1/models/{model}/versions/{version}");
        assert_eq!(put_model(system, &path, file("iris.joblib")).await.status, 201);
        for edge in 0..system.edges() {
            eventually("the newest answers", async || {
                let answer = system.post_json_at(edge, &format!("/v1/models/{model}/predict"), &row, &admin).await?;
                Ok(answer.json()["version"] == version)
            })
            .await
            .unwrap();
        }
    }
    for version in ["2", "10", "1"] {
        let path = format!("/v1/models/{model}/versions/{version}/predict");
        let answer = predict_soon(system, 1, &path, &row, &admin).await;
        assert_eq!((answer.status, &answer.json()["version"]), (200, &json!(version)));
    }
}

async fn what_is_removed_is_gone_everywhere(system: &System) {
    let admin = system.admin().await.unwrap();
    let model = unique("removed");
    let path = format!("/v1/models/{model}/versions/1");
    assert_eq!(put_model(system, &path, file("iris.joblib")).await.status, 201);
    let body = json!({"rows": [[5.1, 3.5, 1.4, 0.2]]});
    for edge in 0..system.edges() {
        assert_eq!(predict_soon(system, edge, &format!("{path}/predict"), &body, &admin).await.status, 200);
    }
    assert_eq!(system.delete(&path, &admin).await.unwrap().status, 204);
    gone_soon(system, &format!("{path}/predict"), &admin).await;
    gone_soon(system, &format!("/v1/models/{model}/predict"), &admin).await;
    problem(&system.get(&format!("/v1/models/{model}"), &admin).await.unwrap(), 404);
    problem(&system.delete(&path, &admin).await.unwrap(), 404);
    // The name and version are free again, for other bytes.
    assert_eq!(put_model(system, &path, file("extra_trees.joblib")).await.status, 201);
    let wine = json!({"rows": [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]});
    let answer = predict_soon(system, 1, &format!("{path}/predict"), &wine, &admin).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// More rows than one message to a worker holds: divided, computed by several, joined in order.
async fn a_large_batch_is_answered_in_order(system: &System) {
    let admin = system.admin().await.unwrap();
    let model = unique("batch");
    assert_eq!(put_model(system, &format!("/v1/models/{model}/versions/1"), file("iris.joblib")).await.status, 201);
    let kinds = [([5.1, 3.5, 1.4, 0.2], 0), ([6.7, 3.0, 5.2, 2.3], 2), ([5.7, 2.8, 4.5, 1.3], 1)];
    // No period that a block's size is a multiple of.
    let kind = |row: usize| kinds[(row * row / 7 + row / 11) % 3];
    let rows: Vec<_> = (0..10_000).map(|row| kind(row).0).collect();
    for edge in 0..system.edges() {
        let path = format!("/v1/models/{model}/predict");
        let answer = predict_soon(system, edge, &path, &json!({"rows": rows}), &admin).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let json = answer.json();
        let given: Vec<_> =
            json["predictions"].as_array().unwrap().iter().map(|p| p["prediction"].as_i64().unwrap()).collect();
        let expected: Vec<_> = (0..10_000).map(|row| kind(row).1).collect();
        assert_eq!(given, expected);
    }
}

async fn illegal_names_are_refused(system: &System) {
    let admin = system.admin().await.unwrap();
    for (path, pointer) in [
        ("/v1/models/Upper/versions/1", "model"),
        ("/v1/models/a%20b/versions/1", "model"),
        ("/v1/models/a.b/versions/1", "model"),
        ("/v1/models/%3E/versions/1", "model"),
        ("/v1/models/*/versions/1", "model"),
        ("/v1/models/%C3%A9/versions/1", "model"),
        ("/v1/models/..%2F..%2Fetc/versions/1", "model"),
        ("/v1/models/ok/versions/1..2", "version"),
        ("/v1/models/ok/versions/%0D%0A", "version"),
        ("/v1/models/ok/versions/a%2Fb", "version"),
    ] {
        let answer = put_model(system, path, file("iris.joblib")).await;
        problem(&answer, 422);
        assert_eq!(answer.pointers(), [pointer], "{path}");
        problem(&system.delete(path, &admin).await.unwrap(), 422);
        let predict = format!("{path}/predict");
        problem(&system.post_json(&predict, &setosa(), &admin).await.unwrap(), 404);
    }
    let long = format!("/v1/models/{}/versions/1", "a".repeat(65));
    problem(&put_model(system, &long, file("iris.joblib")).await, 422);
}

async fn wrong_uploads_are_refused(system: &System) {
    let admin = system.admin().await.unwrap();
    let path = format!("/v1/models/{}/versions/1", unique("upload"));
    let request = system.request(0, reqwest::Method::PUT, &path).json(&json!({}));
    problem(&system.send(admin.apply(request)).await.unwrap(), 415);
    let request = system.request(0, reqwest::Method::PUT, &format!("{path}?default=maybe"));
    let request = request.header("Content-Type", "application/octet-stream").body(file("iris.joblib"));
    let answer = system.send(admin.apply(request)).await.unwrap();
    assert!(problem(&answer, 422).starts_with("default: "));
    let predictor = system.new_user(&unique("upload"), "predictor").await.unwrap();
    let request = system.request(0, reqwest::Method::PUT, &path).header("Content-Type", "application/octet-stream");
    let answer = system.send(predictor.apply(request).body(file("iris.joblib"))).await.unwrap();
    assert_eq!(problem(&answer, 403), "Operation not permitted");
}

async fn the_commands_add_list_and_remove(system: &System) {
    let admin = system.admin().await.unwrap();
    let model = unique("cli");
    let path = model_files().join("iris.joblib");
    let path = path.to_str().unwrap();
    let args = ["models", "add", &model, path, "--features", "a,b,c,d", "--classes", "x,y,z"];
    let added = system.cli(args).await.unwrap();
    assert!(added.success && added.stdout.contains("4 features, 100 trees"), "{} {}", added.stdout, added.stderr);
    // The version is the file's: the same file is the same version.
    assert!(system.cli(args).await.unwrap().success);
    // The edge that is asked may hear of it a moment later.
    eventually("the model is listed", async || {
        let list = system.cli(["models", "list"]).await?;
        let lines: Vec<&str> = list.stdout.lines().filter(|line| line.starts_with(&format!("{model} "))).collect();
        assert!(lines.len() <= 1 && lines.iter().all(|line| line.contains("current")), "{}", list.stdout);
        Ok(lines.len() == 1)
    })
    .await
    .unwrap();
    let removed = system.cli(["models", "remove", &model]).await.unwrap();
    assert!(removed.success, "{}", removed.stderr);
    gone_soon(system, &format!("/v1/models/{model}/predict"), &admin).await;
    let again = system.cli(["models", "remove", &model]).await.unwrap();
    assert!(!again.success && again.stderr.contains("no such model"), "{}", again.stderr);
}

async fn the_default_is_switched(kind: Kind) {
    let system = private(kind, Options::default()).await;
    let admin = system.admin().await.unwrap();
    system.settle().await.unwrap();
    let added = put_model(&system, "/v1/models/wine/versions/1?default=true", file("wine.joblib")).await;
    assert_eq!(added.status, 201, "{}", added.text());
    let row: Value = (0..13).map(|n| (format!("x{n}"), json!(1.0))).collect::<serde_json::Map<_, _>>().into();
    for edge in 0..system.edges() {
        eventually("the default is switched", async || {
            let answer = system.post_json_at(edge, "/predict", &row, &admin).await?;
            Ok(answer.status == 200 && answer.json()["model"] == "wine")
        })
        .await
        .unwrap();
        problem(&system.post_json_at(edge, "/predict", &setosa(), &admin).await.unwrap(), 422);
        assert_eq!(system.post_json_at(edge, "/v1/models/iris/predict", &setosa(), &admin).await.unwrap().status, 200);
    }
    let list = system.get("/v1/models", &admin).await.unwrap().json();
    let defaults: Vec<_> = list.as_array().unwrap().iter().filter(|m| m["default"] == true).collect();
    assert_eq!((defaults.len(), &defaults[0]["name"]), (1, &json!("wine")));
}
