//! One trace from the edge through the bus into the worker, as a collector receives it over OTLP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use arborgate_testkit::system::{Kind, Options, eventually};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{private, run, setosa};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
/// Of one export.
const BODY: usize = 8 << 20;

/// Spans with the instance that made them.
type Spans = Arc<Mutex<Vec<(String, Span)>>>;

async fn collector() -> (SocketAddr, Spans) {
    let spans = Spans::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let kept = Arc::clone(&spans);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let spans = Arc::clone(&kept);
            let service = service_fn(move |request| receive(request, Arc::clone(&spans)));
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, spans)
}

async fn receive(request: Request<Incoming>, spans: Spans) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/v1/traces");
    let body = Limited::new(request.into_body(), BODY).collect().await.unwrap().to_bytes();
    let export = ExportTraceServiceRequest::decode(body).unwrap();
    let mut kept = spans.lock().unwrap();
    for resource in export.resource_spans {
        let attributes = resource.resource.unwrap_or_default().attributes;
        let instance = attributes.into_iter().find(|attribute| attribute.key == "service.instance.id");
        let instance = match instance.and_then(|attribute| attribute.value?.value) {
            Some(Value::StringValue(text)) => text,
            _ => String::new(),
        };
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            kept.push((instance.clone(), span));
        }
    }
    Ok(Response::builder().header("content-type", "application/x-protobuf").body(Full::default()).unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first span that is as wanted, once it has arrived.
async fn arrives(spans: &Spans, what: &str, wanted: impl Fn(&str, &Span) -> bool) -> Span {
    let mut found = None;
    eventually(what, async || {
        found = spans.lock().unwrap().iter().find(|(instance, span)| wanted(instance, span)).map(|(_, s)| s.clone());
        Ok(found.is_some())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {:#?}", names(spans)));
    found.unwrap()
}

fn names(spans: &Spans) -> Vec<String> {
    let spans = spans.lock().unwrap();
    spans
        .iter()
        .map(|(instance, s)| format!("{instance} {} {} < {}", s.name, hex(&s.trace_id), hex(&s.parent_span_id)))
        .collect()
}

fn operation(span: &Span) -> Option<&str> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == "operation")?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Whether a span is below another, at any depth.
fn below(spans: &Spans, span: &Span, above: &Span) -> bool {
    let spans = spans.lock().unwrap();
    let mut at = span.clone();
    while at.parent_span_id != above.span_id {
        let Some((_, parent)) = spans.iter().find(|(_, s)| s.span_id == at.parent_span_id) else { return false };
        at = parent.clone();
    }
    span.trace_id == above.trace_id
}

#[test]
fn one_trace_goes_through_the_bus_into_the_worker() {
    run(async {
        let (address, spans) = collector().await;
        let env = vec![("ARBORGATE__TELEMETRY__OTLP__ENDPOINT".to_owned(), format!("http://{address}"))];
        let system = private(Kind::Nats, Options { env, replicas: 1, edges: 1, ..Options::default() }).await;
        system.settle().await.unwrap();
        let admin = system.admin().await.unwrap();
        let parent = format!("00-{TRACE}-{PARENT}-01");

        // Of a client that has a trace.
        let request = admin.apply(system.request(0, Method::POST, "/predict")).header("traceparent", &parent);
        assert_eq!(system.send(request.json(&setosa())).await.unwrap().status, 200);
        let edge = arrives(&spans, "the edge's span", |instance, span| {
            instance == "edge" && span.name == "http.request" && hex(&span.trace_id) == TRACE
        })
        .await;
        assert_eq!((hex(&edge.parent_span_id).as_str(), operation(&edge)), (PARENT, Some("predict")));
        let worker = arrives(&spans, "the worker's span", |instance, span| {
            instance == "inference" && span.name == "inference.predict" && span.trace_id == edge.trace_id
        })
        .await;
        assert!(below(&spans, &worker, &edge), "{:#?}", names(&spans));

        // Of a client that has none, into a service that speaks JSON.
        let answer = system.post_json("/encrypt", &json!({"plaintext": "a"}), &admin).await.unwrap();
        assert_eq!(answer.status, 200);
        let edge = arrives(&spans, "the edge's span of encrypt", |instance, span| {
            instance == "edge" && operation(span) == Some("encrypt")
        })
        .await;
        assert!(edge.parent_span_id.is_empty());
        let crypto = arrives(&spans, "the crypto service's span", |instance, span| {
            instance == "crypto" && operation(span) == Some("encrypt") && span.trace_id == edge.trace_id
        })
        .await;
        assert!(below(&spans, &crypto, &edge), "{:#?}", names(&spans));

        // A client that does not want to be traced is not.
        let unsampled = parent.replace(TRACE, "11111111111111111111111111111111").replace("-01", "-00");
        let request = admin.apply(system.request(0, Method::POST, "/encrypt")).header("traceparent", unsampled);
        assert_eq!(system.send(request.json(&json!({"plaintext": "b"}))).await.unwrap().status, 200);
        let request = admin.apply(system.request(0, Method::GET, "/v1/models"));
        assert_eq!(system.send(request).await.unwrap().status, 200);
        arrives(&spans, "a span after it", |_, span| operation(span) == Some("list_models")).await;
        assert!(!spans.lock().unwrap().iter().any(|(_, span)| hex(&span.trace_id).starts_with("1111")));
    });
}
