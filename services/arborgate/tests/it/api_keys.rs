//! API keys and users: made, shown, revoked at every edge.

use arborgate_testkit::system::{ADMIN_PASSWORD, Credential, Kind, Options, System, eventually};
use serde_json::json;

use crate::support::{on_both_buses, on_both_kinds, private, problem, setosa, unique};

on_both_buses!(
    a_key_is_shown_once_and_works,
    a_revoked_key_is_refused_at_every_edge,
    a_removed_user_s_token_is_refused_at_every_edge,
    a_name_is_taken_once,
    what_is_not_there_is_404,
    the_operator_s_commands_manage_users_and_keys,
);
on_both_kinds!(the_last_administrator_stays);

async fn a_key_is_shown_once_and_works(system: &System) {
    let admin = system.admin().await.unwrap();
    let name = unique("shown");
    let body = json!({"name": name, "roles": ["predictor"], "expires_in": 3600});
    let made = system.post_json("/v1/api-keys", &body, &admin).await.unwrap();
    assert_eq!(made.status, 201);
    let made = made.json();
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("arb_live_"));
    let key = &made["key"];
    assert_eq!((&key["name"], &key["roles"]), (&json!(name), &json!(["predictor"])));
    assert_eq!(key["created_by"], "user:admin");
    assert!(key["expires_at"].as_str().unwrap() > key["created_at"].as_str().unwrap());
    let list = system.get("/v1/api-keys", &admin).await.unwrap();
    let shown = list.json().as_array().unwrap().iter().find(|k| k["id"] == key["id"]).unwrap().clone();
    assert_eq!(&shown, key);
    assert!(!list.text().contains(secret) && !list.text().contains("digest"));
    assert!(!list.text().contains(secret.split('_').nth(3).unwrap()));
    for edge in 0..2 {
        let key = Credential::Key(secret.to_owned());
        assert_eq!(system.post_json_at(edge, "/predict", &setosa(), &key).await.unwrap().status, 200);
    }
}

/// Waits until every edge refuses, which it does at once when told and within the lease's five seconds in any case.
async fn refused_everywhere(system: &System, who: &Credential, status: u16) {
    for edge in 0..system.edges() {
        eventually("every edge refuses", async || {
            let answer = system.post_json_at(edge, "/predict", &setosa(), who).await?;
            assert!([200, status].contains(&answer.status), "{}", answer.text());
            Ok(answer.status == status)
        })
        .await
        .unwrap();
    }
    // For good.
    for edge in 0..6 {
        problem(&system.post_json_at(edge, "/predict", &setosa(), who).await.unwrap(), status);
    }
}

async fn a_revoked_key_is_refused_at_every_edge(system: &System) {
    let admin = system.admin().await.unwrap();
    let (key, id) = system.new_key(&unique("revoked"), "predictor").await.unwrap();
    let (other, _) = system.new_key(&unique("kept"), "predictor").await.unwrap();
    for edge in 0..2 {
        assert_eq!(system.post_json_at(edge, "/predict", &setosa(), &key).await.unwrap().status, 200);
    }
    let path = format!("/v1/api-keys/{id}");
    assert_eq!(system.delete(&path, &admin).await.unwrap().status, 204);
    refused_everywhere(system, &key, 403).await;
    problem(&system.delete(&path, &admin).await.unwrap(), 404);
    assert_eq!(system.post_json("/predict", &setosa(), &other).await.unwrap().status, 200);
    assert!(!system.get("/v1/api-keys", &admin).await.unwrap().text().contains(&id));
}

async fn a_removed_user_s_token_is_refused_at_every_edge(system: &System) {
    let admin = system.admin().await.unwrap();
    let name = unique("removed");
    let token = system.new_user(&name, "predictor").await.unwrap();
    for edge in 0..2 {
        assert_eq!(system.post_json_at(edge, "/predict", &setosa(), &token).await.unwrap().status, 200);
    }
    let users = system.get("/v1/users", &admin).await.unwrap();
    let shown = users.json().as_array().unwrap().iter().find(|user| user["name"] == name).unwrap().clone();
    assert_eq!(shown["roles"], json!(["predictor"]));
    assert!(!users.text().contains("argon2") && !users.text().contains("hash"));
    assert_eq!(system.delete(&format!("/v1/users/{name}"), &admin).await.unwrap().status, 204);
    refused_everywhere(system, &token, 401).await;
    problem(&system.sign_in(0, &name, &format!("the password of {name}")).await.unwrap(), 401);
    // Another of the same name does not make the old token good again.
    let again = system.new_user(&name, "predictor").await.unwrap();
    assert_eq!(system.post_json("/predict", &setosa(), &again).await.unwrap().status, 200);
    refused_everywhere(system, &token, 401).await;
}

async fn a_name_is_taken_once(system: &System) {
    let name = unique("taken");
    system.new_user(&name, "user").await.unwrap();
    let body = json!({"name": name, "password": "another password", "roles": ["admin"]});
    problem(&system.post_json("/v1/users", &body, &system.admin().await.unwrap()).await.unwrap(), 409);
    assert_eq!(system.sign_in(1, &name, &format!("the password of {name}")).await.unwrap().status, 200);
    problem(&system.sign_in(1, &name, "another password").await.unwrap(), 401);
}

async fn what_is_not_there_is_404(system: &System) {
    let admin = system.admin().await.unwrap();
    for path in
        ["/v1/users/nobody", "/v1/users/%20", "/v1/api-keys/nosuchkey0000000", "/v1/api-keys/%3E", "/v1/users/a%2Fb"]
    {
        problem(&system.delete(path, &admin).await.unwrap(), 404);
    }
}

async fn the_operator_s_commands_manage_users_and_keys(system: &System) {
    let name = unique("cli");
    let added =
        system.cli_reading("a password by pipe\n", ["users", "add", &name, "--role", "predictor"]).await.unwrap();
    assert!(added.success, "{}", added.stderr);
    let token = system.token(&name, "a password by pipe").await.unwrap();
    assert_eq!(system.post_json("/predict", &setosa(), &token).await.unwrap().status, 200);
    let list = system.cli(["users", "list"]).await.unwrap();
    assert!(list.stdout.lines().any(|line| line.starts_with(&name) && line.contains("predictor")), "{}", list.stdout);
    assert!(system.cli(["users", "remove", &name]).await.unwrap().success);
    let gone = system.cli(["users", "remove", &name]).await.unwrap();
    assert!(!gone.success && gone.stderr.contains("no user"), "{}", gone.stderr);
    let made = system.cli(["keys", "create", "by-cli", "--role", "admin", "--json"]).await.unwrap();
    let made: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
    let key = Credential::Key(made["secret"].as_str().unwrap().to_owned());
    // Over HTTPS with that key, on whichever bus.
    let args = ["keys".into(), "list".into()];
    let list = system.cli_with_key("", &key, &args).await.unwrap();
    assert!(list.stdout.contains(made["key"]["id"].as_str().unwrap()), "{} {}", list.stdout, list.stderr);
    let revoked = system.cli(["keys", "revoke", made["key"]["id"].as_str().unwrap()]).await.unwrap();
    assert!(revoked.success, "{}", revoked.stderr);
    refused_everywhere(system, &key, 403).await;
    let refused = system.cli_with_key("", &key, &args).await.unwrap();
    assert!(!refused.success && refused.stderr.contains("API key is not valid"), "{}", refused.stderr);
}

async fn the_last_administrator_stays(kind: Kind) {
    let system = private(kind, Options::default()).await;
    let admin = system.admin().await.unwrap();
    assert!(problem(&system.delete("/v1/users/admin", &admin).await.unwrap(), 409).contains("administrator"));
    assert_eq!(system.sign_in(0, "admin", ADMIN_PASSWORD).await.unwrap().status, 200);
    let second = system.new_user("second", "admin").await.unwrap();
    assert_eq!(system.delete("/v1/users/admin", &second).await.unwrap().status, 204);
    problem(&system.delete("/v1/users/second", &second).await.unwrap(), 409);
    assert_eq!(system.get("/v1/users", &second).await.unwrap().json().as_array().unwrap().len(), 1);
}
