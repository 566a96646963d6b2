//! Requests of other clients of NATS, such as `nats req`.

use std::time::Duration;

use arborgate_contracts::{ErrorCode, ServiceError};
use async_nats::HeaderMap;
use bytes::Bytes;

use crate::support::{bus, echo, handler, server, stranger, subject, within};

#[tokio::test]
async fn a_request_without_headers_is_answered() {
    let server = server().await;
    let bus = bus(&server).await;
    let _serving = bus.serve(&subject("echo"), Some("g"), 8, echo()).await.unwrap();
    let stranger = stranger(&server).await;
    let reply = within(stranger.request(subject("echo").as_str().to_owned(), "hello".into())).await.unwrap();
    assert_eq!(reply.payload, "hello");
    assert!(reply.headers.is_none());
}

#[tokio::test]
async fn its_deadline_is_the_default_one() {
    let server = server().await;
    let bus = bus(&server).await;
    let left =
        handler(|request| async move { Ok(Bytes::from(request.meta.deadline.remaining().as_secs().to_string())) });
    let _serving = bus.serve(&subject("left"), None, 8, left).await.unwrap();
    let reply =
        within(stranger(&server).await.request(subject("left").as_str().to_owned(), Bytes::new())).await.unwrap();
    let seconds: u64 = std::str::from_utf8(&reply.payload).unwrap().parse().unwrap();
    assert!((1..=5).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn headers_that_are_wrong_are_told() {
    let server = server().await;
    let bus = bus(&server).await;
    let _serving = bus.serve(&subject("echo"), None, 8, echo()).await.unwrap();
    let stranger = stranger(&server).await;
    let ask = async |name: &'static str, value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(name, value);
        let subject = subject("echo").as_str().to_owned();
        within(stranger.request_with_headers(subject, headers, "x".into())).await.unwrap()
    };
    let reply = ask("Arborgate-Deadline", "soon").await;
    assert_eq!(reply.headers.unwrap().get("Arborgate-Error").unwrap().as_str(), "bad-request");
    let error: ServiceError = serde_json::from_slice(&reply.payload).unwrap();
    assert_eq!(error.code, ErrorCode::BadRequest);
    assert!(error.detail.contains("Arborgate-Deadline"));
    assert_eq!(ask("traceparent", "nonsense").await.payload, "x");
}

#[tokio::test]
async fn one_that_nobody_can_be_answered_is_not_handled() {
    let server = server().await;
    let nats = arborgate_bus::nats::connect(&crate::support::config(&server)).await.unwrap();
    let metrics = nats.metrics().clone();
    let bus = arborgate_bus::Bus::new(std::sync::Arc::new(nats));
    let refusing = handler(|_| async { panic!("it was handled") });
    let _serving = bus.serve(&subject("void"), None, 8, refusing).await.unwrap();
    let stranger = stranger(&server).await;
    stranger.publish(subject("void").as_str().to_owned(), "x".into()).await.unwrap();
    stranger.flush().await.unwrap();
    crate::support::eventually("it was counted", || async { metrics.unanswerable.get() == 1 }).await;
    assert_eq!(metrics.panics.get(), 0);
}

#[tokio::test]
async fn one_that_comes_too_late_is_not_handled() {
    let server = server().await;
    let nats = arborgate_bus::nats::connect(&crate::support::config(&server)).await.unwrap();
    let metrics = nats.metrics().clone();
    let bus = arborgate_bus::Bus::new(std::sync::Arc::new(nats));
    let refusing = handler(|_| async { panic!("it was handled") });
    let _serving = bus.serve(&subject("late"), None, 8, refusing).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("Arborgate-Deadline", "0");
    let stranger = stranger(&server).await;
    let asked = stranger.request_with_headers(subject("late").as_str().to_owned(), headers, "x".into());
    assert!(tokio::time::timeout(Duration::from_millis(200), asked).await.is_err());
    crate::support::eventually("it was counted", || async { metrics.expired.get() == 1 }).await;
    assert_eq!(metrics.panics.get(), 0);
}
