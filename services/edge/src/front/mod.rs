//! The way of every request before its handler, and of every answer after it: who? may they? how often? Then security
//! headers, the request id, times and counts. Here a failure of whatever kind becomes problem details.

pub mod address;
pub mod admitted;
pub mod body;
pub mod coding;
pub mod flood;
pub mod metrics;
pub(crate) mod pointer;
pub mod problem;
pub mod query;
pub mod request_id;
pub(crate) mod security;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arborgate_bus::Meta;
use arborgate_contracts::auth::Principal;
use arborgate_contracts::permission::Role;
use arborgate_contracts::{ErrorCode, Fault, TraceContext};
use arborgate_runtime::{request_span, telemetry};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use poem::endpoint::BoxEndpoint;
use poem::{Endpoint, IntoResponse, Request, Response};
use poem_openapi::error::{ParseParamError, ParsePathError};
use tracing::Instrument;

use crate::BodySizes;
use crate::docs;
use crate::document;
use crate::grpc;
use crate::identity::{Authenticator, Caller, sends_credential};
use crate::limits::{Headers, Limits};
use crate::models::traffic::StickyHeaders;
use crate::operations::{self, Access, Match, Operation};
use address::Peer;
use admitted::{Admission, Anybody};
use problem::Problem;

/// What stands before the API.
pub struct Front {
    /// Who?
    pub authenticator: Authenticator,
    /// How often?
    pub limits: Limits,
    /// Before anybody is known.
    pub flood: flood::Guard,
    /// Whose forwarded headers are believed.
    pub proxies: address::Proxies,
    /// The calls of gRPC.
    pub grpc: grpc::Calls,
    /// The handlers.
    pub api: BoxEndpoint<'static, Response>,
    /// The page and its files.
    pub docs: docs::Docs,
    /// The OpenAPI document.
    pub documents: document::Documents,
    /// What may stand in a query.
    pub queries: query::Queries,
    /// What of their headers is kept.
    pub sticky: StickyHeaders,
    /// Counts and times.
    pub metrics: metrics::Metrics,
    /// Whether to send `Strict-Transport-Security`.
    pub hsts: bool,
    /// From headers to answer.
    pub timeout: Duration,
    /// How large bodies may be.
    pub sizes: BodySizes,
    /// The caller on the owner-only socket.
    pub operator: Arc<Caller>,
}

/// The caller on the owner-only socket: an administrator.
pub fn operator() -> Arc<Caller> {
    Arc::new(Caller::new(Principal::Operator, &[Role::Admin]))
}

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const REQUEST_ID: HeaderName = HeaderName::from_static(request_id::HEADER);
/// For finding out who asks and how often they may.
const ADMISSION: Duration = Duration::from_secs(5);

impl Front {
    /// Answers a request. Never fails: what goes wrong is in the answer.
    pub async fn answer(&self, mut request: Request, peer: &Peer) -> Response {
        let begun = Instant::now();
        let id = request_id::of(request.headers());
        let head = request.method() == Method::HEAD;
        fold_slash(&mut request);
        let call = grpc::is_call(&request);
        let path = request.uri().path();
        let found = if call { grpc::find(path) } else { operations::find(request.method(), path) };
        let protocol = operations::is_inference_protocol(request.uri().path());
        let span = span(found.name(), &request);
        let mut response = self.go_on(found, request, peer, call).instrument(span).await;
        if call {
            response = grpc::refusal(response);
        } else if protocol {
            response = problem::with_error(response);
        }
        security::write(response.headers_mut(), self.hsts);
        // A legal id is a legal header value.
        if let Ok(value) = HeaderValue::try_from(id.as_str()) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        let took = begun.elapsed();
        self.metrics.observe(found, response.status(), took);
        tracing::debug!(operation = found.name(), status = response.status().as_u16(), id = %id, ?took, "answered");
        if head {
            response.take_body();
        }
        response
    }

    async fn go_on(&self, found: Match, request: Request, peer: &Peer, call: bool) -> Response {
        let address = match self.let_in(&request, peer) {
            Ok(address) => address,
            Err(problem) => return problem.into_response(),
        };
        match found {
            Match::Operation(operation) => self.operate(operation, request, address, call).await,
            Match::OtherMethod => other_method(operations::allowed(request.uri().path())).into_response(),
            Match::Unknown if call => grpc::unknown().into_response(),
            Match::Unknown if request.uri().path() == document::PATH => self.document(&request, address).await,
            Match::Unknown => self.docs.answer(&request).unwrap_or_else(|| unknown().into_response()),
        }
    }

    /// Before anything else is looked at. Gives the client's address; none: the operator's, whom no limit holds.
    fn let_in(&self, request: &Request, peer: &Peer) -> Result<Option<IpAddr>, Problem> {
        // Whoever may open the socket is the operator; nobody else can.
        let Peer::Address(socket) = peer else { return Ok(None) };
        let address = self.proxies.client(*socket, request.headers());
        self.flood.check(address)?;
        Ok(Some(address))
    }

    async fn operate(
        &self,
        operation: &'static Operation,
        mut request: Request,
        address: Option<IpAddr>,
        call: bool,
    ) -> Response {
        if *request.method() == Method::HEAD {
            request.set_method(Method::GET);
        }
        let trace = trace_of(&request);
        let admission = Meta { trace, ..Meta::within(ADMISSION) };
        let (caller, limits) = match self.admit(operation, &request, address, admission).await {
            Ok(admitted) => admitted,
            Err(refused) => {
                let (problem, headers) = *refused;
                let mut response = problem.into_response();
                headers.write(response.headers_mut());
                return response;
            }
        };
        let timeout = if call { grpc::timeout(request.headers()) } else { None };
        let meta = Meta { trace, ..Meta::within(timeout.map_or(self.timeout, |of| of.min(self.timeout))) };
        let sticky = self.sticky.of(request.headers());
        let admission = Admission { caller, meta, sizes: self.sizes, sticky };
        request.extensions_mut().insert(Anybody::new(admission));
        if let Some(path) = operations::handled(operation, request.uri().path()) {
            set_path(&mut request, &path);
        }
        let mut response = match self.queries.check(operation, request.uri().query()) {
            Err(problem) => problem.into_response(),
            Ok(()) if call => Box::pin(self.grpc.call(request)).await,
            Ok(()) => self.api.call(request).await.unwrap_or_else(refusal_of),
        };
        limits.write(response.headers_mut());
        response
    }

    /// The document, which is for anybody: who sends a credential sees more, and one that is not good is refused as elsewhere.
    async fn document(&self, request: &Request, address: Option<IpAddr>) -> Response {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return other_method("GET, HEAD".to_owned()).into_response();
        }
        let headers = request.headers();
        let caller = if address.is_none() {
            Some(Arc::clone(&self.operator))
        } else if sends_credential(headers) {
            let meta = Meta { trace: trace_of(request), ..Meta::within(ADMISSION) };
            match self.authenticator.identify(headers, meta).await {
                Ok(caller) => Some(caller),
                Err(problem) => return problem.into_response(),
            }
        } else {
            None
        };
        self.documents.answer(caller.map(|caller| caller.permissions), headers).await
    }

    /// Who? May they? How often?
    async fn admit(
        &self,
        operation: &'static Operation,
        request: &Request,
        address: Option<IpAddr>,
        meta: Meta,
    ) -> Result<(Option<Arc<Caller>>, Headers), Box<(Problem, Headers)>> {
        let plain = |problem: Problem| Box::new((problem, Headers::default()));
        let Some(address) = address else { return Ok((Some(Arc::clone(&self.operator)), Headers::default())) };
        let caller = match operation.access {
            Access::Public => None,
            Access::Needs(permission) => {
                let caller = self.authenticator.identify(request.headers(), meta).await.map_err(plain)?;
                if !caller.permissions.contains(permission) {
                    return Err(plain(Problem::new(ErrorCode::Forbidden, "Operation not permitted")));
                }
                Some(caller)
            }
        };
        let headers = self.how_often(operation, caller.as_deref(), address, meta).await?;
        Ok((caller, headers))
    }

    async fn how_often(
        &self,
        operation: &'static Operation,
        caller: Option<&Caller>,
        address: IpAddr,
        meta: Meta,
    ) -> Result<Headers, Box<(Problem, Headers)>> {
        let outcome = self.limits.check(operation, caller, address, meta).await;
        outcome.map_err(|refused| Box::new((refused.problem, refused.headers)))
    }
}

/// Adds `Server-Timing` (W3C) to an answer: milliseconds waited and computed.
pub fn timing(response: &mut Response, queued_us: u32, computed_us: u32) {
    let ms = |us: u32| f64::from(us) / 1000.0;
    let text = format!("queue;dur={}, inference;dur={}", ms(queued_us), ms(computed_us));
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().insert(SERVER_TIMING, value);
    }
}

/// `/predict/` is `/predict`.
fn fold_slash(request: &mut Request) {
    let path = request.uri().path();
    let folded = path.trim_end_matches('/');
    if folded.len() == path.len() || folded.is_empty() {
        return;
    }
    let folded = folded.to_owned();
    set_path(request, &folded);
}

/// Another path, with the same query.
fn set_path(request: &mut Request, path: &str) {
    let text = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    if let Ok(uri) = text.parse::<Uri>() {
        *request.uri_mut() = uri;
    }
}

fn trace_of(request: &Request) -> Option<TraceContext> {
    if telemetry::is_exporting() {
        return telemetry::current_traceparent().and_then(|t| t.to_string().parse().ok());
    }
    request.header("traceparent")?.parse().ok()
}

fn span(operation: &'static str, request: &Request) -> tracing::Span {
    let span = request_span!("http.request", otel.kind = "server", operation = operation);
    if let Some(parent) = request.header("traceparent") {
        telemetry::set_parent(&span, parent);
    }
    span
}

/// 405 of a path that knows `allow` only.
pub(crate) fn other_method(allow: String) -> Problem {
    let detail = format!("this path knows only {allow}");
    Problem { allow: Some(allow), ..Problem::new(ErrorCode::BadRequest, detail) }
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
}

fn unknown() -> Problem {
    Problem::new(ErrorCode::NotFound, "there is nothing at this path; /docs shows what there is")
}

/// A parameter that is not of its type.
fn unread(error: &ParseParamError) -> Problem {
    // poem-openapi says of which type it is not before and behind.
    let reason = error.reason.split(" (occurred while parsing").next().unwrap_or_default();
    let reason = reason.split_once("\": ").map_or(reason, |(_, detail)| detail);
    let least = reason.strip_prefix("verification failed. minimum(").and_then(|rule| rule.split(',').next());
    let detail = match (reason, least) {
        (_, Some(least)) => format!("must be at least {least}"),
        ("Expect a valid enumeration value.", _) => "is none of the values that /docs lists".to_owned(),
        (reason, _) => reason.to_owned(),
    };
    Problem::invalid(vec![Fault { pointer: error.name.to_owned(), detail }])
}

/// What poem and poem-openapi refuse by themselves, in our form.
fn refusal_of(error: poem::Error) -> Response {
    if error.is_from_response() {
        return error.into_response();
    }
    if let Some(parameter) = error.downcast_ref::<ParseParamError>() {
        return unread(parameter).into_response();
    }
    // A name that does not decode to text: poem leaves it out.
    if error.is::<ParsePathError>() {
        return unknown().into_response();
    }
    let status = error.status();
    let code = match status {
        StatusCode::NOT_FOUND => ErrorCode::NotFound,
        StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::TooLarge,
        status if status.is_client_error() => ErrorCode::BadRequest,
        _ => {
            tracing::error!(%error, "a handler failed");
            return Problem::from(arborgate_contracts::ServiceError::internal()).into_response();
        }
    };
    Problem::new(code, error.to_string()).with_status(status).into_response()
}
