//! Requests and replies as NATS messages. On the wire: the payload as it is; the header `Arborgate-Deadline` with the
//! milliseconds that are left and `traceparent` (W3C) on a request; the header `Arborgate-Error` with the error's code on
//! a reply whose payload is the [`ServiceError`] as JSON; or with `full` and no payload when the work was not taken; or
//! with `reply-too-large` and `{"size":…,"limit":…}` when the reply does not fit into a message.

use std::sync::Arc;
use std::time::Duration;

use arborgate_contracts::{Deadline, ErrorCode, ServiceError, Subject};
use async_nats::header::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::link::{AskError, Link};
use crate::error::{BusError, RequestError};
use crate::transport::Meta;

const DEADLINE: HeaderName = HeaderName::from_static("Arborgate-Deadline");
const TRACE: HeaderName = HeaderName::from_static("traceparent");
const ERROR: HeaderName = HeaderName::from_static("Arborgate-Error");
const FULL: &str = "full";
const REPLY_TOO_LARGE: &str = "reply-too-large";

#[derive(Serialize, Deserialize)]
struct TooLarge {
    size: usize,
    limit: usize,
}

fn write_meta(meta: &Meta) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(DEADLINE, HeaderValue::from(meta.deadline.remaining_ms()));
    if let Some(trace) = meta.trace {
        headers.insert(TRACE, HeaderValue::from(trace.to_string()));
    }
    headers
}

/// What a request says of itself. One without a deadline has the default one; a trace that is not one is left out, as
/// W3C Trace Context demands.
pub(super) fn read_meta(headers: Option<&HeaderMap>, default: Duration) -> Result<Meta, ServiceError> {
    let Some(headers) = headers else { return Ok(Meta::within(default)) };
    let deadline = match headers.get(DEADLINE) {
        None => Deadline::after(default),
        Some(text) => text.as_str().parse().map(Deadline::from_remaining_ms).map_err(|_| {
            ServiceError::new(
                ErrorCode::BadRequest,
                "the header Arborgate-Deadline is not a number of milliseconds from 0 to 4294967295",
            )
        })?,
    };
    Ok(Meta { deadline, trace: headers.get(TRACE).and_then(|text| text.as_str().parse().ok()) })
}

pub(super) async fn request(
    link: &Arc<Link>,
    subject: &Subject,
    payload: Bytes,
    meta: Meta,
) -> Result<Bytes, RequestError> {
    let named = || subject.as_str().to_owned();
    if meta.deadline.has_passed() {
        return Err(RequestError::Timeout { subject: named() });
    }
    let until = Instant::from_std(meta.deadline.instant());
    let asked = link.ask(named().into(), Some(write_meta(&meta)), payload, until).await;
    let message = asked.map_err(|error| match error {
        AskError::Timeout => RequestError::Timeout { subject: named() },
        AskError::NoResponders => RequestError::NoResponders { subject: named() },
        AskError::TooLarge { size, limit } => RequestError::TooLarge { size, limit },
        AskError::Busy => RequestError::Full { subject: named() },
        AskError::Bus(error) => RequestError::Bus(error),
    })?;
    match message.headers.as_ref().and_then(|headers| headers.get(ERROR)) {
        None => Ok(message.payload),
        Some(code) => Err(read_error(code.as_str(), &message.payload, subject)),
    }
}

fn read_error(code: &str, payload: &[u8], subject: &Subject) -> RequestError {
    let read = match code {
        FULL => return RequestError::Full { subject: subject.as_str().to_owned() },
        REPLY_TOO_LARGE => serde_json::from_slice::<TooLarge>(payload)
            .map(|TooLarge { size, limit }| RequestError::TooLarge { size, limit }),
        _ => serde_json::from_slice::<ServiceError>(payload).map(RequestError::Service),
    };
    read.unwrap_or_else(|error| RequestError::Bus(BusError::transport("reading an error reply")(error.into())))
}

/// A reply that fits: what a handler gave, or its error.
pub(super) fn write_reply(outcome: Result<Bytes, ServiceError>, limit: usize) -> (Option<HeaderMap>, Bytes) {
    match outcome {
        Ok(payload) if payload.len() <= limit => (None, payload),
        Ok(payload) => {
            let body = serde_json::to_vec(&TooLarge { size: payload.len(), limit }).unwrap_or_default();
            (Some(marked(REPLY_TOO_LARGE.to_owned())), body.into())
        }
        Err(error) => write_error(&error, limit),
    }
}

fn write_error(error: &ServiceError, limit: usize) -> (Option<HeaderMap>, Bytes) {
    let mut payload = serde_json::to_vec(error).unwrap_or_default();
    if payload.len() > limit {
        // The places at fault are many, or the text is long; the code says enough to go on.
        let short = ServiceError::new(error.code, "the error's details are over the bus's limit");
        payload = serde_json::to_vec(&short).unwrap_or_default();
    }
    let code = serde_json::to_value(error.code).ok().and_then(|code| code.as_str().map(str::to_owned));
    (Some(marked(code.unwrap_or_default())), payload.into())
}

fn marked(code: String) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ERROR, HeaderValue::from(code));
    headers
}

/// The reply that says that the work was not taken.
pub(super) fn refusal() -> HeaderMap {
    marked(FULL.to_owned())
}

#[cfg(test)]
mod tests {
    use arborgate_contracts::Fault;

    use super::*;

    #[test]
    fn meta_travels() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
        let sent = Meta { deadline: Deadline::after(Duration::from_secs(3)), trace: Some(trace) };
        let read = read_meta(Some(&write_meta(&sent)), Duration::from_secs(99)).unwrap();
        assert_eq!(read.trace, Some(trace));
        assert!(read.deadline.remaining() <= Duration::from_millis(3_001));
        assert!(read.deadline.remaining() > Duration::from_secs(2));
    }

    #[test]
    fn meta_of_strangers_is_read_with_care() {
        let default = Duration::from_secs(9);
        assert!(read_meta(None, default).unwrap().deadline.remaining() > Duration::from_secs(8));
        let with = |name: HeaderName, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from(value));
            read_meta(Some(&headers), default)
        };
        assert!(with(TRACE, "nonsense").unwrap().trace.is_none());
        assert!(with(DEADLINE, "0").unwrap().deadline.has_passed());
        for wrong in ["", "-1", "1.5", "4294967296", "soon"] {
            assert_eq!(with(DEADLINE, wrong).unwrap_err().code, ErrorCode::BadRequest, "{wrong}");
        }
    }

    #[test]
    fn what_does_not_fit_becomes_an_error_that_does() {
        let subject = Subject::test(&["a"]);
        let (headers, payload) = write_reply(Ok(Bytes::from(vec![0; 2000])), 1000);
        let error = read_error(headers.unwrap().get(ERROR).unwrap().as_str(), &payload, &subject);
        assert!(matches!(error, RequestError::TooLarge { size: 2000, limit: 1000 }), "{error:?}");
        let faults = vec![Fault { pointer: "/x".repeat(400), detail: String::new() }; 10];
        let (_, payload) = write_reply(Err(ServiceError::new(ErrorCode::Invalid, "no").with_faults(faults)), 1000);
        assert_eq!(serde_json::from_slice::<ServiceError>(&payload).unwrap().code, ErrorCode::Invalid);
    }

    #[test]
    fn an_error_that_can_not_be_read_is_the_bus_s() {
        for code in ["reply-too-large", "invalid", "", "\u{e9}"] {
            let error = read_error(code, b"{", &Subject::test(&["a"]));
            assert!(matches!(error, RequestError::Bus(BusError::Transport { .. })), "{error:?}");
        }
    }
}
