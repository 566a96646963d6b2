//! The few requests of JetStream's API that the state needs, over the connection's own inbox. It knows neither keys nor
//! objects. Not async-nats's own wrappers: those write what they read, stored records too, to the debug log.
//!
//! Formats: nats.go `jetstream` and nats-architecture-and-design ADR-8 (key-value), ADR-20 (objects).

use std::sync::Arc;

use async_nats::header::{HeaderMap, HeaderValue, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_SEQUENCE};
use async_nats::jetstream::stream;
use async_nats::{StatusCode, Subject};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;

use super::link::{AskError, Asked, Link};
use crate::error::{BusError, StoreError};

/// Errors of the API by number, from nats-server `server/errors.json`.
const STREAM_NOT_FOUND: u16 = 10059;
const MESSAGE_NOT_FOUND: u16 = 10037;
const WRONG_LAST_SEQUENCE: [u16; 2] = [10071, 10164];
const MESSAGE_TOO_LARGE: u16 = 10054;
/// Of a stream that discards what is new; the description says which limit.
const NOT_STORED: u16 = 10077;

const OPERATION: &str = "KV-Operation";
const MARKER_REASON: &str = "Nats-Marker-Reason";

#[derive(Debug, thiserror::Error)]
pub(super) enum JsError {
    #[error("the stream is not there")]
    NoStream,
    #[error("the last message is another one")]
    WrongLast,
    #[error("the message is over the stream's limit")]
    TooLarge,
    #[error("the stream holds as many messages as it may")]
    Full,
    #[error("JetStream does not answer: it is off, the stream is gone, or it has no leader now")]
    NoAnswer,
    #[error("JetStream does not answer in time")]
    Timeout,
    #[error("JetStream refuses: {description} ({err_code})")]
    Refused { err_code: u16, description: String },
    #[error("JetStream's answer can not be read")]
    Unreadable(#[source] serde_json::Error),
    #[error("{0}")]
    Stream(&'static str),
    #[error("the message of {size} bytes is over the bus's limit of {limit}")]
    OverBus { size: usize, limit: usize },
    #[error("too many requests wait for replies")]
    Busy,
    #[error("NATS failed")]
    Bus(#[from] BusError),
    #[error("making a stream failed")]
    Make(#[source] async_nats::jetstream::context::CreateStreamError),
}

impl JsError {
    /// Whether what was asked for may have been done all the same, or be done later.
    pub(super) fn may_be_done(&self) -> bool {
        matches!(self, Self::Timeout | Self::Bus(_) | Self::Unreadable(_))
    }

    pub(super) fn in_bucket(self, bucket: &str, what: &'static str) -> StoreError {
        match self {
            Self::NoStream => StoreError::NoBucket { bucket: bucket.to_owned() },
            Self::OverBus { size, limit } => StoreError::TooLarge { size, limit, bucket: bucket.to_owned() },
            other => StoreError::backend(what)(other),
        }
    }
}

impl From<AskError> for JsError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Timeout => Self::Timeout,
            AskError::NoResponders => Self::NoAnswer,
            AskError::TooLarge { size, limit } => Self::OverBus { size, limit },
            AskError::Busy => Self::Busy,
            AskError::Bus(error) => Self::Bus(error),
        }
    }
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u16,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Outcome {
    error: Option<ApiError>,
}

/// What a stream says of itself; its leader's word.
#[derive(Deserialize)]
pub(super) struct Info {
    /// Differs when the stream was made anew.
    pub(super) created: String,
    pub(super) state: Progress,
}

#[derive(Deserialize)]
pub(super) struct Progress {
    pub(super) last_seq: u64,
    pub(super) messages: u64,
}

/// A stored message.
pub(super) struct Stored {
    pub(super) sequence: u64,
    /// It says that what was there is gone.
    pub(super) marker: bool,
    pub(super) payload: Bytes,
}

#[derive(Deserialize)]
struct RawReply {
    message: RawMessage,
}

#[derive(Deserialize)]
struct RawMessage {
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct Ack {
    seq: u64,
}

/// A message that was sent to a stream.
pub(super) struct Published {
    asked: Asked,
    until: Instant,
}

impl Published {
    /// The sequence under which the stream has it.
    pub(super) async fn acknowledged(self) -> Result<u64, JsError> {
        let reply = self.asked.reply(self.until).await?;
        Ok(read::<Ack>(&reply.payload)?.seq)
    }
}

fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, JsError> {
    let outcome: Outcome = serde_json::from_slice(payload).map_err(JsError::Unreadable)?;
    match outcome.error {
        None => serde_json::from_slice(payload).map_err(JsError::Unreadable),
        Some(error) => Err(match error.err_code {
            STREAM_NOT_FOUND => JsError::NoStream,
            MESSAGE_TOO_LARGE => JsError::TooLarge,
            // As nats-server words them (`server/store.go`).
            NOT_STORED if error.description.contains("maximum messages exceeded") => JsError::Full,
            code if WRONG_LAST_SEQUENCE.contains(&code) => JsError::WrongLast,
            err_code => JsError::Refused { err_code, description: error.description },
        }),
    }
}

/// Whether headers say that what was there is gone.
pub(super) fn is_marker(headers: Option<&HeaderMap>) -> bool {
    headers.is_some_and(|headers| {
        headers.get(OPERATION).is_some_and(|operation| operation.as_str() != "PUT")
            || headers.get(MARKER_REASON).is_some()
    })
}

/// As [`is_marker`], of headers as they are stored (`NATS/1.0` and a line each).
fn is_stored_marker(headers: &[u8]) -> bool {
    String::from_utf8_lossy(headers)
        .lines()
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| (name == OPERATION && value.trim() != "PUT") || name == MARKER_REASON)
}

/// The headers of a marker.
pub(super) fn deletion() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(OPERATION, "DEL");
    headers
}

/// Lets a message in only when the last one of its subject has this sequence; 0: when there is none.
pub(super) fn expecting(headers: &mut HeaderMap, sequence: u64) {
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(sequence));
}

/// JetStream over a connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct JetStream {
    pub(super) link: Arc<Link>,
    /// For new streams.
    pub(super) replicas: usize,
}

impl JetStream {
    fn until(&self) -> Instant {
        Instant::now() + self.link.request_timeout
    }

    pub(super) async fn api<T: DeserializeOwned>(&self, subject: String, body: Bytes) -> Result<T, JsError> {
        let reply = self.link.ask(subject.into(), None, body, self.until()).await?;
        read(&reply.payload)
    }

    /// Sends a message to the stream that holds its subject; the order of calls is the order in the stream.
    pub(super) async fn publish(
        &self,
        subject: Subject,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Published, JsError> {
        let until = self.until();
        let headers = (!headers.is_empty()).then_some(headers);
        Ok(Published { asked: self.link.send(subject, headers, payload, until).await?, until })
    }

    /// Of the leader.
    pub(super) async fn info(&self, stream: &str) -> Result<Info, JsError> {
        self.api(format!("$JS.API.STREAM.INFO.{stream}"), Bytes::new()).await
    }

    /// The newest message of a subject, which may hold wildcards. Of the leader.
    pub(super) async fn last(&self, stream: &str, subject: &str) -> Result<Option<Stored>, JsError> {
        let body = json!({ "last_by_subj": subject }).to_string();
        let reply: RawReply = match self.api(format!("$JS.API.STREAM.MSG.GET.{stream}"), body.into()).await {
            Ok(reply) => reply,
            Err(JsError::Refused { err_code: MESSAGE_NOT_FOUND, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let decode = |text: &str| BASE64.decode(text).map_err(|_| JsError::Stream("a stored message is not base64"));
        Ok(Some(Stored {
            sequence: reply.message.seq,
            marker: is_stored_marker(&decode(&reply.message.hdrs)?),
            payload: decode(&reply.message.data)?.into(),
        }))
    }

    /// The newest message of a subject. Of any server that has the stream, so it may be stale.
    pub(super) async fn last_anywhere(&self, stream: &str, subject: &str) -> Result<Option<Stored>, JsError> {
        let api = format!("$JS.API.DIRECT.GET.{stream}.{subject}");
        let reply = match self.link.ask(api.into(), None, Bytes::new(), self.until()).await {
            Ok(reply) => reply,
            // A stream that was made without direct reads, or is not there.
            Err(AskError::NoResponders) => return self.last(stream, subject).await,
            Err(error) => return Err(error.into()),
        };
        match reply.status {
            Some(StatusCode::NOT_FOUND) => return Ok(None),
            None | Some(StatusCode::OK) => {}
            Some(_) => return Err(JsError::Stream("reading a stored message was refused")),
        }
        let headers = reply.headers.as_ref();
        let sequence = headers.and_then(|h| h.get(NATS_SEQUENCE)).and_then(|text| text.as_str().parse().ok());
        let sequence = sequence.ok_or(JsError::Stream("a stored message came without its sequence"))?;
        Ok(Some(Stored { sequence, marker: is_marker(headers), payload: reply.payload }))
    }

    /// Removes all messages of a subject.
    pub(super) async fn purge(&self, stream: &str, subject: &str) -> Result<(), JsError> {
        let body = json!({ "filter": subject }).to_string();
        self.api::<serde::de::IgnoredAny>(format!("$JS.API.STREAM.PURGE.{stream}"), body.into()).await.map(drop)
    }

    /// Removes the messages of a subject up to a sequence, that one included.
    pub(super) async fn purge_up_to(&self, stream: &str, subject: &str, sequence: u64) -> Result<(), JsError> {
        let body = json!({ "filter": subject, "seq": sequence.saturating_add(1) }).to_string();
        self.api::<serde::de::IgnoredAny>(format!("$JS.API.STREAM.PURGE.{stream}"), body.into()).await.map(drop)
    }

    /// Makes a stream when it is not there; one that is stays as it is.
    pub(super) async fn make(&self, config: stream::Config) -> Result<(), JsError> {
        let name = config.name.clone();
        match self.info(&name).await {
            Err(JsError::NoStream) => {}
            other => return other.map(drop),
        }
        let mut context = async_nats::jetstream::new(self.link.client.clone());
        context.set_timeout(self.link.request_timeout);
        match context.create_stream(config).await {
            Ok(_) => Ok(()),
            // Another process may have been first.
            Err(error) => self.info(&name).await.map(drop).map_err(|_| JsError::Make(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let with = |code: u16| {
            let body = json!({"error": {"code": 400, "err_code": code, "description": "no"}}).to_string();
            read::<Ack>(body.as_bytes()).map(drop).unwrap_err()
        };
        assert!(matches!(with(10059), JsError::NoStream));
        assert!(matches!(with(10071), JsError::WrongLast));
        assert!(matches!(with(10164), JsError::WrongLast));
        assert!(matches!(with(10054), JsError::TooLarge));
        assert!(matches!(with(10077), JsError::Refused { err_code: 10077, .. }));
        assert!(matches!(with(10023), JsError::Refused { err_code: 10023, .. }));
        assert_eq!(read::<Ack>(br#"{"stream":"S","seq":7}"#).unwrap().seq, 7);
        for wrong in [&b""[..], b"{}", b"[]", b"\xff", b"{\"seq\":-1}"] {
            assert!(matches!(read::<Ack>(wrong), Err(JsError::Unreadable(_))), "{wrong:?}");
        }
    }

    #[test]
    fn markers_are_recognised_in_both_forms() {
        assert!(is_stored_marker(b"NATS/1.0\r\nKV-Operation: DEL\r\n\r\n"));
        assert!(is_stored_marker(b"NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\n\r\n"));
        assert!(!is_stored_marker(b"NATS/1.0\r\nKV-Operation: PUT\r\n\r\n"));
        assert!(!is_stored_marker(b"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 3\r\n\r\n"));
        assert!(!is_stored_marker(b""));
        assert!(is_marker(Some(&deletion())));
        let mut headers = HeaderMap::new();
        expecting(&mut headers, 3);
        assert!(!is_marker(Some(&headers)));
        assert!(!is_marker(None));
    }
}
