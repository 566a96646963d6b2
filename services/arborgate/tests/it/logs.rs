//! What clients send never stands unescaped in a log.

use arborgate_testkit::system::{Credential, System};
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::json;

use crate::support::{on_both_buses, put_model, unique};

on_both_buses!(no_text_of_a_client_ends_a_line_or_drives_a_terminal);

/// Ends a line, forges another, colours the terminal, reorders what is read.
const EVIL: &str = "x\r\n2026-01-01T00:00:00Z  INFO forged: all is well\u{1b}[31m\u{9b}1m\u{202e}\u{7}\u{0}";

async fn no_text_of_a_client_ends_a_line_or_drives_a_terminal(system: &System) {
    let admin = system.admin().await.unwrap();
    let escaped: String = EVIL.bytes().map(|byte| format!("%{byte:02X}")).collect();
    system.sign_in(0, EVIL, EVIL).await.unwrap();
    for path in [
        format!("/{escaped}"),
        format!("/v1/models/{escaped}"),
        format!("/v1/models/{escaped}/predict"),
        format!("/v1/models/iris/versions/{escaped}/predict"),
        format!("/v1/users/{escaped}"),
        format!("/v1/api-keys/{escaped}"),
        format!("/livez?{escaped}={escaped}"),
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            system.send(admin.apply(system.request(0, method, &path)).json(&json!({EVIL: EVIL}))).await.unwrap();
        }
    }
    for (path, body) in [
        ("/v1/users", json!({"name": EVIL, "password": EVIL, "roles": [EVIL]})),
        ("/v1/users", json!({"name": unique("evil"), "password": format!("{EVIL}{EVIL}"), "roles": ["user"]})),
        ("/v1/api-keys", json!({"name": EVIL, "roles": ["user"]})),
        ("/encrypt", json!({"plaintext": EVIL})),
        ("/decrypt", json!({"ciphertext": EVIL})),
        ("/predict", json!({EVIL: EVIL})),
    ] {
        system.post_json(path, &body, &admin).await.unwrap();
    }
    let model = unique("evil");
    for file in
        [EVIL.as_bytes().to_vec(), format!("c{EVIL}\n{EVIL}\n.").into_bytes(), b"cos\nsystem\x1b[31m\n.".to_vec()]
    {
        put_model(system, &format!("/v1/models/{model}/versions/1?features={escaped}&classes={escaped}"), file).await;
    }
    // What HTTP lets through in a header: bytes above 127.
    let bytes = HeaderValue::from_bytes("\u{9b}31m\u{202e}forged: header".as_bytes()).unwrap();
    for name in
        ["X-Request-Id", "Authorization", "X-API-Key", "traceparent", "X-Forwarded-For", "User-Agent", "Content-Type"]
    {
        let request = system.request(0, Method::POST, "/predict").header(name, bytes.clone());
        system.send(request).await.unwrap();
    }
    let both = Credential::Bearer("ey\u{9b}".to_owned());
    system.get("/v1/models", &both).await.ok();
    let mut lines = 0;
    for (name, log) in system.logs() {
        for line in log.lines() {
            lines += 1;
            let bad = |c: char| c.is_control() && c != '\t' || ('\u{202a}'..='\u{202e}').contains(&c);
            assert!(!line.contains(bad), "{name}: {line:?}");
            assert!(!line.starts_with("2026-01-01T00:00:00Z"), "{name}: {line:?}");
        }
    }
    assert!(lines > 20, "{lines}");
    // Nor what authenticates or is secret.
    let Credential::Bearer(token) = &admin else { panic!() };
    for (name, log) in system.logs() {
        for secret in [token.as_str(), arborgate_testkit::system::ADMIN_PASSWORD, "the password of"] {
            assert!(!log.contains(secret), "{name} logs a secret");
        }
    }
}
