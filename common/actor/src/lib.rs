//! Actors: state that changes, owned by one task, reached by messages through a bounded mailbox. The only crate that
//! names the actor library. It is no place for blocking work: a handler that blocks, blocks its thread.
//!
//! What is lost, and what is not:
//!
//! - A panic while a message is handled loses that message (its asker reads [`AskError::Gone`]) and the actor's state.
//!   The actor is made anew and goes on with the messages that wait, in their order.
//! - After more than [`Options::restarts`] panics [`Options::within`] the actor is gone, with what waits; so it is when
//!   it answers [`Next::Stop`].
//! - [`Address::drain`] handles what waits before the actor stops. A message *told* while the drain begins may go
//!   unhandled; who *asks* always learns it.
//! - When the last [`Address`] is dropped the actor handles what waits and stops.

mod address;
mod host;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use address::{Address, AskError, TellError};

/// State that changes, and what it does with each message.
pub trait Actor: Send + 'static {
    /// What it understands: an enum. A question carries a [`tokio::sync::oneshot::Sender`] for its answer.
    type Message: Send + 'static;

    /// In logs.
    const NAME: &'static str;

    /// Called before the first message, and again for an actor made anew. A panic here counts as one in
    /// [`Actor::handle`].
    fn started(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// One message at a time, in the order in which they were sent.
    fn handle(&mut self, message: Self::Message) -> impl Future<Output = Next> + Send;

    /// Called once, after the last message. Not called when the actor is gone by panics.
    fn stopped(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// What an actor does after a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Waits for the next.
    Continue,
    /// Ends; what waits is dropped, so that its askers read [`AskError::Gone`].
    Stop,
}

/// How an actor is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Messages that may wait, at least 1.
    pub capacity: usize,
    /// How many panics are survived within [`Options::within`].
    pub restarts: u32,
    /// See [`Options::restarts`].
    pub within: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { capacity: 256, restarts: 5, within: Duration::from_secs(60) }
    }
}

/// Starts an actor on the current tokio runtime and gives its address. `make` makes it, and makes it anew after a panic.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn spawn<A: Actor>(options: Options, make: impl Fn() -> A + Send + 'static) -> Address<A::Message> {
    host::spawn(options, Box::new(make))
}

static PANICS: AtomicU64 = AtomicU64::new(0);
static GONE: AtomicU64 = AtomicU64::new(0);
static FULL: AtomicU64 = AtomicU64::new(0);

/// What went wrong with the actors of this process since it began, for a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Panics in actors.
    pub panics: u64,
    /// Actors that ended because they panicked too often.
    pub gone: u64,
    /// Messages refused because a mailbox was full.
    pub full: u64,
}

/// See [`Totals`].
pub fn totals() -> Totals {
    Totals {
        panics: PANICS.load(Ordering::Relaxed),
        gone: GONE.load(Ordering::Relaxed),
        full: FULL.load(Ordering::Relaxed),
    }
}
