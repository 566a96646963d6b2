//! Every operation with every role: who may is what the two tables say, and nothing else.

use arborgate_contracts::permission::Role;
use arborgate_edge::operations::{Access, OPERATIONS};
use arborgate_testkit::system::{Answer, Credential, Kind, Options, System};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{on_both_kinds, private, problem, problem_as, unique};

on_both_kinds!(every_operation_with_every_role);

/// A request that is legal but for who sends it, and harms nothing: what it names is not there.
async fn ask(system: &System, edge: usize, method: &str, path: &str, who: &Credential) -> Answer {
    let path = path.replace("{model}", "not-there").replace("{version}", "1").replace("{name}", "not-there");
    let path = path.replace("{id}", "notthere00000000");
    let method: Method = method.parse().unwrap();
    let mut request = who.apply(system.request(edge, method.clone(), &path));
    request = match (method.as_str(), path.as_str()) {
        ("PUT", path) if path.ends_with("/split") => request.json(&json!({"shares": [{"version": "1", "percent": 1}]})),
        ("PUT", path) if path.ends_with("/shadow") => request.json(&json!({"version": "1"})),
        ("PUT", path) if path.starts_with("/v1/models") => {
            request.header("Content-Type", "application/octet-stream").body("no model")
        }
        ("PUT", _) => request.header("Content-Type", "application/x-tar").body("no backup"),
        ("POST", "/token") => request.form(&[("username", "nobody"), ("password", "wrong")]),
        ("POST", "/v1/users") => {
            request.json(&json!({"name": unique("matrix"), "password": "long enough for one", "roles": ["user"]}))
        }
        ("POST", "/v1/api-keys") => request.json(&json!({"name": "matrix", "roles": ["user"]})),
        ("POST", "/encrypt") => request.json(&json!({"plaintext": "x"})),
        ("POST", "/decrypt") => request.json(&json!({"ciphertext": "x"})),
        ("POST", _) => request.json(&json!({})),
        _ => request,
    };
    system.send(request).await.unwrap()
}

/// Whom the front lets through: what the handler says then is another matter.
fn is_let_in(answer: &Answer) -> bool {
    !matches!(answer.status, 401 | 403)
}

async fn every_operation_with_every_role(kind: Kind) {
    let system = private(kind, Options::default()).await;
    system.settle().await.unwrap();
    let document: Value = system.get("/openapi.json", &Credential::None).await.unwrap().json();
    let mut callers = vec![(None, Credential::None)];
    for role in Role::ALL {
        callers.push((Some(role), system.new_user(&unique("matrix"), role.as_str()).await.unwrap()));
        callers.push((Some(role), system.new_key(&unique("matrix"), role.as_str()).await.unwrap().0));
    }
    let mut documented = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase();
            let id = operation["operationId"].as_str().unwrap();
            let known = OPERATIONS.iter().find(|o| o.id == id).unwrap_or_else(|| panic!("{id} is not in the table"));
            assert_eq!((known.method.as_str(), known.path), (method.as_str(), path.as_str()));
            documented += 1;
            let refused = |answer: &Answer, status: u16| {
                let shown = operation["responses"][status.to_string()]["content"].as_object().unwrap();
                problem_as(answer, status, shown.keys().next().unwrap())
            };
            for (role, who) in &callers {
                for edge in 0..system.edges() {
                    let answer = ask(&system, edge, &method, path, who).await;
                    let told = format!("{id} by {role:?} at {edge}: {} {}", answer.status, answer.text());
                    assert!(answer.status < 500, "{told}");
                    match (known.access, role) {
                        // The one public operation that refuses is the one that signs in.
                        (Access::Public, _) if id == "token" => {
                            assert_eq!(problem(&answer, 401), "Incorrect username or password");
                        }
                        (Access::Public, _) => assert_eq!(answer.status, 200, "{told}"),
                        (Access::Needs(_), None) => drop(refused(&answer, 401)),
                        (Access::Needs(permission), Some(role)) if role.permissions().contains(permission) => {
                            assert!(is_let_in(&answer), "{told}");
                        }
                        (Access::Needs(_), Some(_)) => {
                            assert_eq!(refused(&answer, 403), "Operation not permitted", "{told}");
                        }
                    }
                }
            }
        }
    }
    assert_eq!(documented, OPERATIONS.len(), "the document lacks an operation of the table");
}
