//! One connection: asking with one inbox for all replies, proving that what was sent before has arrived, and saying
//! whether it is connected. It knows neither services nor the state.
//!
//! The inbox is our own, not async-nats's: there a request that times out leaves its place behind for ever, and one that
//! is under way when the connection breaks, or that the server denies, learns nothing.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, HeaderMap, Message, ServerAddr, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::config::Config;
use super::metrics::Metrics;
use super::state::{Broken, State, Ticket};
use crate::error::BusError;

/// What headers take of the server's limit, which counts them with the payload.
const ROOM_FOR_HEADERS: usize = 1024;
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(1);
/// How often a log line says that NATS is waited for.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// The client may drop its events when there are too many at once, so its state is looked at as well.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Link {
    pub(super) client: Client,
    state: Arc<State>,
    /// What the subjects of replies begin with, the last dot included.
    inbox: String,
    pub(super) request_timeout: Duration,
    _stop: DropGuard,
}

/// Why there is no reply.
#[derive(Debug)]
pub(super) enum AskError {
    Timeout,
    NoResponders,
    TooLarge { size: usize, limit: usize },
    Busy,
    Bus(BusError),
}

/// A request that was sent.
pub(super) struct Asked {
    ticket: Ticket,
    subject: Subject,
}

impl Link {
    /// Connects, waiting for NATS as long as it takes.
    pub(super) async fn connect(config: &Config) -> Result<Arc<Self>, BusError> {
        let addresses = config.addresses()?;
        let named = addresses.iter().map(|a| format!("{}:{}", a.host(), a.port())).collect::<Vec<_>>().join(", ");
        let state = Arc::new(State::new());
        let events = Arc::clone(&state);
        let options = config.options().await?.event_callback(move |event| {
            events.on_event(event);
            std::future::ready(())
        });
        let client = wait_for_server(&options, &addresses, &named).await?;
        let inbox = format!("{}.", client.new_inbox());
        let replies = client
            .subscribe(format!("{inbox}*"))
            .await
            .map_err(|error| BusError::transport("subscribing to replies")(error.into()))?;
        let stop = CancellationToken::new();
        tokio::spawn(deliver(replies, inbox.clone(), Arc::clone(&state), stop.clone()));
        let prover = Prover { client: client.clone(), state: Arc::clone(&state), inbox: inbox.clone() };
        prover.first(config.request_timeout()).await?;
        tokio::spawn(prover.keep_proving(named, config.request_timeout(), stop.clone()));
        let request_timeout = config.request_timeout();
        Ok(Arc::new(Self { client, state, inbox, request_timeout, _stop: stop.drop_guard() }))
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.state.metrics
    }

    /// The largest payload that fits with its headers.
    pub(super) fn max_payload(&self) -> usize {
        self.client.max_payload().saturating_sub(ROOM_FOR_HEADERS)
    }

    /// Fails when the connection is closed or, now, lost.
    pub(super) fn usable(&self, what: &'static str) -> Result<(), BusError> {
        if self.state.is_closed() {
            Err(BusError::Closed)
        } else if self.state.is_connected() {
            Ok(())
        } else {
            Err(BusError::transport(what)("not connected to NATS".into()))
        }
    }

    /// Sends a request; [`Asked::reply`] waits for what comes.
    pub(super) async fn send(
        &self,
        subject: Subject,
        headers: Option<HeaderMap>,
        payload: Bytes,
        until: Instant,
    ) -> Result<Asked, AskError> {
        let limit = self.max_payload();
        if payload.len() > limit {
            return Err(AskError::TooLarge { size: payload.len(), limit });
        }
        let Some(ticket) = self.state.ticket(subject.clone()) else {
            self.metrics().bus.full.inc();
            return Err(AskError::Busy);
        };
        // After the place is taken: whoever loses the connection now finds it.
        self.usable("asking over NATS").map_err(AskError::Bus)?;
        let reply = format!("{}{}", self.inbox, ticket.id);
        let sent = match headers {
            Some(headers) => {
                let publish = self.client.publish_with_reply_and_headers(subject.clone(), reply, headers, payload);
                timeout_at(until, publish).await
            }
            None => timeout_at(until, self.client.publish_with_reply(subject.clone(), reply, payload)).await,
        };
        match sent {
            Ok(Ok(())) => Ok(Asked { ticket, subject }),
            Ok(Err(error)) => Err(AskError::Bus(BusError::transport("sending over NATS")(error.into()))),
            Err(_) => Err(AskError::Timeout),
        }
    }

    /// Asks and waits for one reply.
    pub(super) async fn ask(
        &self,
        subject: Subject,
        headers: Option<HeaderMap>,
        payload: Bytes,
        until: Instant,
    ) -> Result<Message, AskError> {
        self.send(subject, headers, payload, until).await?.reply(until).await
    }

    /// Returns when the server has done all that this connection sent before, and has said what it denies of it.
    pub(super) async fn settle(&self) -> Result<(), BusError> {
        self.usable("reaching NATS")?;
        let prover = Prover { client: self.client.clone(), state: Arc::clone(&self.state), inbox: self.inbox.clone() };
        // A complaint reaches the client before the first proof does, but another task than ours hears it; by the
        // second that task has had its turn. One that is late all the same is logged.
        for _ in 0..2 {
            prover.prove(self.request_timeout).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Subscribes, and returns when the subscription is live.
    pub(super) async fn subscribe(&self, subject: &str, group: Option<&str>) -> Result<Subscriber, BusError> {
        self.usable("subscribing")?;
        self.state.try_again(subject);
        let failed = BusError::transport("subscribing");
        let subscriber = match group {
            Some(group) => self.client.queue_subscribe(subject.to_owned(), group.to_owned()).await,
            None => self.client.subscribe(subject.to_owned()).await,
        };
        let subscriber = subscriber.map_err(|error| failed(error.into()))?;
        self.settle().await?;
        if self.state.may_not_subscribe(subject) {
            return Err(denied("subscribing", subject));
        }
        Ok(subscriber)
    }

    /// Publishes. The first time on a subject it returns only when the server did not deny it.
    pub(super) async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError> {
        self.usable("publishing")?;
        let limit = self.max_payload();
        if payload.len() > limit {
            let text = format!("a message of {} bytes is over the bus's limit of {limit}", payload.len());
            return Err(BusError::transport("publishing")(text.into()));
        }
        if self.state.may_not_publish(subject) {
            return Err(denied("publishing", subject));
        }
        timeout(self.request_timeout, self.client.publish(subject.to_owned(), payload))
            .await
            .map_err(|elapsed| BusError::transport("publishing")(elapsed.into()))?
            .map_err(|error| BusError::transport("publishing")(error.into()))?;
        if !self.state.is_proven(subject) {
            self.settle().await?;
            if self.state.may_not_publish(subject) {
                return Err(denied("publishing", subject));
            }
            self.state.prove(subject);
        }
        Ok(())
    }

    /// Sends what is buffered and ends the connection.
    pub(super) async fn close(&self) {
        self.state.close();
        // Without a server there is nobody to send it to.
        let _ = timeout(self.request_timeout, self.client.flush()).await;
        let _ = timeout(self.request_timeout, self.client.drain()).await;
    }
}

impl Asked {
    /// The reply, unless it is only the server saying that nobody is there.
    pub(super) async fn reply(mut self, until: Instant) -> Result<Message, AskError> {
        match timeout_at(until, &mut self.ticket.receiver).await {
            Err(_) => Err(AskError::Timeout),
            Ok(Ok(Ok(message))) if message.status == Some(async_nats::StatusCode::NO_RESPONDERS) => {
                Err(AskError::NoResponders)
            }
            Ok(Ok(Ok(message))) => Ok(message),
            Ok(Ok(Err(Broken::Denied))) => Err(AskError::Bus(denied("asking over NATS", self.subject.as_str()))),
            Ok(Ok(Err(Broken::Lost))) => {
                Err(AskError::Bus(BusError::transport("asking over NATS")("the connection was lost".into())))
            }
            Ok(Ok(Err(Broken::Closed)) | Err(_)) => Err(AskError::Bus(BusError::Closed)),
        }
    }
}

fn denied(what: &'static str, subject: &str) -> BusError {
    BusError::transport(what)(format!("the server's permissions deny {subject}").into())
}

/// Connects; waits while there is no server, but not when the server, or TLS, says no.
async fn wait_for_server(options: &ConnectOptions, addresses: &[ServerAddr], named: &str) -> Result<Client, BusError> {
    let mut delay = FIRST_DELAY;
    let mut said: Option<Instant> = None;
    loop {
        let error = match options.clone().connect(addresses).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                return Err(BusError::transport("signing in to NATS")(error.into()));
            }
            ConnectErrorKind::Tls => return Err(BusError::transport("TLS to NATS")(error.into())),
            _ => {}
        }
        if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            tracing::warn!(%error, "waiting for NATS at {named}");
            said = Some(Instant::now());
        }
        sleep(delay).await;
        delay = (delay * 2).min(LONGEST_DELAY);
    }
}

/// Hands replies to those who wait for them.
async fn deliver(mut replies: Subscriber, inbox: String, state: Arc<State>, stop: CancellationToken) {
    let all = async {
        while let Some(message) = replies.next().await {
            let id = message.subject.as_str().strip_prefix(&inbox).and_then(|id| id.parse().ok());
            if let Some(id) = id {
                state.deliver(id, message);
            }
        }
    };
    stop.run_until_cancelled(all).await;
}

/// Sends messages to this connection itself. The server does what a connection sends in order, so a message that came
/// back proves that all before it was done, on this server; `flush` only proves that it was written.
struct Prover {
    client: Client,
    state: Arc<State>,
    inbox: String,
}

impl Prover {
    async fn prove(&self, limit: Duration) -> Result<(), BusError> {
        let failed = || BusError::transport("reaching NATS");
        let Some(mut ticket) = self.state.ticket(Subject::from_static("")) else {
            return Err(failed()("too many requests wait for replies".into()));
        };
        let proof = async {
            let subject = format!("{}{}", self.inbox, ticket.id);
            self.client.publish(subject, Bytes::new()).await.map_err(|error| failed()(error.into()))?;
            match (&mut ticket.receiver).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(Broken::Lost | Broken::Denied)) => Err(failed()("the connection was lost".into())),
                Ok(Err(Broken::Closed)) | Err(_) => Err(BusError::Closed),
            }
        };
        let proved = timeout(limit, proof).await.map_err(|_| failed()("no answer in time".into()));
        proved.and_then(|proved| proved)
    }

    /// As [`Prover::prove`]; then says that the connection works, unless it was lost meanwhile.
    async fn prove_up(&self, limit: Duration) -> Result<bool, BusError> {
        let losses = self.state.losses();
        self.prove(limit).await?;
        Ok(self.state.proven_up(losses))
    }

    /// Proves a new connection; waits while the server does not answer, but not when it denies the inbox.
    async fn first(&self, limit: Duration) -> Result<(), BusError> {
        loop {
            match self.prove_up(limit.min(LOOK_EVERY)).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(BusError::Closed) => return Err(BusError::Closed),
                Err(error) => {
                    let inbox = format!("{}*", self.inbox);
                    if self.state.may_not_subscribe(&inbox) {
                        return Err(denied("subscribing to replies", &inbox));
                    }
                    tracing::warn!(%error, "NATS does not answer; may this connection publish to its inbox?");
                }
            }
        }
    }

    /// Proves the connection each time that it comes back, and says while it is gone.
    async fn keep_proving(self, named: String, limit: Duration, stop: CancellationToken) {
        let mut said = Instant::now();
        loop {
            let moved = async {
                let _ = timeout(LOOK_EVERY, self.state.moved.notified()).await;
            };
            if stop.run_until_cancelled(moved).await.is_none() || self.state.is_closed() {
                return;
            }
            let up = self.client.connection_state() == async_nats::connection::State::Connected;
            match (up, self.state.is_connected()) {
                (true, false) => {
                    if let Err(error) = self.prove_up(limit).await {
                        tracing::debug!(%error, "NATS does not answer yet");
                    } else {
                        tracing::info!("connected to NATS again");
                    }
                }
                (false, true) => self.state.lost(),
                _ => {}
            }
            if self.state.is_connected() {
                said = Instant::now();
            } else if said.elapsed() >= SAY_EVERY {
                tracing::warn!("waiting for NATS at {named}");
                said = Instant::now();
            }
        }
    }
}
