//! Serving a subject: one task reads requests and starts a handler for each, up to the capacity; and subscribing to what
//! is published.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arborgate_contracts::{ServiceError, Subject};
use async_nats::{HeaderMap, Message, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::link::Link;
use super::rpc;
use crate::error::BusError;
use crate::transport::{Handler, Incoming, Serving, ServingGuard, Subscription};

/// Replies that may wait to be sent beside those of requests that are handled.
const REPLIES_WAITING: usize = 1024;
/// How long a refusal may wait to be sent before the next request is looked at.
const REFUSAL_LIMIT: Duration = Duration::from_secs(1);

/// Asks the server to end a subscription at once while the client goes on delivering what is under way. async-nats's own
/// `unsubscribe` and `drain` drop that. nats-server (`client.processUnsub`) ends a subscription at once when the number
/// of messages after which it should end can not be read, and it reads at most nine digits (`parseSize`); the client
/// counts up to it. A server that read them all would end it with the plain unsubscription that follows.
const NOW_BUT_DELIVER: u64 = u64::MAX;

pub(super) async fn serve(
    link: &Arc<Link>,
    subject: &Subject,
    group: Option<&str>,
    capacity: usize,
    handler: Arc<dyn Handler>,
) -> Result<Serving, BusError> {
    let subscriber = link.subscribe(subject.as_str(), group).await?;
    let drain = CancellationToken::new();
    let reader = Reader {
        link: Arc::clone(link),
        subject: subject.clone(),
        subscriber,
        room: Arc::new(Semaphore::new(capacity.min(Semaphore::MAX_PERMITS))),
        most: capacity.saturating_add(REPLIES_WAITING),
        handler,
        under_way: JoinSet::new(),
    };
    let task = tokio::spawn(reader.run(drain.clone()));
    let guard = Guard { abort: task.abort_handle(), task: Mutex::new(Some(task)), drain };
    Ok(Serving::new(Arc::new(guard)))
}

struct Guard {
    abort: AbortHandle,
    task: Mutex<Option<JoinHandle<()>>>,
    drain: CancellationToken,
}

#[async_trait]
impl ServingGuard for Guard {
    async fn drain(&self, grace: Duration) {
        self.drain.cancel();
        let task = self.task.lock().take();
        if let Some(task) = task {
            // What is not answered by then is forgotten.
            let _ = timeout(grace, task).await;
        }
        self.abort.abort();
    }

    fn stop(&self) {
        self.abort.abort();
    }
}

struct Reader {
    link: Arc<Link>,
    subject: Subject,
    subscriber: Subscriber,
    /// A permit for each handler.
    room: Arc<Semaphore>,
    most: usize,
    handler: Arc<dyn Handler>,
    /// Aborted when this is dropped.
    under_way: JoinSet<()>,
}

impl Reader {
    /// Ends when the subscription does, or is drained, and all is answered.
    async fn run(mut self, drain: CancellationToken) {
        loop {
            tokio::select! {
                message = self.subscriber.next() => match message {
                    Some(message) => self.admit(message).await,
                    None => break,
                },
                Some(_) = self.under_way.join_next(), if !self.under_way.is_empty() => {}
                () = drain.cancelled() => {
                    self.take_no_more().await;
                    break;
                }
            }
        }
        while self.under_way.join_next().await.is_some() {}
    }

    /// Ends the subscription at the server, and takes what the server had sent by then.
    async fn take_no_more(&mut self) {
        // When NATS can not be reached it sends nothing either.
        let _ = self.subscriber.unsubscribe_after(NOW_BUT_DELIVER).await;
        let link = Arc::clone(&self.link);
        let mut ended = std::pin::pin!(async move { link.settle().await });
        loop {
            tokio::select! {
                message = self.subscriber.next() => match message {
                    Some(message) => self.admit(message).await,
                    None => return,
                },
                Some(_) = self.under_way.join_next(), if !self.under_way.is_empty() => {}
                _ = &mut ended => break,
            }
        }
        let _ = self.subscriber.unsubscribe().await;
        while let Some(message) = self.subscriber.next().await {
            self.admit(message).await;
        }
    }

    async fn admit(&mut self, message: Message) {
        let metrics = self.link.metrics();
        let Some(reply_to) = message.reply else {
            metrics.unanswerable.inc();
            return;
        };
        while self.under_way.try_join_next().is_some() {}
        let permit = Arc::clone(&self.room).try_acquire_owned();
        let Some(permit) = permit.ok().filter(|_| self.under_way.len() < self.most) else {
            metrics.bus.full.inc();
            let refuse = self.link.client.publish_with_headers(reply_to, rpc::refusal(), Bytes::new());
            // Whoever asked hears nothing when the connection is gone.
            let _ = timeout(REFUSAL_LIMIT, refuse).await;
            return;
        };
        let request = Request { payload: message.payload, headers: message.headers, reply_to, permit };
        self.under_way.spawn(answer(Arc::clone(&self.link), self.subject.clone(), Arc::clone(&self.handler), request));
    }
}

struct Request {
    payload: Bytes,
    headers: Option<HeaderMap>,
    reply_to: async_nats::Subject,
    permit: OwnedSemaphorePermit,
}

/// Handles one request until its deadline, and replies.
async fn answer(link: Arc<Link>, subject: Subject, handler: Arc<dyn Handler>, request: Request) {
    let default = link.request_timeout;
    let (until, outcome) = match rpc::read_meta(request.headers.as_ref(), default) {
        Err(error) => (Instant::now() + default, Err(error)),
        Ok(meta) => {
            let until = Instant::from_std(meta.deadline.instant());
            if meta.deadline.has_passed() {
                link.metrics().expired.inc();
                return;
            }
            let handled = AssertUnwindSafe(handler.handle(Incoming { payload: request.payload, meta })).catch_unwind();
            match timeout_at(until, handled).await {
                Ok(Ok(outcome)) => (until, outcome),
                Ok(Err(_)) => {
                    link.metrics().panics.inc();
                    tracing::error!(%subject, "a handler panicked");
                    (until, Err(ServiceError::internal()))
                }
                Err(_) => {
                    link.metrics().expired.inc();
                    return;
                }
            }
        }
    };
    // Before the reply: who has it may ask again at once.
    drop(request.permit);
    let sent = match rpc::write_reply(outcome, link.max_payload()) {
        (None, payload) => timeout_at(until, link.client.publish(request.reply_to, payload)).await,
        (Some(headers), payload) => {
            timeout_at(until, link.client.publish_with_headers(request.reply_to, headers, payload)).await
        }
    };
    match sent {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%subject, %error, "a reply can not be sent"),
        Err(_) => {
            link.metrics().expired.inc();
        }
    }
}

/// Ends a task when dropped.
pub(super) struct AbortOnDrop(pub(super) AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) async fn subscribe(link: &Arc<Link>, subject: &Subject, capacity: usize) -> Result<Subscription, BusError> {
    let mut subscriber = link.subscribe(subject.as_str(), None).await?;
    let (sender, receiver) = mpsc::channel(capacity.clamp(1, Semaphore::MAX_PERMITS));
    let metrics = link.metrics().clone();
    let task = tokio::spawn(async move {
        while let Some(message) = subscriber.next().await {
            match sender.try_send(message.payload) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => {
                    metrics.bus.dropped.inc();
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        }
    });
    Ok(Subscription::new(receiver, Box::new(AbortOnDrop(task.abort_handle()))))
}
