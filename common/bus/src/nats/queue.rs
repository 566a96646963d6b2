//! Work queues as JetStream work-queue streams: a subject for each message id, published to only while it has no message,
//! and one durable consumer with explicit acknowledgement that all who take share.

use std::time::Duration;

use arborgate_contracts::queue::QueueSpec;
use arborgate_contracts::subject::PREFIX;
use arborgate_contracts::{RequestId, Subject};
use async_nats::jetstream::stream;
use async_nats::{HeaderMap, Message, StatusCode, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use super::feed::{Place, nanos};
use super::jetstream::{JetStream, JsError, expecting};
use super::link::AskError;
use crate::error::{BusError, StoreError};
use crate::queue::{Added, Delivery, Lease, QueueBackend};

const CONSUMER: &str = "workers";
/// Requests for a message that may wait at the server.
const MOST_WAITING: u32 = 4096;
/// A stream's limit on its messages counts headers too.
const ROOM_FOR_HEADERS: usize = 1024;
/// How long one request for a message waits at the server.
const PULL: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Clone)]
pub(super) struct WorkQueue {
    js: JetStream,
    spec: &'static QueueSpec,
    stream: String,
}

impl WorkQueue {
    fn new(js: JetStream, spec: &'static QueueSpec) -> Self {
        Self { js, spec, stream: format!("QUEUE_{}", spec.name) }
    }

    /// A queue that is there.
    pub(super) async fn open(js: JetStream, spec: &'static QueueSpec) -> Result<Self, StoreError> {
        let queue = Self::new(js, spec);
        queue.js.info(&queue.stream).await.map_err(queue.failed("opening a queue"))?;
        Ok(queue)
    }

    /// A queue that is there, or is made now.
    pub(super) async fn make(js: JetStream, spec: &'static QueueSpec) -> Result<Self, StoreError> {
        let queue = Self::new(js, spec);
        let config = stream::Config {
            name: queue.stream.clone(),
            subjects: vec![format!("{PREFIX}.queue.{}.*", spec.name)],
            retention: stream::RetentionPolicy::WorkQueue,
            max_messages: i64::try_from(spec.max_messages).unwrap_or(i64::MAX),
            discard: stream::DiscardPolicy::New,
            max_message_size: i32::try_from(spec.max_message.saturating_add(ROOM_FOR_HEADERS)).unwrap_or(-1),
            storage: stream::StorageType::File,
            num_replicas: queue.js.replicas,
            ..stream::Config::default()
        };
        let failed = || queue.failed("making a queue");
        queue.js.make(config).await.map_err(failed())?;
        queue.make_consumer().await.map_err(failed())?;
        Ok(queue)
    }

    /// Made anew, or changed to what this binary wants of it.
    async fn make_consumer(&self) -> Result<(), JsError> {
        let config = json!({
            "durable_name": CONSUMER,
            "name": CONSUMER,
            "ack_policy": "explicit",
            "ack_wait": nanos(self.spec.ack_wait),
            "deliver_policy": "all",
            "replay_policy": "instant",
            // How often is enough is decided where it is delivered: the server would keep the message and tell nobody.
            "max_deliver": -1,
            "max_ack_pending": self.spec.max_messages,
            "max_waiting": MOST_WAITING,
        });
        let body = json!({ "stream_name": self.stream, "config": config }).to_string();
        let subject = format!("$JS.API.CONSUMER.CREATE.{}.{CONSUMER}", self.stream);
        self.js.api::<serde::de::IgnoredAny>(subject, body.into()).await.map(drop)
    }

    fn failed(&self, what: &'static str) -> impl FnOnce(JsError) -> StoreError {
        let queue = self.spec.name;
        move |error| match error {
            JsError::Full => StoreError::QueueFull { queue: queue.to_owned() },
            other => other.in_bucket(queue, what),
        }
    }

    fn until(&self) -> Instant {
        Instant::now() + self.js.link.request_timeout
    }

    /// Asks for one message, and hands it to who waits; none: there was none. One that comes for nobody is given back, when
    /// it is dropped: to end the request earlier would lose what is on its way just then.
    async fn pull(self, to: oneshot::Sender<Result<Option<Delivery>, AskError>>) {
        let pulled = match self.ask_for_one().await {
            Ok(mut replies) => self.reply(&mut replies).await,
            Err(error) => Err(error),
        };
        let taken = match pulled {
            Ok(message) if message.status.is_none() => Ok(self.delivery(message)),
            Ok(Message { status: Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT), .. }) => Ok(None),
            // Too many wait, or the leader changes.
            Ok(_) => {
                sleep(PAUSE).await;
                Ok(None)
            }
            Err(error) => Err(error),
        };
        drop(to.send(taken));
    }

    /// On an inbox of its own: a message comes under its own subject, from which the connection's inbox does not know who
    /// asked.
    async fn ask_for_one(&self) -> Result<Subscriber, AskError> {
        let link = &self.js.link;
        link.usable("taking work").map_err(AskError::Bus)?;
        let inbox = link.client.new_inbox();
        let replies = link.client.subscribe(inbox.clone()).await.map_err(|error| lost(error.into()))?;
        let body = json!({ "batch": 1, "expires": nanos(PULL) }).to_string();
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{CONSUMER}", self.stream);
        let asked = link.client.publish_with_reply(subject, inbox, body.into()).await;
        asked.map(|()| replies).map_err(|error| lost(error.into()))
    }

    async fn reply(&self, replies: &mut Subscriber) -> Result<Message, AskError> {
        let state = self.js.link.state();
        let (mut connected, until) = (state.connected(), self.until() + PULL);
        let reply = tokio::select! {
            biased;
            reply = timeout_at(until, replies.next()) => reply.map_err(|_| AskError::Timeout)?,
            _ = connected.wait_for(|connected| !connected) => None,
        };
        match reply {
            Some(message) if message.status == Some(StatusCode::NO_RESPONDERS) => Err(AskError::NoResponders),
            Some(message) => Ok(message),
            None if state.is_closed() => Err(AskError::Bus(BusError::Closed)),
            None => Err(lost("the connection was lost".into())),
        }
    }

    fn delivery(&self, message: Message) -> Option<Delivery> {
        let reply = message.reply?;
        let attempt = Place::read(&reply)?.delivered;
        let lease = InHand { queue: self.clone(), reply };
        Some(Delivery::new(message.payload, attempt, self.spec, Box::new(lease)))
    }

    /// After a request for a message failed: whether to ask again.
    async fn recover(&self, error: AskError) -> Result<(), StoreError> {
        match error {
            AskError::Bus(BusError::Closed) => return Err(StoreError::backend("taking work")(BusError::Closed)),
            // The consumer is gone, or there is no leader now.
            AskError::NoResponders => match self.make_consumer().await {
                Err(error @ JsError::NoStream) => return Err(self.failed("taking work")(error)),
                Err(error) => tracing::debug!(%error, queue = self.spec.name, "a queue can not be read yet"),
                Ok(()) => {}
            },
            other => tracing::debug!(error = ?other, queue = self.spec.name, "no work can be asked for now"),
        }
        sleep(PAUSE).await;
        Ok(())
    }
}

fn lost(error: Box<dyn std::error::Error + Send + Sync>) -> AskError {
    AskError::Bus(BusError::transport("taking work")(error))
}

/// A message in this process's hands.
struct InHand {
    queue: WorkQueue,
    reply: async_nats::Subject,
}

impl InHand {
    /// Says something of the message and waits until the server has heard it.
    async fn say(&self, what: Bytes) -> Result<(), StoreError> {
        let asked = self.queue.js.link.ask(self.reply.clone(), None, what, self.queue.until()).await;
        asked.map(drop).map_err(|error| self.queue.failed("acknowledging work")(error.into()))
    }

    fn negative(after: Duration) -> Bytes {
        if after.is_zero() {
            return Bytes::from_static(b"-NAK");
        }
        format!("-NAK {}", json!({ "delay": nanos(after) })).into()
    }
}

#[async_trait]
impl Lease for InHand {
    async fn ack(&self) -> Result<(), StoreError> {
        self.say(Bytes::from_static(b"+ACK")).await
    }

    async fn progress(&self) -> Result<(), StoreError> {
        self.say(Bytes::from_static(b"+WPI")).await
    }

    async fn release(&self, after: Duration) -> Result<(), StoreError> {
        self.say(Self::negative(after)).await
    }

    fn abandon(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (client, reply) = (self.queue.js.link.client.clone(), self.reply.clone());
        // In vain when the connection is gone; then the server gives it to another after its time.
        runtime.spawn(async move { client.publish(reply, Self::negative(Duration::ZERO)).await });
    }
}

#[async_trait]
impl QueueBackend for WorkQueue {
    async fn publish(&self, id: &RequestId, payload: Bytes) -> Result<Added, StoreError> {
        let QueueSpec { name, max_message, .. } = *self.spec;
        if payload.len() > max_message {
            return Err(StoreError::TooLarge { size: payload.len(), limit: max_message, bucket: name.to_owned() });
        }
        let subject = Subject::queued(name, id);
        let mut headers = HeaderMap::new();
        // Work that is done is in the stream no more.
        expecting(&mut headers, 0);
        let sent = self.js.publish(subject.as_str().to_owned().into(), headers, payload).await;
        let stored = match sent {
            Ok(sent) => sent.acknowledged().await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(_) => Ok(Added::New),
            Err(JsError::WrongLast) => Ok(Added::AlreadyThere),
            // A subject that no stream takes.
            Err(JsError::NoAnswer) => {
                self.js.info(&self.stream).await.map_err(self.failed("adding work"))?;
                Err(self.failed("adding work")(JsError::NoAnswer))
            }
            Err(error) => Err(self.failed("adding work")(error)),
        }
    }

    async fn next(&self) -> Result<Delivery, StoreError> {
        let mut connected = self.js.link.state().connected();
        loop {
            if self.js.link.state().is_closed() {
                return Err(StoreError::backend("taking work")(BusError::Closed));
            }
            if !*connected.borrow_and_update() {
                // The sender lives as long as the connection, which `js` holds.
                let _ = connected.changed().await;
                continue;
            }
            let (sender, receiver) = oneshot::channel();
            // A task of its own: when this is dropped, what comes all the same is given back.
            tokio::spawn(self.clone().pull(sender));
            match receiver.await {
                Ok(Ok(Some(delivery))) => return Ok(delivery),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => self.recover(error).await?,
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn length(&self) -> Result<u64, StoreError> {
        Ok(self.js.info(&self.stream).await.map_err(self.failed("reading a queue"))?.state.messages)
    }
}
