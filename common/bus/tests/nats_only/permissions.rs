//! What the server's permissions deny is an error, and not silence.

use arborgate_bus::nats::{Config, Credentials};
use arborgate_bus::{Bus, BusError, RequestError};
use arborgate_testkit::nats::NatsServer;
use bytes::Bytes;

use crate::support::{ages, bus_by, config, echo, server_with, soon, subject, within};

/// One may do everything, the other only what is named: ask and serve `allowed`, hear and say `news`, and reply.
const USERS: &str = r#"
authorization {
  users: [
    { user: admin, password: secret }
    { user: limited, password: secret, permissions: {
        publish: ["arborgate.v1.test.allowed", "arborgate.v1.test.news", "_INBOX.>"]
        subscribe: ["arborgate.v1.test.allowed", "arborgate.v1.test.news", "_INBOX.>"]
    } }
  ]
}
"#;

fn user(server: &NatsServer, name: &str) -> Config {
    Config {
        credentials: Credentials {
            user: Some(name.to_owned()),
            password: Some("secret".into()),
            ..Credentials::default()
        },
        ..config(server)
    }
}

async fn both() -> (NatsServer, Bus, Bus) {
    let server = server_with(USERS).await;
    let admin = bus_by(&user(&server, "admin")).await;
    let limited = bus_by(&user(&server, "limited")).await;
    (server, admin, limited)
}

fn is_denied<T>(outcome: Result<T, BusError>, subject: &str) {
    match outcome.map(drop).unwrap_err() {
        BusError::Transport { source, .. } => {
            let text = source.to_string();
            assert!(text.contains("permissions deny") && text.contains(subject), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_allowed_works() {
    let (_server, admin, limited) = both().await;
    let _serving = limited.serve(&subject("allowed"), Some("g"), 8, echo()).await.unwrap();
    within(admin.request(&subject("allowed"), Bytes::new(), soon())).await.unwrap();
    within(limited.request(&subject("allowed"), Bytes::new(), soon())).await.unwrap();
    let mut heard = limited.subscribe(&subject("news"), 8).await.unwrap();
    limited.publish(&subject("news"), Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(within(heard.next()).await.unwrap(), "x");
}

#[tokio::test]
async fn a_request_that_is_denied_fails_at_once() {
    let (_server, admin, limited) = both().await;
    let _serving = admin.serve(&subject("denied"), None, 8, echo()).await.unwrap();
    for _ in 0..3 {
        match within(limited.request(&subject("denied"), Bytes::new(), ages())).await {
            Err(RequestError::Bus(error)) => is_denied(Err::<(), _>(error), "arborgate.v1.test.denied"),
            other => panic!("{other:?}"),
        }
    }
    within(admin.request(&subject("denied"), Bytes::new(), soon())).await.unwrap();
}

#[tokio::test]
async fn serving_and_subscribing_that_are_denied_fail() {
    let (_server, admin, limited) = both().await;
    let denied = subject("denied");
    for group in [None, Some("g")] {
        is_denied(within(limited.serve(&denied, group, 8, echo())).await, denied.as_str());
    }
    is_denied(within(limited.subscribe(&denied, 8)).await, denied.as_str());
    // It did not become one that swallows requests.
    let asked = within(admin.request(&denied, Bytes::new(), ages())).await;
    assert!(matches!(asked, Err(RequestError::NoResponders { .. })), "{asked:?}");
}

#[tokio::test]
async fn publishing_that_is_denied_fails_the_first_time_too() {
    let (_server, _admin, limited) = both().await;
    for _ in 0..3 {
        is_denied(within(limited.publish(&subject("denied"), Bytes::new())).await, "arborgate.v1.test.denied");
    }
    limited.publish(&subject("news"), Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn state_that_is_denied_is_an_error() {
    let (_server, admin, limited) = both().await;
    admin.create_bucket(&crate::support::THINGS).await.unwrap();
    assert!(within(limited.bucket(&crate::support::THINGS)).await.is_err());
}

#[tokio::test]
async fn a_connection_that_may_not_hear_its_inbox_is_refused() {
    let server = server_with(
        r#"authorization { users: [ { user: deaf, password: secret, permissions: { subscribe: ["x"] } } ] }"#,
    )
    .await;
    is_denied(within(arborgate_bus::nats::connect(&user(&server, "deaf"))).await, "_INBOX.");
}

#[tokio::test]
async fn an_inbox_prefix_of_one_s_own_is_enough() {
    let server = server_with(
        r#"authorization { users: [ { user: own, password: secret, permissions: {
             publish: ["_INBOX_own.>", "arborgate.v1.test.a"], subscribe: ["_INBOX_own.>", "arborgate.v1.test.a"] } } ] }"#,
    )
    .await;
    let config = Config { inbox_prefix: "_INBOX_own".to_owned(), ..user(&server, "own") };
    let bus = bus_by(&config).await;
    let _serving = bus.serve(&subject("a"), None, 8, echo()).await.unwrap();
    within(bus.request(&subject("a"), Bytes::new(), soon())).await.unwrap();
}
