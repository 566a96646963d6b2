//! POST /predict and who may ask.

use arborgate_testkit::system::{Credential, System};
use reqwest::Method;
use serde_json::json;

use crate::support::{on_both_buses, problem, secure, setosa, unique};

on_both_buses!(
    a_flower_is_told,
    nobody_and_bad_bearers_get_401,
    wrong_api_keys_get_403,
    two_credentials_get_400,
    roles_decide,
    unknown_paths_and_methods,
    request_ids_come_back,
    a_head_has_no_body,
);

async fn a_flower_is_told(system: &System) {
    let predictor = system.new_user(&unique("predictor"), "predictor").await.unwrap();
    for path in ["/predict", "/predict/", "/v1/models/iris/predict", "/v1/models/iris/versions/1/predict"] {
        for edge in 0..2 {
            let answer = system.post_json_at(edge, path, &setosa(), &predictor).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            secure(&answer);
            assert_eq!(answer.header("content-type"), "application/json");
            assert!(answer.header("server-timing").contains("dur="), "{}", answer.header("server-timing"));
            let probabilities = json!({"setosa": 1.0, "versicolor": 0.0, "virginica": 0.0});
            let expected = json!({"prediction": 0, "label": "setosa", "probabilities": probabilities,
                "model": "iris", "version": "1"});
            assert_eq!(answer.json(), expected);
        }
    }
    let rows = json!({"rows": [setosa(), [6.7, 3.0, 5.2, 2.3], {"petal_width": 1.3, "petal_length": 4.5,
        "sepal_width": 2.8, "sepal_length": 5.7}]});
    let answer = system.post_json("/v1/models/iris/predict", &rows, &predictor).await.unwrap().json();
    let labels: Vec<_> = answer["predictions"].as_array().unwrap().iter().map(|p| p["label"].clone()).collect();
    assert_eq!(labels, ["setosa", "virginica", "versicolor"]);
    assert_eq!((&answer["model"], &answer["version"]), (&json!("iris"), &json!("1")));
}

async fn nobody_and_bad_bearers_get_401(system: &System) {
    let answer = system.post_json("/predict", &setosa(), &Credential::None).await.unwrap();
    problem(&answer, 401);
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    for bad in ["Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Basic YTpi", "bearer", "Token abc", ""] {
        let request = system.request(0, Method::POST, "/predict").header("Authorization", bad).json(&setosa());
        let answer = system.send(request).await.unwrap();
        problem(&answer, 401);
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{bad:?}");
    }
    // Who may not is told nothing of the body.
    let request = system.request(0, Method::POST, "/predict").body("{nonsense");
    problem(&system.send(request).await.unwrap(), 401);
}

async fn wrong_api_keys_get_403(system: &System) {
    let (Credential::Key(good), _) = system.new_key(&unique("key"), "predictor").await.unwrap() else { panic!() };
    let good_key = Credential::Key(good.clone());
    assert_eq!(system.post_json("/predict", &setosa(), &good_key).await.unwrap().status, 200);
    let id = good.split('_').nth(2).unwrap().parse().unwrap();
    // Well formed, of an id that there is, with another secret; and of an id that there is not.
    let other = arborgate_contracts::api_key::format(&id, &[7; 32]);
    let unknown = arborgate_contracts::api_key::format(&"nosuchkey0000000".parse().unwrap(), &[7; 32]);
    let cut = good[..good.len() - 1].to_owned();
    for bad in [other, unknown, cut, "x".to_owned(), String::new(), "a".repeat(5000), format!("{good} x")] {
        let answer = system.post_json("/predict", &setosa(), &Credential::Key(bad.clone())).await.unwrap();
        assert_eq!(problem(&answer, 403), "the API key is not valid", "{bad}");
        assert!(!answer.text().contains(&good));
    }
}

async fn two_credentials_get_400(system: &System) {
    let (key, _) = system.new_key(&unique("key"), "predictor").await.unwrap();
    let admin = system.admin().await.unwrap();
    let both = key.apply(admin.apply(system.request(0, Method::POST, "/predict"))).json(&setosa());
    assert!(problem(&system.send(both).await.unwrap(), 400).contains("both"));
    let twice = admin.apply(admin.apply(system.request(0, Method::POST, "/predict"))).json(&setosa());
    assert!(problem(&system.send(twice).await.unwrap(), 400).contains("twice"));
}

async fn roles_decide(system: &System) {
    let user = system.new_user(&unique("user"), "user").await.unwrap();
    let (user_key, _) = system.new_key(&unique("user"), "user").await.unwrap();
    for who in [user, user_key] {
        for edge in 0..2 {
            let answer = system.post_json_at(edge, "/predict", &setosa(), &who).await.unwrap();
            assert_eq!(problem(&answer, 403), "Operation not permitted");
        }
    }
    let predictor = system.new_user(&unique("predictor"), "predictor").await.unwrap();
    assert_eq!(system.post_json("/predict", &setosa(), &predictor).await.unwrap().status, 200);
    assert_eq!(system.get("/v1/models", &predictor).await.unwrap().status, 200);
    let answer = system.post_json("/encrypt", &json!({"plaintext": "x"}), &predictor).await.unwrap();
    assert_eq!(problem(&answer, 403), "Operation not permitted");
}

async fn unknown_paths_and_methods(system: &System) {
    let admin = system.admin().await.unwrap();
    for path in ["/nothing", "/v1", "/v1/models/iris/versions", "/predict/x", "//predict", "/.%00./predict"] {
        problem(&system.get(path, &admin).await.unwrap(), 404);
        problem(&system.get(path, &Credential::None).await.unwrap(), 404);
    }
    for (path, allow) in [
        ("/predict", "POST"),
        ("/token", "POST"),
        ("/v1/models/iris/versions/1", "PUT, DELETE"),
        ("/v1/models/iris/versions/1/", "PUT, DELETE"),
        ("/v1/encryption-keys", "POST"),
    ] {
        let answer = system.get(path, &admin).await.unwrap();
        problem(&answer, 405);
        assert_eq!(answer.header("allow"), allow);
    }
    for path in ["/v1/models/no-such-model/predict", "/v1/models/iris/versions/9/predict", "/v1/models/..%2fx/predict"]
    {
        assert!(problem(&system.post_json(path, &setosa(), &admin).await.unwrap(), 404).contains("/v1/models"));
    }
    problem(&system.get("/v1/models/no-such-model", &admin).await.unwrap(), 404);
}

async fn request_ids_come_back(system: &System) {
    let asked = |id: &str| system.request(0, Method::GET, "/livez").header("X-Request-Id", id);
    let answer = system.send(asked("order-66.a_B")).await.unwrap();
    assert_eq!(answer.header("x-request-id"), "order-66.a_B");
    // One that is not legal is not repeated.
    for illegal in ["", "a b", "<script>", "-x", &"x".repeat(65)] {
        let given = system.send(asked(illegal)).await.unwrap().header("x-request-id").to_owned();
        assert_ne!(given, illegal);
        assert_eq!(given.len(), 32);
    }
}

async fn a_head_has_no_body(system: &System) {
    let admin = system.admin().await.unwrap();
    let answer = system.send(admin.apply(system.request(0, Method::HEAD, "/v1/models"))).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    secure(&answer);
}
