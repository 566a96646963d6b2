//! How an actor is reached. It knows the actor's messages, not the actor.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::FULL;

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TellError {
    /// As many messages wait as may.
    #[error("the actor's mailbox is full")]
    Full,
    /// The actor has ended or is draining.
    #[error("the actor is gone")]
    Gone,
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// As many messages wait as may; the question was not taken.
    #[error("the actor's mailbox is full")]
    Full,
    /// The actor has ended, is draining, or panicked over this question.
    #[error("the actor is gone")]
    Gone,
    /// The deadline passed; the question may be handled yet.
    #[error("the actor gave no answer in time")]
    Timeout,
}

impl From<TellError> for AskError {
    fn from(error: TellError) -> Self {
        match error {
            TellError::Full => Self::Full,
            TellError::Gone => Self::Gone,
        }
    }
}

/// The actor's side of an address.
pub(crate) trait Mailbox<M>: Send + Sync {
    fn try_tell(&self, message: M) -> Result<(), TellError>;
    fn is_alive(&self) -> bool;
    fn drain(&self, grace: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Where an actor takes messages. Cheap to clone; the actor ends when the last clone is dropped.
pub struct Address<M>(Arc<dyn Mailbox<M>>);

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for Address<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").finish_non_exhaustive()
    }
}

impl<M> Address<M> {
    pub(crate) fn new(mailbox: Arc<dyn Mailbox<M>>) -> Self {
        Self(mailbox)
    }

    /// Puts a message into the mailbox, or says at once why not.
    pub fn try_tell(&self, message: M) -> Result<(), TellError> {
        self.0.try_tell(message).inspect_err(|error| {
            if *error == TellError::Full {
                FULL.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    /// Puts a question into the mailbox and waits for its answer until the deadline. When this future is dropped or the
    /// deadline passes, the sender in the question is closed: an actor can see that nobody waits.
    pub async fn ask<R>(
        &self,
        deadline: Instant,
        question: impl FnOnce(oneshot::Sender<R>) -> M,
    ) -> Result<R, AskError> {
        let (sender, answer) = oneshot::channel();
        if Instant::now() >= deadline {
            return Err(AskError::Timeout);
        }
        self.try_tell(question(sender))?;
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(AskError::Gone),
            Err(_) => Err(AskError::Timeout),
        }
    }

    /// Whether it takes messages.
    pub fn is_alive(&self) -> bool {
        self.0.is_alive()
    }

    /// Takes nothing new, handles what is in the mailbox, then stops; returns when [`crate::Actor::stopped`] has
    /// returned. After `grace` the message being handled is cut off where it waits, and what is left is dropped.
    pub async fn drain(&self, grace: Duration) {
        self.0.drain(grace).await;
    }
}
