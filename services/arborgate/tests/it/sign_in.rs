//! POST /token.

use arborgate_testkit::system::{ADMIN_PASSWORD, Credential, System};
use reqwest::Method;
use serde_json::json;

use crate::support::{on_both_buses, problem, secure, setosa, unique};

on_both_buses!(
    the_form_of_oauth_signs_in,
    a_wrong_password_and_an_unknown_user_read_the_same,
    faults_of_the_form_are_told,
    another_content_type_is_refused,
);

async fn the_form_of_oauth_signs_in(system: &System) {
    let user = [("username", "admin"), ("password", ADMIN_PASSWORD)];
    let more = [("grant_type", "password"), ("scope", ""), ("client_id", "x")];
    for (path, form) in
        [("/token", user.to_vec()), ("/token/", user.to_vec()), ("/token", [user.as_slice(), &more].concat())]
    {
        let answer = system.send(system.request(0, Method::POST, path).form(&form)).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        secure(&answer);
        assert_eq!(answer.header("cache-control"), "no-store");
        let json = answer.json();
        assert_eq!(json["token_type"], "bearer");
        assert_eq!(json["expires_in"], 3600);
        assert_eq!(json.as_object().unwrap().len(), 3, "{json}");
        let token = Credential::Bearer(json["access_token"].as_str().unwrap().to_owned());
        // At whichever edge.
        for edge in 0..2 {
            assert_eq!(system.post_json_at(edge, "/predict", &setosa(), &token).await.unwrap().status, 200);
        }
    }
}

async fn a_wrong_password_and_an_unknown_user_read_the_same(system: &System) {
    let (known, password) = (unique("known"), "correct horse battery");
    let body = json!({"name": known, "password": password, "roles": ["user"]});
    let added = system.post_json("/v1/users", &body, &system.admin().await.unwrap()).await.unwrap();
    assert_eq!(added.status, 201);
    assert_eq!(system.sign_in(1, &known, password).await.unwrap().status, 200);
    let upper = password.to_uppercase();
    let spaced = format!("{password} ");
    let cases = [
        (known.as_str(), "wrong horse battery"),
        (&known, "x"),
        (&known, &upper),
        (&known, &spaced),
        ("nobody-of-this-name", password),
        ("no legal name at all", password),
        ("' OR 1=1 --", password),
        ("user.\u{0}*>", password),
        ("é", "é"),
    ];
    let mut bodies = Vec::new();
    for (number, (user, wrong)) in cases.into_iter().enumerate() {
        let answer = system.sign_in(number, user, wrong).await.unwrap();
        assert_eq!(problem(&answer, 401), "Incorrect username or password");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        bodies.push(answer.body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
}

async fn faults_of_the_form_are_told(system: &System) {
    for (form, pointers) in [
        (vec![], vec!["username", "password"]),
        (vec![("username", "admin")], vec!["password"]),
        (vec![("username", "admin"), ("password", "")], vec!["password"]),
        (vec![("username", "a"), ("username", "b"), ("password", "x")], vec!["username"]),
        (vec![("grant_type", "client_credentials"), ("username", "a"), ("password", "b")], vec!["grant_type"]),
    ] {
        let answer = system.send(system.request(0, Method::POST, "/token").form(&form)).await.unwrap();
        problem(&answer, 422);
        assert_eq!(answer.pointers(), pointers);
        assert!(!answer.text().contains("\"admin\""));
    }
}

async fn another_content_type_is_refused(system: &System) {
    let json = json!({"username": "admin", "password": ADMIN_PASSWORD});
    let answer = system.post_json("/token", &json, &Credential::None).await.unwrap();
    assert!(problem(&answer, 415).contains("application/x-www-form-urlencoded"));
    let large = vec![("username", "admin".to_owned()), ("password", "x".repeat(3 << 20))];
    problem(&system.send(system.request(0, Method::POST, "/token").form(&large)).await.unwrap(), 413);
    problem(&system.get("/token", &Credential::None).await.unwrap(), 405);
}
