//! Bodies that are wrong: each gets a clear 4xx.

use std::fmt::Write as _;

use arborgate_testkit::system::{Answer, System};
use reqwest::Method;
use serde_json::json;

use crate::support::{model_files, on_both_buses, predict_soon, problem, put_model, setosa, unique};

on_both_buses!(
    every_bad_field_is_named,
    null_is_a_value_only_where_the_model_takes_missing_ones,
    numbers_out_of_range_are_told,
    what_is_no_json_gets_400,
    another_content_type_gets_415,
    what_is_too_large_gets_413,
    too_many_rows_are_refused,
    bodies_of_other_operations,
    a_parameter_that_an_operation_does_not_know_is_refused_by_name,
);

async fn post(system: &System, path: &str, body: impl Into<reqwest::Body>) -> Answer {
    let admin = system.admin().await.unwrap();
    let request = system.request(0, Method::POST, path).header("Content-Type", "application/json");
    system.send(admin.apply(request).body(body)).await.unwrap()
}

async fn every_bad_field_is_named(system: &System) {
    let body = r#"{"sepal_length":"5.1","sepal_width":true,"petal_length":[],"colour":"blue","a/b~c":1}"#;
    let answer = post(system, "/predict", body).await;
    problem(&answer, 422);
    let mut pointers = answer.pointers();
    pointers.sort();
    assert_eq!(pointers, ["/a~1b~0c", "/colour", "/petal_length", "/petal_width", "/sepal_length", "/sepal_width"]);
    for fault in answer.json()["errors"].as_array().unwrap() {
        assert!(fault["detail"].as_str().unwrap().len() > 8, "{fault}");
    }
    for (body, pointer) in [
        (r#"{"sepal_length":5,"sepal_width":3,"petal_length":1,"petal_width":[0.2]}"#, "/petal_width"),
        (r#"{"sepal_length":5,"sepal_width":3,"petal_length":1,"petal_width":{"a":1}}"#, "/petal_width"),
        (r#"{"sepal_length":5,"sepal_width":3,"petal_length":1,"petal_width":1,"petal_width":2}"#, "/petal_width"),
        (r#"{"sepal_length":5,"sepal_width":3,"petal_length":1}"#, "/petal_width"),
        (r#"{"sepal_length":5,"sepal_width":3,"petal_length":1,"Petal_Width":1,"petal_width":1}"#, "/Petal_Width"),
    ] {
        let answer = post(system, "/predict", body).await;
        problem(&answer, 422);
        assert_eq!(answer.pointers(), [pointer], "{body}");
    }
    let rows = json!({"rows": [[5.1, 3.5, 1.4, 0.2], [1, 2, 3], "x", [1, 2, "y", 4], setosa(), {"sepal_width": 1}]});
    let answer = post(system, "/v1/models/iris/predict", rows.to_string()).await;
    problem(&answer, 422);
    let pointers = answer.pointers();
    for pointer in ["/rows/1", "/rows/2", "/rows/3/2", "/rows/5/sepal_length", "/rows/5/petal_width"] {
        assert!(pointers.iter().any(|p| p == pointer), "{pointer} {pointers:?}");
    }
    assert!(!pointers.iter().any(|p| p.starts_with("/rows/0") || p.starts_with("/rows/4")), "{pointers:?}");
    for body in ["[]", "5", "\"x\"", "null", "true", r#"{"rows":[]}"#, r#"{"rows":5}"#, r#"{"rows":[],"x":1}"#, "{}"] {
        problem(&post(system, "/v1/models/iris/predict", body).await, 422);
    }
}

/// As scikit-learn has it: its forests take NaN, its extra-trees with the best splitter do not.
async fn null_is_a_value_only_where_the_model_takes_missing_ones(system: &System) {
    let answer =
        post(system, "/predict", r#"{"sepal_length":null,"sepal_width":3,"petal_length":1,"petal_width":1}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let file = std::fs::read(model_files().join("no_missing.joblib")).unwrap();
    let path = format!("/v1/models/{}/versions/1", unique("no-missing"));
    let added = put_model(system, &path, file).await;
    assert_eq!(added.status, 201, "{}", added.text());
    assert_eq!(added.json()["features"][0]["missing"], false);
    let (path, rows) = (format!("{path}/predict"), json!({"rows": [[1, 2, 3, 4], [1, null, 3, 4]]}));
    let answer = predict_soon(system, 0, &path, &rows, &system.admin().await.unwrap()).await;
    assert!(problem(&answer, 422).contains("missing"), "{}", answer.text());
    assert_eq!(answer.pointers(), ["/rows/1/1"]);
}

async fn numbers_out_of_range_are_told(system: &System) {
    for number in ["1e400", "-1e400", "1e39", "-3.5e38", "1e308", "340282356779733661637539395458142568448"] {
        let body = format!(r#"{{"sepal_length":{number},"sepal_width":3.5,"petal_length":1.4,"petal_width":0.2}}"#);
        let answer = post(system, "/predict", body).await;
        problem(&answer, 422);
        assert_eq!(answer.pointers(), ["/sepal_length"], "{number}");
        assert!(answer.text().contains("32-bit float"), "{}", answer.text());
    }
    let body = r#"{"sepal_length":1e400,"sepal_width":"x","petal_length":-1e400,"petal_width":1e39}"#;
    let answer = post(system, "/predict", body).await;
    problem(&answer, 422);
    assert_eq!(answer.pointers(), ["/sepal_length", "/sepal_width", "/petal_length", "/petal_width"]);
    for number in ["3.4028234e38", "-0.0", "1e-400", "5", "18446744073709551616", "1E2"] {
        let body = format!(r#"{{"sepal_length":{number},"sepal_width":3.5,"petal_length":1.4,"petal_width":0.2}}"#);
        assert_eq!(post(system, "/predict", body).await.status, 200, "{number}");
    }
}

async fn what_is_no_json_gets_400(system: &System) {
    let whole = setosa().to_string();
    let mut bodies: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole.as_bytes()[..end].to_vec()).collect();
    for number in ["NaN", "Infinity", "-Infinity", "0x10", "+1", "1.", ".5", "1e", "01"] {
        bodies.push(whole.replace("5.1", number).into_bytes());
    }
    bodies.push(b"{\"sepal_length\":\"\xff\xfe\"}".to_vec());
    bodies.push(format!("{whole} x").into_bytes());
    bodies.push(format!("{whole}{whole}").into_bytes());
    bodies.push(whole.replace('"', "'").into_bytes());
    bodies.push(b"\xef\xbb\xbf{}".to_vec());
    for body in bodies {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = post(system, "/predict", body).await;
        assert!(problem(&answer, 400).contains("not JSON"), "{shown}: {}", answer.text());
    }
    // Deeper than any stack, as a value and where it is ignored.
    for open in ["[", "{\"a\":"] {
        let deep = open.repeat(200_000);
        for body in [
            deep.clone(),
            format!("{{\"sepal_length\":{deep}"),
            format!("{{\"x\":{deep}"),
            format!("{{\"rows\":{deep}"),
        ] {
            let answer = post(system, "/v1/models/iris/predict", body).await;
            assert!([400, 422].contains(&answer.status), "{}", answer.text());
            problem(&answer, answer.status);
        }
    }
    assert_eq!(post(system, "/predict", whole).await.status, 200);
}

async fn another_content_type_gets_415(system: &System) {
    let admin = system.admin().await.unwrap();
    for kind in
        [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonx"), Some("")]
    {
        let mut request = admin.apply(system.request(0, Method::POST, "/predict")).body(setosa().to_string());
        if let Some(kind) = kind {
            request = request.header("Content-Type", kind);
        }
        assert!(problem(&system.send(request).await.unwrap(), 415).contains("application/json"));
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y"] {
        let request = admin.apply(system.request(0, Method::POST, "/predict")).header("Content-Type", kind);
        assert_eq!(system.send(request.body(setosa().to_string())).await.unwrap().status, 200, "{kind}");
    }
}

async fn what_is_too_large_gets_413(system: &System) {
    let spaces = |bytes: usize| format!("{}{}", " ".repeat(bytes), setosa());
    assert_eq!(post(system, "/predict", spaces(1 << 20)).await.status, 200);
    assert!(problem(&post(system, "/predict", spaces(16 << 20)).await, 413).contains("16777216"));
    problem(&post(system, "/encrypt", spaces(2 << 20)).await, 413);
    // Without a length told in advance.
    let pieces = (0..17).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 20]));
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    problem(&post(system, "/predict", stream).await, 413);
}

async fn too_many_rows_are_refused(system: &System) {
    let rows = |count: usize| {
        let mut text = String::from("{\"rows\":[");
        for row in 0..count {
            let _ = write!(text, "{}[5.1,3.5,1.4,0.2]", if row == 0 { "" } else { "," });
        }
        text + "]}"
    };
    assert_eq!(post(system, "/v1/models/iris/predict", rows(10_000)).await.status, 200);
    let refused = problem(&post(system, "/v1/models/iris/predict", rows(10_001)).await, 422);
    assert!(refused.starts_with("'rows' must be at most 10000 rows"), "{refused}");
}

async fn bodies_of_other_operations(system: &System) {
    let long = "x".repeat(65);
    for (path, body, pointers) in [
        ("/encrypt", json!({"plaintxt": "x"}), vec!["/plaintext", "/plaintxt"]),
        ("/encrypt", json!({"plaintext": 5}), vec!["/plaintext"]),
        ("/decrypt", json!({"ciphertext": null}), vec!["/ciphertext"]),
        ("/v1/users", json!({}), vec!["/name", "/password", "/roles"]),
        ("/v1/users", json!({"name": "a b", "password": "long enough to be one", "roles": ["admin"]}), vec!["/name"]),
        ("/v1/users", json!({"name": unique("u"), "password": "long enough to be", "roles": ["root"]}), vec!["/roles"]),
        ("/v1/users", json!({"name": unique("u"), "password": "long enough to be", "roles": []}), vec!["/roles"]),
        ("/v1/api-keys", json!({"name": "k", "roles": ["user"], "expires_in": 0}), vec!["/expires_in"]),
        ("/v1/api-keys", json!({"name": "k", "roles": ["user"], "expires_in": -1.5}), vec!["/expires_in"]),
        ("/v1/api-keys", json!({"name": "k", "roles": ["user"], "expires_in": 1u64 << 60}), vec!["/expires_in"]),
    ] {
        let answer = post(system, path, body.to_string()).await;
        problem(&answer, 422);
        assert_eq!(answer.pointers(), pointers, "{path} {body}");
    }
    for (path, body) in [
        ("/v1/users", json!({"name": unique("u"), "password": "short", "roles": ["user"]})),
        ("/v1/users", json!({"name": unique("u"), "password": "x".repeat(2000), "roles": ["user"]})),
        ("/v1/api-keys", json!({"name": "", "roles": ["user"]})),
        ("/v1/api-keys", json!({"name": "a\r\nb", "roles": ["user"]})),
        ("/v1/api-keys", json!({"name": long, "roles": ["user"]})),
    ] {
        problem(&post(system, path, body.to_string()).await, 422);
    }
    for path in ["/encrypt", "/decrypt", "/v1/users", "/v1/api-keys"] {
        assert!(problem(&post(system, path, "{\"x\":").await, 400).contains("not JSON"));
    }
}

async fn a_parameter_that_an_operation_does_not_know_is_refused_by_name(system: &System) {
    let path = format!("/v1/models/{}/versions/1", unique("misspelt"));
    let file = std::fs::read(model_files().join("no_missing.joblib")).unwrap();
    let refused = put_model(system, &format!("{path}?featurez=a,b,c,d"), file.clone()).await;
    assert!(problem(&refused, 422).contains("features, classes, promote, default"), "{}", refused.text());
    assert_eq!(refused.pointers(), ["featurez"]);
    assert_eq!(put_model(system, &format!("{path}?features=a,b,c,d"), file).await.status, 201);
    let admin = system.admin().await.unwrap();
    problem(&system.delete(&format!("{path}?force"), &admin).await.unwrap(), 422);
    assert_eq!(system.delete(&path, &admin).await.unwrap().status, 204);
}
