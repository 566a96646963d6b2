//! Durable work: a message is kept until somebody who took it says that it is done. Delivered at least once, in no certain
//! order; work on it must be such that doing it twice does it once.

use std::sync::Arc;
use std::time::Duration;

use arborgate_contracts::RequestId;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval_at};

use crate::error::StoreError;

/// What became of a message that was to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It waits to be taken.
    New,
    /// One of the same id waits or is under way; nothing was changed.
    AlreadyThere,
}

/// A message in somebody's hands; implemented by each kind of queue.
#[async_trait]
pub trait Lease: Send + Sync {
    /// See [`Delivery::ack`].
    async fn ack(&self) -> Result<(), StoreError>;
    /// See [`Delivery::progress`].
    async fn progress(&self) -> Result<(), StoreError>;
    /// See [`Delivery::release`].
    async fn release(&self, after: Duration) -> Result<(), StoreError>;
    /// Gives it back without waiting for anything.
    fn abandon(&self);
}

/// A message to be worked on. Dropped, it is given back, and delivered again. Of a process that dies the same becomes
/// after the queue's `ack_wait`.
pub struct Delivery {
    /// As published.
    pub payload: Bytes,
    /// The how-manieth time it is delivered, from 1; a server that was killed may have forgotten the last ones.
    pub attempt: u32,
    /// It was delivered as often as it may be: it is not to be worked on, only given up and acknowledged.
    pub exhausted: bool,
    ack_wait: Duration,
    lease: Option<Box<dyn Lease>>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("attempt", &self.attempt).field("exhausted", &self.exhausted).finish()
    }
}

impl Delivery {
    /// For implementations.
    pub fn new(
        payload: Bytes,
        attempt: u32,
        spec: &arborgate_contracts::queue::QueueSpec,
        lease: Box<dyn Lease>,
    ) -> Self {
        let exhausted = attempt > spec.max_deliver;
        Self { payload, attempt, exhausted, ack_wait: spec.ack_wait, lease: Some(lease) }
    }

    /// It is done: nobody gets it any more. After an error it may be delivered again.
    pub async fn ack(mut self) -> Result<(), StoreError> {
        match self.lease.take() {
            Some(lease) => lease.ack().await,
            None => Ok(()),
        }
    }

    /// Work on it goes on: it is left here for another `ack_wait`.
    pub async fn progress(&self) -> Result<(), StoreError> {
        match &self.lease {
            Some(lease) => lease.progress().await,
            None => Ok(()),
        }
    }

    /// Gives it back, to be delivered again after a while.
    pub async fn release(mut self, after: Duration) -> Result<(), StoreError> {
        match self.lease.take() {
            Some(lease) => lease.release(after).await,
            None => Ok(()),
        }
    }

    /// Works on it, saying meanwhile that it goes on. That it can not be said is no reason to stop.
    pub async fn held<T>(&self, work: impl Future<Output = T>) -> T {
        let every = self.ack_wait / 4;
        let mut tick = interval_at(tokio::time::Instant::now() + every, every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = tick.tick() => {}
            }
            // Beside the work, which must not wait for an answer to this.
            tokio::select! {
                done = &mut work => return done,
                said = self.progress() => if let Err(error) = said {
                    tracing::debug!(error = &error as &dyn std::error::Error, "could not say that work goes on");
                }
            }
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.abandon();
        }
    }
}

/// A kind of queue. Its users hold a [`Queue`].
#[async_trait]
pub trait QueueBackend: Send + Sync + 'static {
    /// See [`Queue::publish`].
    async fn publish(&self, id: &RequestId, payload: Bytes) -> Result<Added, StoreError>;
    /// See [`Queue::next`].
    async fn next(&self) -> Result<Delivery, StoreError>;
    /// See [`Queue::length`].
    async fn length(&self) -> Result<u64, StoreError>;
}

/// A work queue. Cheap to clone.
#[derive(Clone)]
pub struct Queue(Arc<dyn QueueBackend>);

impl Queue {
    /// A queue of some kind.
    pub fn new(backend: Arc<dyn QueueBackend>) -> Self {
        Self(backend)
    }

    /// Adds a message, unless one of its id is there and not yet done; [`StoreError::QueueFull`] when there are too many.
    /// When this returns well, the message survives.
    pub async fn publish(&self, id: &RequestId, payload: Bytes) -> Result<Added, StoreError> {
        self.0.publish(id, payload).await
    }

    /// Waits for a message that nobody has. May be dropped at any time; what was on its way then is delivered again. While there is no connection it waits; an error is
    /// final.
    pub async fn next(&self) -> Result<Delivery, StoreError> {
        self.0.next().await
    }

    /// Messages that wait or are under way.
    pub async fn length(&self) -> Result<u64, StoreError> {
        self.0.length().await
    }
}
