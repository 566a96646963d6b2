//! The document as each caller sees it: models are in it for who may predict and see them, and for nobody else.

use std::path::Path;

use arborgate_contracts::permission::Role;
use arborgate_testkit::system::{Answer, Credential, System, eventually};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::support::{model_files, on_both_buses, problem, secure, unique};

on_both_buses!(
    models_are_told_to_who_may_ask_them,
    a_credential_that_is_not_good_sees_nothing,
    what_has_not_changed_is_not_sent_again,
    a_model_is_in_it_while_it_is_there,
    what_is_shown_is_true,
    what_was_said_at_upload_is_in_it,
    rows_alone_are_taken_by_the_operation_of_rows,
);

const PATH: &str = "/openapi.json";
/// Features of a model of age, income, city and plan.
const AWKWARD: [&str; 4] = ["1st", "sepal length (cm)", "class", "sepal-length (cm)"];

fn operation(document: &Value, model: &str, rows: &str) -> Value {
    document["paths"][format!("/v1/models/{model}/predict{rows}")]["post"].clone()
}

fn schema(document: &Value, body: &Value) -> Value {
    let reference = body["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
    document.pointer(reference.trim_start_matches('#')).unwrap().clone()
}

async fn ask(system: &System, edge: usize, headers: &[(&str, &str)], who: &Credential) -> Answer {
    let request = who.apply(system.request(edge, Method::GET, PATH));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    system.send(request).await.unwrap()
}

/// A model with categories and with names that are no identifiers.
async fn add_awkward(system: &System) -> String {
    let model = unique("awkward");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/boosted/xgboost.json");
    let (path, features) = (path.to_str().unwrap(), AWKWARD.join(","));
    let added = system.cli(["models", "add", &model, path, "--version", "1", "--features", &features]).await.unwrap();
    assert!(added.success, "{}", added.stderr);
    let admin = system.admin().await.unwrap();
    for edge in 0..system.edges() {
        let shown = async || {
            let document = ask(system, edge, &[], &admin).await.json();
            Ok(operation(&document, &model, "").is_object())
        };
        eventually("the model is in the document", shown).await.unwrap();
    }
    model
}

async fn models_are_told_to_who_may_ask_them(system: &System) {
    let model = add_awkward(system).await;
    let fixed = system.get(PATH, &Credential::None).await.unwrap();
    for role in Role::ALL {
        let user = system.new_user(&unique("reader"), role.as_str()).await.unwrap();
        let key = system.new_key(&unique("reader"), role.as_str()).await.unwrap().0;
        for edge in 0..system.edges() {
            for who in [&user, &key] {
                let answer = ask(system, edge, &[], who).await;
                assert_eq!(answer.status, 200);
                secure(&answer);
                let vary = answer.header("vary").to_owned();
                assert!(vary.contains("authorization") && vary.contains("x-api-key"), "{vary}");
                assert!(answer.header("cache-control").starts_with("private"));
                if role == Role::User {
                    assert!(answer.body == fixed.body);
                } else {
                    let document = answer.json();
                    assert_eq!(operation(&document, "iris", "")["operationId"], "predict_iris");
                    assert!(operation(&document, &model, "/rows").is_object());
                }
            }
        }
    }
    let text = fixed.text();
    assert!(!text.contains(&model) && !AWKWARD.iter().any(|name| text.contains(&format!("\"{name}\""))));
}

async fn a_credential_that_is_not_good_sees_nothing(system: &System) {
    let bearer = Credential::Bearer("not.a.token".to_owned());
    problem(&ask(system, 0, &[], &bearer).await, 401);
    problem(&ask(system, 0, &[], &Credential::Key("agk_wrong".to_owned())).await, 403);
    let admin = system.admin().await.unwrap();
    problem(&ask(system, 0, &[("X-API-Key", "agk_wrong")], &admin).await, 400);
    let other = system.send(admin.apply(system.request(0, Method::POST, PATH))).await.unwrap();
    assert_eq!((other.status, other.header("allow")), (405, "GET, HEAD"));
}

async fn what_has_not_changed_is_not_sent_again(system: &System) {
    let admin = system.admin().await.unwrap();
    let first = ask(system, 0, &[], &Credential::None).await;
    let tag = first.header("etag").to_owned();
    let again = ask(system, 0, &[("If-None-Match", &tag)], &Credential::None).await;
    assert_eq!((again.status, again.header("etag"), again.body.len()), (304, tag.as_str(), 0));
    assert!(again.header("vary").contains("authorization"));
    // What is kept of one is not what another sees.
    let more = ask(system, 0, &[("If-None-Match", &tag)], &admin).await;
    assert_eq!(more.status, 200);
    assert_ne!(more.header("etag"), tag);
}

async fn a_model_is_in_it_while_it_is_there(system: &System) {
    let (model, admin) = (add_awkward(system).await, system.admin().await.unwrap());
    assert_eq!(system.delete(&format!("/v1/models/{model}/versions/1"), &admin).await.unwrap().status, 204);
    for edge in 0..system.edges() {
        let gone = async || Ok(!ask(system, edge, &[], &admin).await.text().contains(&model));
        eventually("the model is in the document no more", gone).await.unwrap();
    }
}

async fn what_is_shown_is_true(system: &System) {
    let (model, admin) = (add_awkward(system).await, system.admin().await.unwrap());
    let document = ask(system, 0, &[], &admin).await.json();
    let one = operation(&document, &model, "");
    let row = schema(&document, &one["requestBody"]);
    let called = |name: &str| row["properties"][name]["x-identifier"].clone();
    assert_eq!(AWKWARD.map(called), ["feature_1st", "sepal_length_cm_f1", "class_", "sepal_length_cm_f3"]);
    assert_eq!(row["required"], json!(AWKWARD));
    assert_eq!(row["additionalProperties"], false);
    assert_eq!(row["properties"]["1st"]["nullable"], true);
    assert_eq!(row["properties"]["sepal length (cm)"]["maximum"], f64::from(f32::MAX));
    assert_eq!(row["properties"]["class"]["nullable"], true);
    let city = row.pointer("/properties/class/allOf/0/$ref").and_then(Value::as_str).unwrap();
    let city = document.pointer(city.trim_start_matches('#')).unwrap();
    assert_eq!(city["type"], "string");
    assert_eq!(city["enum"], json!(["berlin", "new york", "paris", "rome", "zurich"]));
    assert_eq!(city["x-enum-varnames"], json!(["Berlin", "NewYork", "Paris", "Rome", "Zurich"]));
    let answer = schema(&document, &one["responses"]["200"]);
    let path = format!("/v1/models/{model}/predict");
    let given = system.post_json(&path, &row["example"], &admin).await.unwrap();
    assert_eq!((given.status, &given.json()), (200, &answer["example"]), "{}", given.text());
    let rows = schema(&document, &operation(&document, &model, "/rows")["requestBody"]);
    let given = system.post_json(&format!("{path}/rows"), &rows["example"], &admin).await.unwrap().json();
    for member in ["prediction", "label", "probabilities"] {
        assert_eq!(given["predictions"][0][member], answer["example"][member]);
    }
}

async fn what_was_said_at_upload_is_in_it(system: &System) {
    let (model, admin) = (unique("said"), system.admin().await.unwrap());
    let said = r#"
        description = "irises of a garden"
        classes = ["setosa", "versicolor", "virginica"]
        features = [
          { name = "long", unit = "cm", description = "from base to tip", min = 7, max = 30 },
          { name = "wide", type = "boolean" },
          { name = "petals", type = "integer", min = 0.5, max = 9 },
          { name = "petal width" },
        ]"#;
    let file = Part::bytes(std::fs::read(model_files().join("iris.joblib")).unwrap());
    let put = system.request(0, Method::PUT, &format!("/v1/models/{model}/versions/1"));
    let form = Form::new().text("signature", said).part("file", file);
    let made = system.send(admin.apply(put).multipart(form)).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    let told = async || Ok(operation(&ask(system, 0, &[], &admin).await.json(), &model, "").is_object());
    eventually("the model is in the document", told).await.unwrap();
    let document = ask(system, 0, &[], &admin).await.json();
    let one = operation(&document, &model, "");
    assert!(one["description"].as_str().unwrap().starts_with("irises of a garden"));
    let row = schema(&document, &one["requestBody"]);
    let long = &row["properties"]["long"];
    assert_eq!((&long["minimum"], &long["maximum"], &long["x-unit"]), (&json!(7.0), &json!(30.0), &json!("cm")));
    assert!(long["description"].as_str().unwrap().starts_with("from base to tip. In cm."), "{long}");
    assert_eq!(row["properties"]["wide"]["type"], "boolean");
    let petals = &row["properties"]["petals"];
    assert_eq!((&petals["type"], &petals["minimum"], &petals["maximum"]), (&json!("integer"), &json!(1), &json!(9)));
    // The example is of what was said, and predicted so.
    assert!(row["example"]["long"].as_f64().unwrap() >= 7.0 && row["example"]["wide"].is_boolean());
    let answer = schema(&document, &one["responses"]["200"]);
    let given = system.post_json(&format!("/v1/models/{model}/predict"), &row["example"], &admin).await.unwrap();
    assert_eq!((given.status, &given.json()), (200, &answer["example"]), "{}", given.text());
}

async fn rows_alone_are_taken_by_the_operation_of_rows(system: &System) {
    let admin = system.admin().await.unwrap();
    let path = "/v1/models/iris/predict/rows";
    let row = json!({"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2});
    let many = system.post_json(path, &json!({"rows": [row, [6.7, 3.0, 5.2, 2.3]]}), &admin).await.unwrap();
    assert_eq!((many.status, many.json()["predictions"][1]["label"].as_str()), (200, Some("virginica")));
    let table = admin.apply(system.request(0, Method::POST, path)).header("Content-Type", "text/csv");
    let table = table.body("sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n");
    let table = system.send(table).await.unwrap();
    assert_eq!((table.status, table.json()["predictions"].as_array().map(Vec::len)), (200, Some(1)));
    for alone in [row, json!({})] {
        let refused = system.post_json(path, &alone, &admin).await.unwrap();
        assert_eq!(problem(&refused, 422), "'rows' is missing; must be a list of rows");
    }
    problem(&system.post_json("/v1/models/nothing/predict/rows", &json!({"rows": [[1]]}), &admin).await.unwrap(), 404);
}
