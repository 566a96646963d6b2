//! Spans reach a collector over OTLP, below the parent that came in and with their context sent on. One test in a file
//! of its own, for the subscriber is the process's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arborgate_runtime::Error;
use arborgate_runtime::config::HumanDuration;
use arborgate_runtime::request_span;
use arborgate_runtime::telemetry::{self, Config, Format, OtlpConfig};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

struct Received {
    path: String,
    content_type: String,
    api_key: String,
    request: ExportTraceServiceRequest,
}

async fn collector() -> (SocketAddr, mpsc::Receiver<Received>) {
    let (sender, receiver) = mpsc::channel(16);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let sender = Arc::new(sender);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = Arc::clone(&sender);
            let service = service_fn(move |request| receive(request, Arc::clone(&sender)));
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (addr, receiver)
}

async fn receive(
    request: Request<Incoming>,
    sender: Arc<mpsc::Sender<Received>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (path, content_type) = (request.uri().path().to_owned(), header("content-type").unwrap_or_default());
    let api_key = header("x-api-key").unwrap_or_default();
    let body = Limited::new(request.into_body(), 1 << 20).collect().await.unwrap().to_bytes();
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    sender.send(Received { path, content_type, api_key, request }).await.unwrap();
    Ok(Response::builder().header("content-type", "application/x-protobuf").body(Full::default()).unwrap())
}

/// As the spans of this system's crates have by themselves.
const TARGET: &str = "arborgate_edge";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-11111111111111111111111111111111-2222222222222222-00";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_span_reaches_the_collector_below_its_parent() {
    let (addr, mut received) = collector().await;
    let config = Config {
        format: Format::Json,
        // what the log shows does not decide what is exported
        filter: "error,hyper=info".to_owned(),
        otlp: OtlpConfig {
            endpoint: Some(format!("http://{addr}")),
            headers: [("x-api-key".to_owned(), "open sesame".into())].into(),
            timeout: HumanDuration(Duration::from_secs(5)),
            ..OtlpConfig::default()
        },
    };
    assert_eq!(telemetry::current_traceparent(), None);
    let guard = telemetry::init(&config, "edge", "edge-1").unwrap();
    assert!(matches!(telemetry::init(&config, "edge", "edge-1"), Err(Error::TelemetryTwice(_))));
    assert!(telemetry::is_exporting());

    let request = request_span!(target: TARGET, "request", model = "iris");
    telemetry::set_parent(&request, PARENT);
    let sent_on = request.in_scope(|| {
        tracing::info_span!(target: TARGET, "inner").in_scope(|| {
            // of a foreign crate: logged and not exported
            let _foreign = tracing::info_span!(target: "hyper::proto", "foreign").entered();
            telemetry::current_traceparent()
        })
    });
    let sent_on = sent_on.unwrap().to_string();
    drop(request);

    let unsampled = request_span!(target: TARGET, "unsampled");
    telemetry::set_parent(&unsampled, UNSAMPLED);
    let unsampled_sent = unsampled.in_scope(telemetry::current_traceparent).unwrap();
    assert!(!unsampled_sent.is_sampled());
    drop(unsampled);

    let fresh = request_span!(target: TARGET, "fresh");
    telemetry::set_parent(&fresh, "00-not-a-parent\n");
    drop(fresh.entered());

    guard.shutdown();
    assert!(!telemetry::is_exporting());
    let export = received.recv().await.unwrap();
    assert_eq!((export.path.as_str(), export.api_key.as_str()), ("/v1/traces", "open sesame"));
    assert_eq!(export.content_type, "application/x-protobuf");

    let resource = &export.request.resource_spans[0].resource.as_ref().unwrap().attributes;
    let attribute = |name: &str| {
        let found = resource.iter().find(|attribute| attribute.key == name);
        match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
            Some(Value::StringValue(text)) => text.clone(),
            other => panic!("{name}: {other:?}"),
        }
    };
    assert_eq!((attribute("service.name").as_str(), attribute("service.instance.id").as_str()), ("edge", "edge-1"));

    let spans: Vec<_> =
        export.request.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans).collect();
    let mut names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["fresh", "inner", "request"]);
    let span = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (request, inner, fresh) = (span("request"), span("inner"), span("fresh"));
    assert_eq!(hex(&request.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&request.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(inner.parent_span_id, request.span_id);
    assert_eq!(sent_on, format!("00-{}-{}-01", hex(&inner.trace_id), hex(&inner.span_id)));
    assert!(fresh.parent_span_id.is_empty() && fresh.trace_id != request.trace_id);
}
