//! The listener: HTTP/1.1, one request a connection, few connections at once, and a limit on how long each may last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::health::{CheckState, Health};
use super::{Config, Listen};
use crate::Error;
use crate::metrics::{self, Registry};
use crate::shutdown::Shutdown;

/// Probes and scrapers are few; what comes beyond is closed at once.
const CONNECTIONS: usize = 32;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(20);
const BUFFER: usize = 16 * 1024;
/// After an accept that failed, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens from now until the drain has ended, being not ready once it has begun. Returns the address, or none where
/// it is configured off.
///
/// # Errors
/// [`Error::Listen`].
pub async fn start(
    config: &Config,
    health: Health,
    registry: Registry,
    shutdown: Shutdown,
) -> Result<Option<SocketAddr>, Error> {
    let Listen::At(addr) = config.listen else { return Ok(None) };
    let failed = |source| Error::Listen { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    // Port 0 is known only here.
    tracing::info!(address = %bound, "operations are answered");
    if !bound.ip().is_loopback() {
        tracing::warn!(%bound, "operations are answered to whoever reaches this address, without authentication");
    }
    tokio::spawn({
        let (health, shutdown) = (health.clone(), shutdown.clone());
        async move {
            shutdown.wait().await;
            health.drain();
        }
    });
    // not tracked: the drain would wait for it, and it outlasts the drain
    tokio::spawn(async move {
        tokio::select! {
            () = accept(listener, Arc::new(Operations { health, registry })) => {}
            () = shutdown.ended() => {}
        }
    });
    Ok(Some(bound))
}

struct Operations {
    health: Health,
    registry: Registry,
}

async fn accept(listener: TcpListener, operations: Arc<Operations>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the operations listener can not accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let operations = Arc::clone(&operations);
        tokio::spawn(async move {
            let _place = place;
            serve(stream, operations).await;
        });
    }
}

async fn serve(stream: TcpStream, operations: Arc<Operations>) {
    let service = service_fn(move |request| {
        let response = operations.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an operations connection ended early"),
        Err(_) => tracing::debug!("an operations connection lasted too long"),
    }
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    checks: Vec<CheckState>,
}

impl Operations {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let known = matches!(request.uri().path(), "/livez" | "/readyz" | "/metrics");
        if !known {
            return problem(StatusCode::NOT_FOUND, "here are /livez, /readyz and /metrics");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/metrics" => self.metrics(),
            "/readyz" => self.readiness(),
            _ => response(StatusCode::OK, "application/json", json!({ "status": "ok" }).to_string()),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match self.registry.encode() {
            Ok(text) => response(StatusCode::OK, metrics::CONTENT_TYPE, text),
            Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the metrics can not be written"),
        }
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        let (code, status) = match (self.health.is_ready(), self.health.is_draining()) {
            (true, _) => (StatusCode::OK, "ready"),
            (false, true) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
            (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        };
        match serde_json::to_string(&Readiness { status, checks: self.health.checks() }) {
            Ok(text) => response(code, "application/json", text),
            Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the checks can not be written"),
        }
    }
}

/// RFC 9457.
fn problem(code: StatusCode, detail: &str) -> Response<Full<Bytes>> {
    let title = code.canonical_reason().unwrap_or_default();
    let body = json!({ "type": "about:blank", "title": title, "status": code.as_u16(), "detail": detail });
    response(code, "application/problem+json", body.to_string())
}

fn response(code: StatusCode, media_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
