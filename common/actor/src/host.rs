//! Runs an [`Actor`] inside an actor of the library. Panics are caught here, below the library: it would lose messages
//! that came in before the actor had started (kameo 0.22, `handle_startup_finished`).

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use kameo::actor::{ActorRef, Spawn, WeakActorRef};
use kameo::error::{ActorStopReason, Infallible, SendError};
use kameo::message::{BoxMessage, Context, Message};
use tokio::time::Instant;

use crate::address::{Mailbox, TellError};
use crate::{Actor, Address, GONE, Next, Options, PANICS};

type Make<A> = Box<dyn Fn() -> A + Send>;

pub(crate) fn spawn<A: Actor>(options: Options, make: Make<A>) -> Address<A::Message> {
    let host = Host { make, options, actor: None, ended: false, panics: VecDeque::new() };
    let mailbox = kameo::mailbox::bounded(options.capacity.max(1));
    Address::new(Arc::new(Reference(Host::spawn_with_mailbox(host, mailbox))))
}

struct Host<A: Actor> {
    make: Make<A>,
    options: Options,
    /// `None` before the start, and when the actor is gone.
    actor: Option<A>,
    /// By its own wish or by panics: what waits is not handled.
    ended: bool,
    /// When, the oldest first; at most [`Options::restarts`].
    panics: VecDeque<Instant>,
}

impl<A: Actor> Host<A> {
    /// Makes actors until one starts, within the limit.
    async fn start(&mut self) {
        loop {
            if let Ok(mut actor) = catch_unwind(AssertUnwindSafe(&self.make))
                && AssertUnwindSafe(actor.started()).catch_unwind().await.is_ok()
            {
                self.actor = Some(actor);
                return;
            }
            if !self.survives_panic() {
                return;
            }
        }
    }

    /// Notes a panic. The panic hook has written its text; here it could hold what a client sent.
    fn survives_panic(&mut self) -> bool {
        PANICS.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let within = self.options.within;
        self.panics.retain(|at| now.duration_since(*at) < within);
        let survives = self.panics.len() < self.options.restarts as usize;
        if survives {
            self.panics.push_back(now);
            tracing::warn!(actor = A::NAME, restarts = self.panics.len(), "an actor panicked and is made anew");
        } else {
            GONE.fetch_add(1, Ordering::Relaxed);
            tracing::error!(actor = A::NAME, ?within, "an actor panicked too often and is gone");
        }
        survives
    }

    async fn handle(&mut self, message: A::Message) {
        let Some(actor) = &mut self.actor else { return };
        match AssertUnwindSafe(actor.handle(message)).catch_unwind().await {
            Ok(Next::Continue) => {}
            Ok(Next::Stop) => self.ended = true,
            Err(_) => {
                self.actor = None;
                if self.survives_panic() {
                    self.start().await;
                }
                self.ended = self.actor.is_none();
            }
        }
    }
}

impl<A: Actor> kameo::Actor for Host<A> {
    type Args = Self;
    type Error = Infallible;

    fn name() -> &'static str {
        A::NAME
    }

    async fn on_start(mut host: Self, reference: ActorRef<Self>) -> Result<Self, Infallible> {
        host.start().await;
        if host.actor.is_none() {
            reference.kill();
        }
        Ok(host)
    }

    /// What came into the mailbox behind the signal to stop, from a sender that was just then sending.
    async fn on_undelivered(&mut self, reason: ActorStopReason, left: Vec<BoxMessage<Self>>) -> Result<(), Infallible> {
        let messages = left.into_iter().filter_map(|m| m.as_any().downcast::<A::Message>().ok());
        for message in messages {
            if self.ended || !matches!(reason, ActorStopReason::Normal) {
                break;
            }
            self.handle(*message).await;
        }
        Ok(())
    }

    async fn on_stop(&mut self, _: WeakActorRef<Self>, _: ActorStopReason) -> Result<(), Infallible> {
        if let Some(mut actor) = self.actor.take()
            && AssertUnwindSafe(actor.stopped()).catch_unwind().await.is_err()
        {
            PANICS.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(actor = A::NAME, "an actor panicked while it stopped");
        }
        Ok(())
    }
}

impl<A: Actor> Message<A::Message> for Host<A> {
    type Reply = ();

    fn name() -> &'static str {
        A::NAME
    }

    async fn handle(&mut self, message: A::Message, context: &mut Context<Self, ()>) {
        Host::handle(self, message).await;
        if self.ended {
            context.stop();
        }
    }
}

struct Reference<A: Actor>(ActorRef<Host<A>>);

impl<A: Actor> Mailbox<A::Message> for Reference<A> {
    fn try_tell(&self, message: A::Message) -> Result<(), TellError> {
        self.0.tell(message).try_send().map_err(|error| match error {
            SendError::MailboxFull(_) => TellError::Full,
            _ => TellError::Gone,
        })
    }

    fn is_alive(&self) -> bool {
        self.0.is_alive()
    }

    fn drain(&self, grace: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let ended = async {
                // An error says that it has ended already.
                let _ = self.0.stop_gracefully().await;
                self.0.wait_for_shutdown_with_result(|_| ()).await;
            };
            if tokio::time::timeout(grace, ended).await.is_err() {
                tracing::warn!(actor = A::NAME, ?grace, "an actor did not drain in time and is cut off");
                self.0.kill();
            }
        })
    }
}
