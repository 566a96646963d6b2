//! Problem details (RFC 9457): what a caller reads of every failure. The one place that maps an `ErrorCode` to HTTP.

use std::borrow::Cow;
use std::sync::Arc;

use arborgate_bus::CallError;
use arborgate_contracts::{ErrorCode, Fault, ServiceError};
use http::{HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use serde::Serialize;

/// A refusal on its way to the caller.
#[derive(Debug)]
pub struct Problem {
    /// The kind.
    pub code: ErrorCode,
    /// A sentence that the caller can act on.
    pub detail: Cow<'static, str>,
    /// Each place at fault, when there are several.
    pub faults: Vec<Fault>,
    /// For `Retry-After`, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// A status other than the code's own.
    pub status: Option<StatusCode>,
    /// For `Allow` of a 405.
    pub allow: Option<String>,
    /// For `WWW-Authenticate` of a 401.
    pub challenge: &'static str,
}

impl Problem {
    /// A problem of a kind with a sentence for the caller.
    pub fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            faults: Vec::new(),
            retry_after_ms: None,
            status: None,
            allow: None,
            challenge: "Bearer",
        }
    }

    /// Readable but not acceptable: one fault for each place.
    pub fn invalid(faults: Vec<Fault>) -> Self {
        Self::invalid_and_more(faults, 0)
    }

    /// The same, with faults that are only counted.
    pub fn invalid_and_more(mut faults: Vec<Fault>, untold: usize) -> Self {
        let detail = match (faults.as_slice(), untold) {
            ([whole], 0) if whole.pointer.is_empty() => whole.detail.clone(),
            ([only], 0) => format!("{}: {}", only.pointer, only.detail),
            (told, _) => format!("{} faults in the request; see errors", told.len() + untold),
        };
        if untold > 0 {
            faults.push(Fault { pointer: String::new(), detail: format!("and {untold} faults more") });
        }
        Self { faults, ..Self::new(ErrorCode::Invalid, detail) }
    }

    /// With a status other than the code's own.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status: Some(status), ..self }
    }

    /// The body; `error` is what the Open Inference Protocol has beside the rest.
    fn json(&self, error: Option<String>) -> Vec<u8> {
        let status = self.status();
        let body = Body {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: &self.detail,
            code: self.code,
            errors: &self.faults,
            error,
        };
        // Plain texts and numbers always have a JSON.
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// All of it in one text, for callers that read nothing else.
    pub fn whole(&self) -> String {
        const MOST: usize = 16;
        if self.faults.len() < 2 {
            return self.detail.clone().into_owned();
        }
        let told: Vec<String> =
            self.faults.iter().take(MOST).map(|of| format!("{}: {}", of.pointer, of.detail)).collect();
        let more = if self.faults.len() > MOST { "; …" } else { "" };
        format!("{}: {}{more}", self.detail.trim_end_matches("; see errors"), told.join("; "))
    }

    /// The status that the caller gets.
    pub fn status(&self) -> StatusCode {
        self.status.unwrap_or(status_of(self.code))
    }
}

/// The map of codes to statuses.
pub fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadRequest | ErrorCode::DecryptionFailed => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Conflict => StatusCode::CONFLICT,
        ErrorCode::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Overloaded | ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let retry_after_ms = error.retry_after_ms.or(error.code.is_transient().then_some(1000));
        Self { faults: error.faults, retry_after_ms, ..Self::new(error.code, error.detail) }
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        if !matches!(error, CallError::Service(_)) {
            tracing::warn!(error = &error as &dyn std::error::Error, "a service gave no reply");
        }
        error.into_service_error().into()
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: ErrorCode,
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    errors: &'a [Fault],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What was refused, beside the answer that says so, for who has to say it otherwise.
#[derive(Debug, Clone)]
pub struct Refused(pub Arc<Problem>);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let json = self.json(None);
        let mut response = Response::builder().status(status).body(json);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(false)));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(self.challenge));
        }
        if let Some(ms) = self.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000).max(1)));
        }
        if let Some(Ok(allow)) = self.allow.as_deref().map(HeaderValue::try_from) {
            headers.insert(header::ALLOW, allow);
        }
        response.extensions_mut().insert(Refused(Arc::new(self)));
        response
    }
}

/// A refusal as the inference protocols have it: with `error` beside its other members, and as plain JSON, for KServe's client
/// reads the text of nothing else.
pub(crate) fn with_error(mut response: Response) -> Response {
    if let Some(Refused(problem)) = response.extensions().get::<Refused>().cloned() {
        response.set_body(problem.json(Some(problem.whole())));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(true)));
    }
    response
}

/// Of a refusal, of the inference protocols' operations or of others.
const fn media_type(protocol: bool) -> &'static str {
    if protocol { "application/json" } else { "application/problem+json" }
}

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        let response = problem.into_response();
        let refused = response.extensions().get::<Refused>().cloned();
        let mut error = Self::from_response(response);
        // An error takes what it is given by itself for the response's own.
        if let Some(refused) = refused {
            error.set_data(refused);
        }
        error
    }
}

/// The statuses of refusals, and when they are answered.
const STATUSES: [(u16, &str); 14] = [
    (400, "The request can not be read, or carries two credentials."),
    (401, "No credential, or a bearer token that is not good."),
    (403, "A wrong API key, or a role without the permission."),
    (404, "The thing named is not there."),
    (408, "The body did not arrive in time."),
    (409, "What is there contradicts what was asked for."),
    (413, "Larger than a limit."),
    (415, "Another content type than the operation reads."),
    (416, "The range is not within the result."),
    (422, "Readable, but not acceptable; `errors` names each place."),
    (429, "A rate limit; `Retry-After` says when to come back."),
    (500, "A defect."),
    (503, "A part of the system is busy or can not be reached."),
    (504, "No answer in time."),
];

/// Refusals with these statuses as the document shows them; `protocol`: of an operation of the inference protocols.
pub fn shown(statuses: &[u16], protocol: bool) -> impl Iterator<Item = MetaResponse> {
    let wanted = STATUSES.into_iter().filter(|(status, _)| statuses.contains(status));
    wanted.map(move |(status, description)| MetaResponse {
        description,
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: media_type(protocol),
            schema: MetaSchemaRef::Reference("Problem".to_owned()),
        }],
        headers: Vec::new(),
    })
}

impl ApiResponse for Problem {
    /// Which refusals an operation knows is not said by a handler's type: see `api::documented`.
    fn meta() -> MetaResponses {
        MetaResponses { responses: Vec::new() }
    }

    fn register(registry: &mut Registry) {
        let text = |description| {
            MetaSchemaRef::Inline(Box::new(MetaSchema { description: Some(description), ..MetaSchema::new("string") }))
        };
        registry.create_schema::<Self, _>("Problem".to_owned(), |_| {
            let fault = MetaSchema {
                required: vec!["pointer", "detail"],
                properties: vec![
                    ("pointer", text("Where: a JSON pointer (RFC 6901) into the body, a parameter or a header.")),
                    ("detail", text("What is wrong, and what would be right.")),
                ],
                ..MetaSchema::new("object")
            };
            let errors = MetaSchema {
                items: Some(Box::new(MetaSchemaRef::Inline(Box::new(fault)))),
                ..MetaSchema::new("array")
            };
            MetaSchema {
                description: Some("Problem details (RFC 9457)."),
                required: vec!["type", "title", "status", "detail", "code"],
                properties: vec![
                    ("type", text("Always `about:blank`.")),
                    ("title", text("The status in words.")),
                    ("status", MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("integer", "int32")))),
                    ("detail", text("What is wrong, and what would be right.")),
                    ("code", text("The kind of failure, for programs.")),
                    ("errors", MetaSchemaRef::Inline(Box::new(errors))),
                    ("error", text("All of it in one text; only of the inference protocols' operations.")),
                ],
                ..MetaSchema::new("object")
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_begins_with_a_place_that_has_a_name_and_counts_all_faults() {
        let fault = |pointer: &str| Fault { pointer: pointer.to_owned(), detail: "is wrong".to_owned() };
        assert_eq!(Problem::invalid(vec![fault("/a")]).detail, "/a: is wrong");
        assert_eq!(Problem::invalid(vec![fault("")]).detail, "is wrong");
        assert!(Problem::invalid(vec![fault("/a"), fault("")]).detail.starts_with("2 faults"));
        let many = Problem::invalid_and_more(vec![fault("/a")], 9_999);
        assert!(many.detail.starts_with("10000 faults"), "{}", many.detail);
        assert_eq!(many.faults.last().map(|f| f.detail.as_str()), Some("and 9999 faults more"));
    }
}
