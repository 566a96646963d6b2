//! Request and reply: what arrives, who gets it, what comes back.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arborgate_bus::{Meta, RequestError};
use arborgate_contracts::{ErrorCode, Fault, ServiceError, TraceContext};
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, echo, eventually, handler, soon, subject, within};

conformance!(on [local_memory nats] {
    payloads_arrive_and_return
    an_error_of_the_service_returns_whole
    of_a_queue_group_one_member_answers_each
    a_queue_group_spreads_its_requests
    nobody_serves
    nobody_serves_any_more
    a_request_over_the_limit_is_not_sent
    a_reply_over_the_limit_is_an_error
    the_limit_itself_passes
    the_trace_arrives
    a_thousand_at_once
    a_panic_is_one_requests_own
    subjects_are_apart
});

async fn payloads_arrive_and_return(f: Fixture) {
    let _serving = f.two.bus.serve(&subject("echo"), Some("g"), 8, echo()).await.unwrap();
    let every_byte: Vec<u8> = (0..=255).collect();
    for payload in [vec![], vec![0], every_byte, vec![b'\n'; 4096], vec![0xff; 300_000]] {
        let payload = Bytes::from(payload);
        let reply = within(f.one.bus.request(&subject("echo"), payload.clone(), soon())).await.unwrap();
        assert_eq!(reply, payload);
    }
}

async fn an_error_of_the_service_returns_whole(f: Fixture) {
    let fault = |n: u32| Fault { pointer: format!("/rows/{n}/é \r\n"), detail: "no \"number\"\u{0}".into() };
    let mut error =
        ServiceError::new(ErrorCode::Invalid, "two \r\n places: é").with_faults((0..50).map(fault).collect());
    error.retry_after_ms = Some(u64::MAX);
    let answer = error.clone();
    let failing = handler(move |_| {
        let answer = answer.clone();
        async move { Err(answer) }
    });
    let _serving = f.two.bus.serve(&subject("failing"), None, 8, failing).await.unwrap();
    match within(f.one.bus.request(&subject("failing"), Bytes::new(), soon())).await {
        Err(RequestError::Service(returned)) => assert_eq!(returned, error),
        other => panic!("{other:?}"),
    }
}

/// Serves `members` times in one group; each answers with its number.
async fn group(f: &Fixture, name: &str, members: usize) -> (Vec<arborgate_bus::Serving>, Arc<AtomicUsize>) {
    let handled = Arc::new(AtomicUsize::new(0));
    let mut servings = Vec::new();
    for member in 0..members {
        let handled = Arc::clone(&handled);
        let answer = handler(move |_| {
            handled.fetch_add(1, Ordering::SeqCst);
            async move { Ok(Bytes::from(member.to_string())) }
        });
        let bus = if member % 2 == 0 { &f.two.bus } else { &f.one.bus };
        servings.push(bus.serve(&subject(name), Some("workers"), 64, answer).await.unwrap());
    }
    (servings, handled)
}

async fn of_a_queue_group_one_member_answers_each(f: Fixture) {
    let (_servings, handled) = group(&f, "once", 4).await;
    for _ in 0..200 {
        within(f.one.bus.request(&subject("once"), Bytes::new(), soon())).await.unwrap();
    }
    assert_eq!(handled.load(Ordering::SeqCst), 200);
}

async fn a_queue_group_spreads_its_requests(f: Fixture) {
    let (_servings, _) = group(&f, "spread", 3).await;
    let mut who = [0; 3];
    for _ in 0..300 {
        let reply = within(f.one.bus.request(&subject("spread"), Bytes::new(), soon())).await.unwrap();
        who[std::str::from_utf8(&reply).unwrap().parse::<usize>().unwrap()] += 1;
    }
    // By chance (NATS) a member has less than 60 of 300 once in 10^6; in turns it has 100.
    assert!(who.iter().all(|&n| n >= 60), "{who:?}");
}

async fn nobody_serves(f: Fixture) {
    match within(f.one.bus.request(&subject("nobody"), Bytes::new(), soon())).await {
        Err(RequestError::NoResponders { subject: named }) => assert_eq!(named, subject("nobody").as_str()),
        other => panic!("{other:?}"),
    }
}

async fn nobody_serves_any_more(f: Fixture) {
    let serving = f.two.bus.serve(&subject("gone"), Some("g"), 8, echo()).await.unwrap();
    within(f.one.bus.request(&subject("gone"), Bytes::new(), soon())).await.unwrap();
    drop(serving);
    eventually("nobody serves", || async {
        let meta = Meta::within(Duration::from_millis(200));
        let outcome = f.one.bus.request(&subject("gone"), Bytes::new(), meta).await;
        matches!(outcome, Err(RequestError::NoResponders { .. }))
    })
    .await;
    // And again somebody.
    let _serving = f.two.bus.serve(&subject("gone"), Some("g"), 8, echo()).await.unwrap();
    within(f.one.bus.request(&subject("gone"), Bytes::new(), soon())).await.unwrap();
}

async fn a_request_over_the_limit_is_not_sent(f: Fixture) {
    let (_servings, handled) = group(&f, "over", 1).await;
    let limit = f.one.bus.max_payload();
    match within(f.one.bus.request(&subject("over"), Bytes::from(vec![7; limit + 1]), soon())).await {
        Err(RequestError::TooLarge { size, limit: named }) => assert_eq!((size, named), (limit + 1, limit)),
        other => panic!("{other:?}"),
    }
    within(f.one.bus.request(&subject("over"), Bytes::new(), soon())).await.unwrap();
    assert_eq!(handled.load(Ordering::SeqCst), 1);
}

async fn a_reply_over_the_limit_is_an_error(f: Fixture) {
    let limit = f.two.bus.max_payload();
    let answer = handler(move |request| {
        let size = if request.payload.is_empty() { limit + 1 } else { 1 };
        async move { Ok(Bytes::from(vec![7; size])) }
    });
    let _serving = f.two.bus.serve(&subject("too-much"), None, 1, answer).await.unwrap();
    match within(f.one.bus.request(&subject("too-much"), Bytes::new(), soon())).await {
        Err(RequestError::TooLarge { size, limit: named }) => assert_eq!((size, named), (limit + 1, limit)),
        other => panic!("{other:?}"),
    }
    within(f.one.bus.request(&subject("too-much"), Bytes::from_static(b"x"), soon())).await.unwrap();
}

async fn the_limit_itself_passes(f: Fixture) {
    let _serving = f.two.bus.serve(&subject("brim"), None, 1, echo()).await.unwrap();
    let payload = Bytes::from(vec![42; f.one.bus.max_payload()]);
    let reply = within(f.one.bus.request(&subject("brim"), payload.clone(), soon())).await.unwrap();
    assert!(reply == payload);
}

async fn the_trace_arrives(f: Fixture) {
    let answer = handler(|request| async move {
        Ok(Bytes::from(request.meta.trace.map_or("none".to_owned(), |trace| trace.to_string())))
    });
    let _serving = f.two.bus.serve(&subject("trace"), None, 8, answer).await.unwrap();
    let text = "00-0af7651916cd43dd8448eb211c80319c-00000000000000ff-01";
    let traced = Meta { trace: Some(text.parse::<TraceContext>().unwrap()), ..soon() };
    let reply = within(f.one.bus.request(&subject("trace"), Bytes::new(), traced)).await.unwrap();
    assert_eq!(reply, text);
    let reply = within(f.one.bus.request(&subject("trace"), Bytes::new(), soon())).await.unwrap();
    assert_eq!(reply, "none");
}

async fn a_thousand_at_once(f: Fixture) {
    let answer = handler(|request| async move {
        tokio::task::yield_now().await;
        Ok(request.payload)
    });
    let _serving = f.two.bus.serve(&subject("many"), Some("g"), 1000, answer).await.unwrap();
    let mut asked = JoinSet::new();
    for i in 0..1000_u32 {
        let bus = f.one.bus.clone();
        asked.spawn(async move {
            let payload = Bytes::copy_from_slice(&i.to_be_bytes());
            (i, bus.request(&subject("many"), payload, soon()).await.unwrap())
        });
    }
    let mut answered = HashSet::new();
    while let Some(done) = within(asked.join_next()).await {
        let (i, reply) = done.unwrap();
        assert_eq!(*reply, i.to_be_bytes());
        answered.insert(i);
    }
    assert_eq!(answered.len(), 1000);
}

async fn a_panic_is_one_requests_own(f: Fixture) {
    let answer = handler(|request| async move {
        assert!(!request.payload.is_empty(), "a handler that panics, on purpose");
        Ok(request.payload)
    });
    let _serving = f.two.bus.serve(&subject("panic"), None, 1, answer).await.unwrap();
    for _ in 0..3 {
        match within(f.one.bus.request(&subject("panic"), Bytes::new(), soon())).await {
            Err(RequestError::Service(error)) => assert_eq!(error, ServiceError::internal()),
            other => panic!("{other:?}"),
        }
        within(f.one.bus.request(&subject("panic"), Bytes::from_static(b"x"), soon())).await.unwrap();
    }
}

async fn subjects_are_apart(f: Fixture) {
    let named = |name: &'static str| handler(move |_| async move { Ok(Bytes::from(name)) });
    let _a = f.two.bus.serve(&subject("a"), Some("g"), 1, named("a")).await.unwrap();
    let _b = f.two.bus.serve(&subject("b"), Some("g"), 1, named("b")).await.unwrap();
    for name in ["a", "b"] {
        let reply = within(f.one.bus.request(&subject(name), Bytes::new(), soon())).await.unwrap();
        assert_eq!(reply, name);
    }
    let outcome = within(f.one.bus.request(&subject("ab"), Bytes::new(), soon())).await;
    assert!(matches!(outcome, Err(RequestError::NoResponders { .. })), "{outcome:?}");
}
