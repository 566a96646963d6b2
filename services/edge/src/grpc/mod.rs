//! The inference protocol over gRPC, on the port of everything else: `inference.GRPCInferenceService` of
//! kserve/open-inference-protocol with Triton's statistics and repository. A call is the operation over HTTP that does the
//! same, so that its permission, its limits and its counts are those; other calls are answered as unimplemented.
//!
//! tonic, for it bounds a message before and after it is unpacked, which poem-grpc does not; of it only the service, for
//! connections are `accept`'s. What is refused before a call is made becomes a status here.

mod messages;
mod service;
mod status;

use std::sync::Arc;
use std::time::Duration;

use arborgate_contracts::{ErrorCode, ServiceError};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use poem::{Body, Request, Response};
use tonic::Status;
use tonic::codec::CompressionEncoding;
use tower_service::Service as _;

use crate::api::Shared;
use crate::front::admitted::Anybody;
use crate::front::body;
use crate::front::problem::{Problem, Refused};
use crate::operations::{self, Match};
use proto::grpc_inference_service_server::GrpcInferenceServiceServer;
use service::Service;

/// What the `.proto` files say.
#[allow(clippy::all, clippy::unwrap_used, rustdoc::all, unreachable_pub, missing_docs, reason = "generated")]
pub mod proto {
    tonic::include_proto!("inference");
}

const SERVICE: &str = "/inference.GRPCInferenceService/";
/// Each call, and the operation that it is; that of a version where the operation of a model is named.
const CALLS: [(&str, &str); 10] = [
    ("ModelInfer", "infer_model"),
    ("ServerLive", "server_live"),
    ("ServerReady", "server_ready"),
    ("ServerMetadata", "server_metadata"),
    ("ModelReady", "model_ready"),
    ("ModelMetadata", "model_metadata"),
    ("ModelStatistics", "model_statistics"),
    ("RepositoryIndex", "repository_index"),
    ("RepositoryModelLoad", "load_model"),
    ("RepositoryModelUnload", "unload_model"),
];
const TYPE: &str = "application/grpc";

/// Whether a request is a call of gRPC.
pub(crate) fn is_call(request: &Request) -> bool {
    let sent = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let more = sent.and_then(|sent| sent.strip_prefix(TYPE));
    request.method() == Method::POST && more.is_some_and(|more| more.is_empty() || more.starts_with(['+', ';']))
}

/// The operation that a call is.
pub(crate) fn find(path: &str) -> Match {
    let call = path.strip_prefix(SERVICE);
    let call = CALLS.iter().find(|(name, _)| Some(*name) == call);
    let operation = call.and_then(|(_, id)| operations::OPERATIONS.iter().find(|operation| operation.id == *id));
    operation.map_or(Match::Unknown, Match::Operation)
}

/// A call that there is not.
pub(crate) fn unknown() -> Problem {
    let names: Vec<&str> = CALLS.iter().map(|(name, _)| *name).collect();
    let detail = format!("there is no such call; {SERVICE} has {}", names.join(", "));
    Problem::new(ErrorCode::NotFound, detail).with_status(StatusCode::NOT_IMPLEMENTED)
}

/// How long the client waits (gRPC over HTTP/2, Timeout); what is none is no limit.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    // At most eight digits, as the protocol has it.
    let number: u32 = number.parse().ok().filter(|_| number.len() <= 8 && !number.starts_with('+'))?;
    let seconds = |each: u64| Duration::from_secs(u64::from(number) * each);
    match unit {
        "H" => Some(seconds(3600)),
        "M" => Some(seconds(60)),
        "S" => Some(seconds(1)),
        "m" => Some(Duration::from_millis(number.into())),
        "u" => Some(Duration::from_micros(number.into())),
        "n" => Some(Duration::from_nanos(number.into())),
        _ => None,
    }
}

/// Answers calls.
pub struct Calls(GrpcInferenceServiceServer<Service>);

impl Calls {
    /// Of messages no larger than bodies of predictions.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let most = shared.config.requests.max_predict_body.as_usize();
        let server = GrpcInferenceServiceServer::new(Service::new(shared))
            .max_decoding_message_size(most)
            .max_encoding_message_size(usize::MAX)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip);
        Self(server)
    }

    /// Answers one that was let in.
    pub(crate) async fn call(&self, request: Request) -> Response {
        match self.answer(request).await {
            Ok(response) => response,
            Err(problem) => poem::IntoResponse::into_response(problem),
        }
    }

    async fn answer(&self, request: Request) -> Result<Response, Problem> {
        if request.version() < http::Version::HTTP_2 {
            return Err(Problem::new(ErrorCode::BadRequest, "gRPC needs HTTP/2"));
        }
        let limits = Anybody::of(&request)?.sizes.of(true);
        let (parts, body) = request.into_parts();
        let mut body = poem::RequestBody::new(body);
        // Read before it is decoded: what it says of its length is held against what is there.
        let bytes = body::read_as_sent(&mut body, &parts.headers, limits).await?;
        check_frame(&bytes)?;
        let mut call = http::Request::new(Full::new(bytes));
        *call.method_mut() = parts.method;
        *call.uri_mut() = parts.uri;
        *call.version_mut() = parts.version;
        *call.headers_mut() = parts.headers;
        *call.extensions_mut() = parts.extensions;
        // It never fails: its error has no value.
        let response = match self.0.clone().call(call).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (parts, body) = response.into_parts();
        // One message and the trailers.
        let whole = body.collect().await.map_err(|status| {
            tracing::error!(%status, "an answer can not be written");
            Problem::from(ServiceError::internal())
        })?;
        // A refusal is in the headers and nothing else: clients of gRPC's C core take no empty frame after them.
        let bare = parts.headers.contains_key(Status::GRPC_STATUS);
        let body = if bare { Body::empty() } else { BoxBody::new(whole.map_err(|never| match never {})).into() };
        let mut answer = Response::builder().status(parts.status).body(body);
        *answer.headers_mut() = parts.headers;
        Ok(answer)
    }
}

/// That a body is one message, whole: a byte that says whether it is packed, its length in four, and so many bytes.
fn check_frame(body: &Bytes) -> Result<(), Problem> {
    let said = body.get(1..5).and_then(|bytes| bytes.first_chunk::<4>()).map(|bytes| u32::from_be_bytes(*bytes));
    let there = body.len().saturating_sub(5);
    match said {
        Some(said) if said as usize == there => Ok(()),
        Some(said) => {
            let detail = format!("the message says that it has {said} bytes, and {there} are there");
            Err(Problem::new(ErrorCode::BadRequest, detail))
        }
        None => Err(Problem::new(ErrorCode::BadRequest, "the body is no message of gRPC: it ends within its head")),
    }
}

/// What was refused over HTTP, as a status; an answer stays.
pub(crate) fn refusal(response: Response) -> Response {
    let Some(Refused(problem)) = response.extensions().get::<Refused>().cloned() else { return response };
    let status = status::of(&problem);
    let mut told = Response::builder().body(());
    let headers = told.headers_mut();
    for (name, value) in response.headers() {
        // Of limits and when to come back.
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            headers.append(name, value.clone());
        }
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(TYPE));
    // A text of any characters has its place in a header: they are escaped.
    let _ = status.add_header(headers);
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_is_an_operation() {
        for (name, id) in CALLS {
            assert_eq!(find(&format!("{SERVICE}{name}")).name(), id);
        }
        for unknown in ["/inference.GRPCInferenceService/ModelConfig", "/x/ModelInfer", "/v2", "/predict"] {
            assert!(matches!(find(unknown), Match::Unknown), "{unknown}");
        }
    }

    #[test]
    fn a_timeout_has_a_number_and_a_unit() {
        let of =
            |text: &str| timeout(&HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), text.parse().unwrap())]));
        assert_eq!(of("1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(of("2S"), Some(Duration::from_secs(2)));
        assert_eq!(of("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(of("5u"), Some(Duration::from_micros(5)));
        for none in ["", "m", "5", "5x", "-5m", "+5m", "123456789m", "5 m"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(timeout(&HeaderMap::new()), None);
    }

    #[test]
    fn a_message_has_as_many_bytes_as_it_says() {
        let frame = |bytes: &'static [u8]| check_frame(&Bytes::from_static(bytes)).is_ok();
        assert!(frame(b"\0\0\0\0\0") && frame(b"\x01\0\0\0\x02ab"));
        for wrong in [&b""[..], b"\0", b"\0\0\0\0", b"\0\0\0\0\x01", b"\0\0\0\0\0x", b"\0\xff\xff\xff\xffabc"] {
            assert!(check_frame(&Bytes::copy_from_slice(wrong)).is_err(), "{wrong:?}");
        }
    }
}
