//! The operations listener, asked by its own client and by a raw connection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::time::Duration;

use arborgate_runtime::Error;
use arborgate_runtime::metrics::{self, Registry};
use arborgate_runtime::ops::{self, Config, Health, Listen, ask};
use arborgate_runtime::shutdown::Shutdown;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const LONG: Duration = Duration::from_secs(30);

async fn started(health: &Health, shutdown: &Shutdown) -> SocketAddr {
    let config = Config { listen: Listen::At("127.0.0.1:0".parse().unwrap()) };
    ops::start(&config, health.clone(), Registry::new(), shutdown.clone()).await.unwrap().unwrap()
}

async fn raw(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(LONG, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

fn json_of(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[tokio::test]
async fn readiness_follows_the_checks_and_the_drain() {
    let (health, shutdown) = (Health::new(), Shutdown::new());
    let addr = started(&health, &shutdown).await;
    assert_eq!(ask(addr, "/livez", LONG).await.unwrap().status, 200);
    let answer = ask(addr, "/readyz", LONG).await.unwrap();
    assert_eq!((answer.status.as_u16(), json_of(&answer.body)), (503, json!({ "status": "not ready", "checks": [] })));

    let bus = health.check("bus");
    bus.not_ready("waiting for NATS at nats://nats:4222");
    let answer = ask(addr, "/readyz", LONG).await.unwrap();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.content_type.as_deref(), Some("application/json"));
    let check = json!({ "name": "bus", "ready": false, "reason": "waiting for NATS at nats://nats:4222" });
    assert_eq!(json_of(&answer.body)["checks"], json!([check]));

    bus.ready();
    let answer = ask(addr, "/readyz", LONG).await.unwrap();
    let checks = json!([{ "name": "bus", "ready": true }]);
    assert_eq!((answer.status.as_u16(), json_of(&answer.body)), (200, json!({ "status": "ready", "checks": checks })));

    // during the drain it answers, and says that no more should come; after it, it is gone
    let token = shutdown.token();
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    shutdown.spawn(async move {
        token.cancelled().await;
        let _ = released.await;
    });
    shutdown.begin();
    let draining = async {
        while health.is_ready() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, draining).await.unwrap();
    let answer = ask(addr, "/readyz", LONG).await.unwrap();
    assert_eq!((answer.status.as_u16(), json_of(&answer.body)["status"].as_str()), (503, Some("draining")));
    assert_eq!(ask(addr, "/livez", LONG).await.unwrap().status, 200);
    release.send(()).unwrap();
    assert_eq!(shutdown.drain(LONG).await.stragglers, 0);
    let gone = async { while ask(addr, "/livez", LONG).await.is_ok() {} };
    tokio::time::timeout(LONG, gone).await.unwrap();
}

#[tokio::test]
async fn metrics_are_encoded_for_prometheus() {
    let addr = started(&Health::new(), &Shutdown::new()).await;
    let answer = ask(addr, "/metrics", LONG).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.content_type.as_deref()), (200, Some(metrics::CONTENT_TYPE)));
    assert!(String::from_utf8(answer.body.to_vec()).unwrap().ends_with("# EOF\n"));
}

#[tokio::test]
async fn nothing_else_is_answered() {
    let addr = started(&Health::new(), &Shutdown::new()).await;
    for path in ["/", "/livez/", "/debug/pprof", "/%6civez", "/livezx"] {
        let answer = ask(addr, path, LONG).await.unwrap();
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.content_type.as_deref(), Some("application/problem+json"));
        assert_eq!(json_of(&answer.body)["status"], 404);
    }
    let answer = raw(addr, "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
    let answer = raw(addr, "HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    let answer = raw(addr, "rubbish\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let large = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(64 * 1024));
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let _ = stream.write_all(large.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await.unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn connections_beyond_the_cap_are_closed_and_places_come_back() {
    let addr = started(&Health::new(), &Shutdown::new()).await;
    let mut held = Vec::new();
    // as many as may be, each with half a request
    for _ in 0..32 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        held.push(stream);
    }
    let mut beyond = TcpStream::connect(addr).await.unwrap();
    let read = tokio::time::timeout(LONG, beyond.read_u8()).await.unwrap();
    assert!(read.is_err());
    for stream in &mut held {
        stream.write_all(b"Host: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(LONG, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    drop(held);
    let again = async { while ask(addr, "/livez", LONG).await.is_err() {} };
    tokio::time::timeout(LONG, again).await.unwrap();
}

#[tokio::test]
async fn it_can_be_off_and_a_port_in_use_is_named() {
    let (health, shutdown) = (Health::new(), Shutdown::new());
    let off = Config { listen: Listen::Off };
    assert_eq!(ops::start(&off, health.clone(), Registry::new(), shutdown.clone()).await.unwrap(), None);
    let addr = started(&health, &shutdown).await;
    let taken = Config { listen: Listen::At(addr) };
    let error = ops::start(&taken, health, Registry::new(), shutdown).await.unwrap_err();
    assert!(matches!(&error, Error::Listen { addr: named, .. } if *named == addr), "{error}");
    assert!(error.to_string().contains(&addr.to_string()));

    for (text, wanted) in [
        ("\"off\"", Some(Listen::Off)),
        ("\"127.0.0.1:0\"", Some(Listen::At("127.0.0.1:0".parse().unwrap()))),
        ("\"9901\"", None),
        ("9901", None),
    ] {
        assert_eq!(serde_json::from_str::<Listen>(text).ok(), wanted);
    }
    assert_eq!(Config::default().listen.to_string(), "127.0.0.1:9901");
}

#[tokio::test]
async fn who_does_not_answer_is_not_waited_for() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = silent.local_addr().unwrap();
    let error = ask(addr, "/livez", Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(error, Error::AskTimeout { .. }), "{error}");
    drop(silent);
    assert!(matches!(ask(addr, "/livez", LONG).await, Err(Error::Ask { .. })));
    assert!(matches!(ask(addr, "no path", LONG).await, Err(Error::Ask { .. })));
}
