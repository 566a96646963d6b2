//! The messages of a stream, each once, in order, from a place on; goes on by itself after the connection or the consumer
//! was lost. It knows neither keys nor objects.
//!
//! A pull consumer without acknowledgements, asked for one batch after another: who reads slowly is not sent more. Our
//! own, not async-nats's: it must end with an error when the stream was made anew, and see a lost connection at once.

use std::time::Duration;

use async_nats::{HeaderMap, Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::jetstream::{JetStream, JsError};

/// How many messages are asked for at once, and how many bytes: the most that waits here for a slow reader.
const BATCH: u64 = 64;
const BATCH_BYTES: u64 = 8 << 20;
const BATCH_LIFE: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(3);
/// After this long without even a heartbeat the consumer is taken for lost.
const SILENCE: Duration = Duration::from_secs(8);
/// How long the server keeps a consumer that nobody asks.
const IDLE: Duration = Duration::from_secs(30);
/// How long, while connected, making a consumer again is tried.
const RESUME_LIMIT: Duration = Duration::from_secs(30);
const RESUME_PAUSE: Duration = Duration::from_millis(200);

/// Where to begin.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    /// With each subject's newest message.
    Newest,
    /// With the first message after this sequence; 0: with the first.
    After(u64),
}

pub(super) struct Delivered {
    pub(super) subject: Subject,
    pub(super) headers: Option<HeaderMap>,
    pub(super) payload: Bytes,
    pub(super) sequence: u64,
}

pub(super) struct Feed {
    js: JetStream,
    stream: String,
    subjects: Vec<String>,
    start: Start,
    /// Of the stream; another says that it was made anew.
    created: String,
    /// The sequence up to which everything was delivered.
    seen: u64,
    consumer: Option<Consumer>,
    connected: watch::Receiver<bool>,
}

struct Consumer {
    js: JetStream,
    stream: String,
    name: String,
    inbox: String,
    subscriber: Subscriber,
    /// The consumer's sequence of the next message.
    expected: u64,
    /// How many messages of the batch asked for are still to come.
    coming: u64,
    heard: Instant,
}

impl Drop for Consumer {
    /// Saves the server from keeping it for a while.
    fn drop(&mut self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let subject = format!("$JS.API.CONSUMER.DELETE.{}.{}", self.stream, self.name);
            let client = self.js.link.client.clone();
            // In vain when the connection is gone; then the server forgets it by itself.
            runtime.spawn(async move { tokio::time::timeout(HEARTBEAT, client.publish(subject, Bytes::new())).await });
        }
    }
}

/// A stream's leader, whose word is never stale.
pub(super) struct Leader {
    js: JetStream,
    stream: String,
    subjects: Vec<String>,
}

impl Leader {
    /// The sequence of the newest message of these subjects; 0 when there is none.
    pub(super) async fn newest(&self) -> Result<u64, JsError> {
        let mut newest = 0;
        for subject in &self.subjects {
            if let Some(message) = self.js.last(&self.stream, subject).await? {
                newest = newest.max(message.sequence);
            }
        }
        Ok(newest)
    }
}

/// What came from the consumer.
enum Heard {
    Message(Message),
    /// No more of this batch.
    BatchOver,
    Lost,
}

impl Feed {
    /// A feed of the messages whose subject is one of these, and the stream's newest sequence when it began: all up to
    /// that are delivered, if they are still there.
    pub(super) async fn open(
        js: &JetStream,
        stream: &str,
        subjects: Vec<String>,
        start: Start,
    ) -> Result<(Self, u64), JsError> {
        let info = js.info(stream).await?;
        let newest = info.state.last_seq;
        let (start, seen) = match start {
            // A stream that was made anew has sequences of its own: all of it is new.
            Start::After(sequence) if sequence > newest => (Start::Newest, 0),
            Start::After(sequence) => (start, sequence),
            Start::Newest => (start, 0),
        };
        let connected = js.link.state().connected();
        let mut feed = Self {
            js: js.clone(),
            stream: stream.to_owned(),
            subjects,
            start,
            created: info.created,
            seen,
            consumer: None,
            connected,
        };
        feed.consumer = Some(feed.make_consumer().await?);
        Ok((feed, newest))
    }

    /// The sequence up to which everything was delivered.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Whom to ask what there is to deliver.
    pub(super) fn leader(&self) -> Leader {
        Leader { js: self.js.clone(), stream: self.stream.clone(), subjects: self.subjects.clone() }
    }

    /// The next message. May be dropped and called again. While there is no connection it waits; an error is final.
    pub(super) async fn next(&mut self) -> Result<Delivered, JsError> {
        loop {
            let Some(consumer) = self.consumer.as_mut() else {
                self.resume().await?;
                continue;
            };
            if consumer.coming == 0 && consumer.pull().await.is_err() {
                self.consumer = None;
                continue;
            }
            match consumer.hear(&mut self.connected).await {
                Heard::BatchOver => consumer.coming = 0,
                Heard::Lost => self.consumer = None,
                Heard::Message(message) => match consumer.place(&message) {
                    Some(sequence) if sequence > self.seen => {
                        self.seen = sequence;
                        let Message { subject, headers, payload, .. } = message;
                        return Ok(Delivered { subject, headers, payload, sequence });
                    }
                    // A gap: some were lost on the way.
                    _ => self.consumer = None,
                },
            }
        }
    }

    async fn resume(&mut self) -> Result<(), JsError> {
        let mut since = Instant::now();
        loop {
            if self.js.link.state().is_closed() {
                return Err(JsError::Bus(crate::error::BusError::Closed));
            }
            if !*self.connected.borrow_and_update() {
                // The sender lives as long as the connection, which `js` holds.
                let _ = self.connected.changed().await;
                since = Instant::now();
                continue;
            }
            match self.check_and_make().await {
                Ok(consumer) => {
                    self.consumer = Some(consumer);
                    return Ok(());
                }
                Err(error @ (JsError::NoStream | JsError::Stream(_))) => return Err(error),
                Err(error) if since.elapsed() > RESUME_LIMIT => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, stream = self.stream, "a stream can not be followed yet");
                    sleep(RESUME_PAUSE).await;
                }
            }
        }
    }

    async fn check_and_make(&self) -> Result<Consumer, JsError> {
        let info = self.js.info(&self.stream).await?;
        if info.created != self.created || info.state.last_seq < self.seen {
            return Err(JsError::Stream("the stream was made anew"));
        }
        self.make_consumer().await
    }

    async fn make_consumer(&self) -> Result<Consumer, JsError> {
        let link = &self.js.link;
        let name = format!("arborgate-{}", link.client.new_inbox().rsplit('.').next().unwrap_or_default());
        let mut config = json!({
            "name": name,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": true,
            "num_replicas": 1,
            "inactive_threshold": nanos(IDLE),
            "filter_subjects": self.subjects,
        });
        let (policy, first) = match self.start {
            Start::Newest if self.seen == 0 => ("last_per_subject", None),
            Start::Newest | Start::After(_) => ("by_start_sequence", Some(self.seen + 1)),
        };
        if let Some(fields) = config.as_object_mut() {
            fields.insert("deliver_policy".to_owned(), Value::from(policy));
            if let Some(first) = first {
                fields.insert("opt_start_seq".to_owned(), Value::from(first));
            }
        }
        let inbox = link.client.new_inbox();
        let subscriber = link.client.subscribe(inbox.clone()).await;
        let subscriber =
            subscriber.map_err(|error| JsError::Bus(crate::error::BusError::transport("subscribing")(error.into())))?;
        self.js.create_consumer(&self.stream, &name, &config).await?;
        Ok(Consumer {
            js: self.js.clone(),
            stream: self.stream.clone(),
            name,
            inbox,
            subscriber,
            expected: 1,
            coming: 0,
            heard: Instant::now(),
        })
    }
}

impl Consumer {
    async fn pull(&mut self) -> Result<(), JsError> {
        let request = json!({
            "batch": BATCH,
            "max_bytes": BATCH_BYTES,
            "expires": nanos(BATCH_LIFE),
            "idle_heartbeat": nanos(HEARTBEAT),
        });
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.stream, self.name);
        let client = &self.js.link.client;
        let publish = client.publish_with_reply(subject, self.inbox.clone(), request.to_string().into());
        match tokio::time::timeout(HEARTBEAT, publish).await {
            Ok(Ok(())) => {
                self.coming = BATCH;
                self.heard = Instant::now();
                Ok(())
            }
            Ok(Err(error)) => Err(JsError::Bus(crate::error::BusError::transport("asking for messages")(error.into()))),
            Err(_) => Err(JsError::Timeout),
        }
    }

    async fn hear(&mut self, connected: &mut watch::Receiver<bool>) -> Heard {
        loop {
            let message = tokio::select! {
                biased;
                message = self.subscriber.next() => message,
                _ = connected.wait_for(|connected| !connected) => return Heard::Lost,
                () = sleep_until(self.heard + SILENCE) => return Heard::Lost,
            };
            let Some(message) = message else { return Heard::Lost };
            self.heard = Instant::now();
            match message.status {
                None | Some(StatusCode::OK) => return Heard::Message(message),
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                // Nothing there, or the batch's time is over.
                Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => return Heard::BatchOver,
                Some(StatusCode::REQUEST_TERMINATED) if is_batch_over(message.description.as_deref()) => {
                    return Heard::BatchOver;
                }
                Some(_) => return Heard::Lost,
            }
        }
    }

    /// The sequence in the stream of a message that is the next one; `None` when it is another.
    fn place(&mut self, message: &Message) -> Option<u64> {
        let place = Place::read(message.reply.as_deref()?)?;
        if place.consumer != self.expected {
            return None;
        }
        self.expected += 1;
        self.coming = self.coming.saturating_sub(1);
        Some(place.stream)
    }
}

/// The ends of a batch that are none of the consumer, as nats-server words them (`server/consumer.go`).
fn is_batch_over(description: Option<&str>) -> bool {
    description.is_some_and(|text| {
        let text = text.to_ascii_lowercase();
        text.contains("maxbytes") || text.contains("batch completed")
    })
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Where a message stands, from the subject for its acknowledgement (ADR-15):
/// `$JS.ACK.STREAM.CONSUMER.DELIVERED.STREAM-SEQUENCE.CONSUMER-SEQUENCE.TIME.PENDING`, in a newer form with domain and
/// account after `ACK`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// How often it was delivered, this time included.
    pub(super) delivered: u32,
    stream: u64,
    consumer: u64,
}

impl Place {
    pub(super) fn read(reply: &str) -> Option<Self> {
        let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let skip = match tokens.len() {
            7 => 0,
            9.. => 2,
            _ => return None,
        };
        let number = |at: usize| tokens.get(at + skip)?.parse::<u64>().ok();
        let delivered = u32::try_from(number(2)?).unwrap_or(u32::MAX);
        Some(Self { delivered, stream: number(3)?, consumer: number(4)? })
    }
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "stream_name")]
    _stream: String,
}

impl JetStream {
    async fn create_consumer(&self, stream: &str, name: &str, config: &Value) -> Result<(), JsError> {
        let body = json!({ "stream_name": stream, "config": config, "action": "create" }).to_string();
        self.api::<Created>(format!("$JS.API.CONSUMER.CREATE.{stream}.{name}"), body.into()).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_where_a_message_stands() {
        let place = Some(Place { delivered: 1, stream: 42, consumer: 7 });
        assert_eq!(Place::read("$JS.ACK.KV_a.c.1.42.7.1700000000000000000.3"), place);
        assert_eq!(Place::read("$JS.ACK._.hash.KV_a.c.1.42.7.1700000000000000000.3"), place);
        assert_eq!(Place::read("$JS.ACK.hub.hash.KV_a.c.1.42.7.1700000000000000000.3.random"), place);
        for wrong in ["", "$JS.ACK.a.b.1.2", "$JS.ACK.a.b.1.x.y.1.1", "_INBOX.a.b.c.d.e.f.g.h"] {
            assert_eq!(Place::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_the_end_of_a_batch_is_no_loss() {
        assert!(is_batch_over(Some("Message Size Exceeds MaxBytes")));
        assert!(is_batch_over(Some("Batch Completed")));
        for lost in [None, Some("Consumer Deleted"), Some("Leadership Change"), Some("Server Shutdown")] {
            assert!(!is_batch_over(lost), "{lost:?}");
        }
    }
}
