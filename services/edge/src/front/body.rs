//! Bodies: bounded in bytes and time, of the content type that the operation reads.

use std::time::Duration;

use arborgate_contracts::{ErrorCode, Fault};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use poem::{Body, RequestBody};

use super::coding::{Coding, unpacked};
use super::pointer;
use super::problem::Problem;

/// How much of a body is read, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Bytes.
    pub bytes: usize,
    /// For the whole.
    pub timeout: Duration,
}

/// The media type that a body is said to be of, without its parameters; empty where none is said.
pub fn media_type(headers: &HeaderMap) -> &str {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    sent.split(';').next().unwrap_or_default().trim()
}

/// 415.
pub fn unsupported(detail: String) -> Problem {
    Problem::new(ErrorCode::BadRequest, detail).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// Whether a body is said to be of the type `wanted`; 415 when it is not.
pub fn check_type(headers: &HeaderMap, wanted: &str) -> Result<(), Problem> {
    if media_type(headers).eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(unsupported(format!("this operation reads {wanted}; send 'Content-Type: {wanted}'")))
}

/// Reads a body whole, and unpacks it; the limit holds before and after.
pub async fn read(body: &mut RequestBody, headers: &HeaderMap, limits: BodyLimits) -> Result<Bytes, Problem> {
    let coding = Coding::of(headers)?;
    let bytes = read_as_sent(body, headers, limits).await?;
    match coding {
        None => Ok(bytes),
        // Boxed: the future of what is not packed stays small.
        Some(coding) => Box::pin(unpacked(bytes, coding, limits.bytes)).await,
    }
}

/// Reads a body whole, as it was sent.
pub async fn read_as_sent(body: &mut RequestBody, headers: &HeaderMap, limits: BodyLimits) -> Result<Bytes, Problem> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|bytes| bytes > limits.bytes as u64) {
        return Err(too_large(limits.bytes));
    }
    let body: Body = body.take().map_err(|_| Problem::from(arborgate_contracts::ServiceError::internal()))?;
    // Not poem's own bound, which copies by way of four kilobytes inside of every handler's future.
    let whole = Limited::new(BoxBody::from(body), limits.bytes).collect();
    match tokio::time::timeout(limits.timeout, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limits.bytes)),
        Ok(Err(_)) => Err(Problem::new(ErrorCode::BadRequest, "the body was cut off")),
        Err(_) => Err(too_slow()),
    }
}

/// 413.
pub fn too_large(limit: usize) -> Problem {
    Problem::new(ErrorCode::TooLarge, format!("the body is over the limit of {limit} bytes"))
}

/// 408.
pub fn too_slow() -> Problem {
    Problem::new(ErrorCode::BadRequest, "the body did not arrive in time").with_status(StatusCode::REQUEST_TIMEOUT)
}

/// A JSON object whose fields are taken one by one; what is wrong is collected, so that all of it is told at once.
pub struct Fields {
    object: serde_json::Map<String, serde_json::Value>,
    faults: Vec<Fault>,
}

impl Fields {
    /// Of a body.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        match serde_json::from_slice(body) {
            Ok(serde_json::Value::Object(object)) => Ok(Self { object, faults: Vec::new() }),
            Ok(_) => Err(Problem::invalid(vec![Fault { pointer: String::new(), detail: "must be an object".into() }])),
            Err(error) => {
                let place = format!("line {} column {}", error.line(), error.column());
                let text = error.to_string();
                let reason = text.split(" at line ").next().unwrap_or_default();
                Err(Problem::new(ErrorCode::BadRequest, format!("the body is not JSON: {reason} at {place}")))
            }
        }
    }

    fn fault(&mut self, name: &str, detail: impl Into<String>) {
        let pointer = format!("/{}", pointer::token(name));
        self.faults.push(Fault { pointer, detail: detail.into() });
    }

    /// A field that must be there, read by `read`: `Err` says what it must be.
    pub fn required<T: Default>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(serde_json::Value) -> Result<T, String>,
    ) -> T {
        match self.object.remove(name) {
            None => {
                self.fault(name, format!("is missing; must be {expected}"));
                T::default()
            }
            Some(value) => read(value).unwrap_or_else(|detail| {
                self.fault(name, detail);
                T::default()
            }),
        }
    }

    /// A field that may be absent or null.
    pub fn optional<T>(&mut self, name: &str, read: impl FnOnce(serde_json::Value) -> Result<T, String>) -> Option<T> {
        match self.object.remove(name) {
            None | Some(serde_json::Value::Null) => None,
            Some(value) => match read(value) {
                Ok(value) => Some(value),
                Err(detail) => {
                    self.fault(name, detail);
                    None
                }
            },
        }
    }

    /// A text that must be there.
    pub fn text(&mut self, name: &str) -> String {
        self.required(name, "a text", |value| match value {
            serde_json::Value::String(text) => Ok(text),
            _ => Err("must be a text".to_owned()),
        })
    }

    /// Nothing else may be there; every fault is told.
    pub fn finish(mut self) -> Result<(), Problem> {
        let unknown: Vec<String> = self.object.keys().take(32).cloned().collect();
        for name in unknown {
            self.fault(&name, "is not a field of this operation");
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }
}
