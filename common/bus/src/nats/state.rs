//! What one connection knows of itself: who waits for a reply, whether it is connected, what it may not do. It sends
//! nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_nats::{Event, Message, ServerError, Subject};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};

use super::metrics::Metrics;

/// How many requests may wait for replies at once.
const MOST_WAITING: usize = 64 << 10;
/// How many subjects are remembered as denied, or as proven not to be.
const MOST_REMEMBERED: usize = 1024;

/// Why a reply will not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Lost,
    Denied,
    Closed,
}

pub(super) type Outcome = Result<Message, Broken>;

struct Waiting {
    subject: Subject,
    sender: oneshot::Sender<Outcome>,
}

#[derive(Default)]
struct Permissions {
    denied_publish: HashSet<String>,
    denied_subscribe: HashSet<String>,
    /// Published to before, and the server did not complain.
    proven: HashSet<String>,
}

pub(super) struct State {
    waiting: Mutex<HashMap<u64, Waiting>>,
    next: AtomicU64,
    permissions: Mutex<Permissions>,
    /// Counts losses: what was proven before one says nothing after it.
    losses: Mutex<u64>,
    connected: watch::Sender<bool>,
    closed: AtomicBool,
    /// Told when the client has connected again, and when it has lost its connection.
    pub(super) moved: Notify,
    pub(super) metrics: Metrics,
}

/// A place among those who wait; given up when dropped.
pub(super) struct Ticket {
    state: Arc<State>,
    pub(super) id: u64,
    pub(super) receiver: oneshot::Receiver<Outcome>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.state.waiting.lock().remove(&self.id);
    }
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            next: AtomicU64::new(0),
            permissions: Mutex::default(),
            losses: Mutex::default(),
            connected: watch::channel(false).0,
            closed: AtomicBool::new(false),
            moved: Notify::new(),
            metrics: Metrics::default(),
        }
    }

    /// A place for one reply; `None` when too many wait.
    pub(super) fn ticket(self: &Arc<Self>, subject: Subject) -> Option<Ticket> {
        let (sender, receiver) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting.lock();
        if waiting.len() >= MOST_WAITING {
            return None;
        }
        waiting.insert(id, Waiting { subject, sender });
        drop(waiting);
        Some(Ticket { state: Arc::clone(self), id, receiver })
    }

    /// Hands a reply to who waits for it; nobody may.
    pub(super) fn deliver(&self, id: u64, message: Message) {
        let waiting = self.waiting.lock().remove(&id);
        if let Some(waiting) = waiting {
            // Who waited may just have left.
            let _ = waiting.sender.send(Ok(message));
        }
    }

    fn fail(&self, which: impl Fn(&Subject) -> bool, why: Broken) {
        let failed: Vec<Waiting> =
            self.waiting.lock().extract_if(|_, waiting| which(&waiting.subject)).map(|(_, waiting)| waiting).collect();
        for waiting in failed {
            let _ = waiting.sender.send(Err(why));
        }
    }

    pub(super) fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    pub(super) fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn losses(&self) -> u64 {
        *self.losses.lock()
    }

    /// Says that the connection works, unless it was lost since `losses` were counted.
    pub(super) fn proven_up(&self, losses: u64) -> bool {
        let now = self.losses.lock();
        let up = *now == losses && !self.is_closed();
        if up {
            self.connected.send_if_modified(|connected| !std::mem::replace(connected, true));
        }
        up
    }

    pub(super) fn lost(&self) {
        let mut losses = self.losses.lock();
        *losses += 1;
        // In this order: who comes to wait after the failing sees that it is not connected.
        let was = self.connected.send_replace(false);
        drop(losses);
        self.fail(|_| true, Broken::Lost);
        // Permissions may be others when it connects again.
        *self.permissions.lock() = Permissions::default();
        if was {
            self.metrics.disconnects.inc();
        }
        self.moved.notify_one();
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.connected.send_replace(false);
        self.fail(|_| true, Broken::Closed);
        self.moved.notify_one();
    }

    pub(super) fn may_not_publish(&self, subject: &str) -> bool {
        self.permissions.lock().denied_publish.contains(subject)
    }

    pub(super) fn may_not_subscribe(&self, subject: &str) -> bool {
        self.permissions.lock().denied_subscribe.contains(subject)
    }

    /// Forgets what the server said of subscribing to a subject before it is tried again.
    pub(super) fn try_again(&self, subject: &str) {
        self.permissions.lock().denied_subscribe.remove(subject);
    }

    pub(super) fn is_proven(&self, subject: &str) -> bool {
        self.permissions.lock().proven.contains(subject)
    }

    pub(super) fn prove(&self, subject: &str) {
        remember(&mut self.permissions.lock().proven, subject);
    }

    /// What the client reports: of the connection and of the server's complaints.
    pub(super) fn on_event(&self, event: Event) {
        match event {
            Event::Connected => self.moved.notify_one(),
            Event::Disconnected => {
                tracing::warn!("the connection to NATS was lost");
                self.lost();
            }
            Event::Closed => self.close(),
            Event::SlowConsumer(_) | Event::ServerError(ServerError::SlowConsumer(_)) => {
                self.metrics.slow_consumers.inc();
            }
            Event::ServerError(ServerError::Other(text)) => self.on_complaint(&text),
            Event::ServerError(error) => tracing::error!(%error, "NATS complains"),
            Event::LameDuckMode | Event::Draining | Event::ClientError(_) => {}
        }
    }

    fn on_complaint(&self, text: &str) {
        let Some(violation) = Violation::read(text) else {
            tracing::error!(complaint = text, "NATS complains");
            return;
        };
        self.metrics.violations.inc();
        tracing::error!(complaint = text, "NATS denies a permission");
        match violation {
            Violation::Publish(subject) => {
                let mut permissions = self.permissions.lock();
                permissions.proven.remove(subject);
                remember(&mut permissions.denied_publish, subject);
                drop(permissions);
                self.fail(|waiting| waiting.as_str() == subject, Broken::Denied);
            }
            Violation::Subscribe(subject) => remember(&mut self.permissions.lock().denied_subscribe, subject),
        }
    }
}

/// Remembers a subject, forgetting all when there are too many.
fn remember(subjects: &mut HashSet<String>, subject: &str) {
    if subjects.len() >= MOST_REMEMBERED {
        subjects.clear();
    }
    subjects.insert(subject.to_owned());
}

/// A permission violation, as nats-server words it (`server/client.go`).
#[derive(Debug, PartialEq, Eq)]
enum Violation<'a> {
    Publish(&'a str),
    Subscribe(&'a str),
}

impl<'a> Violation<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let prefix = "permissions violation for ";
        let (kind, rest) = text.get(prefix.len()..)?.split_once('"')?;
        if !text.get(..prefix.len())?.eq_ignore_ascii_case(prefix) {
            return None;
        }
        let subject = rest.split_once('"')?.0;
        match kind.split(' ').next()? {
            kind if kind.eq_ignore_ascii_case("publish") => Some(Self::Publish(subject)),
            kind if kind.eq_ignore_ascii_case("subscription") => Some(Self::Subscribe(subject)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_server_s_complaints() {
        let read = Violation::read;
        assert_eq!(read("Permissions Violation for Publish to \"a.b\""), Some(Violation::Publish("a.b")));
        assert_eq!(read("Permissions Violation for Subscription to \"a\""), Some(Violation::Subscribe("a")));
        assert_eq!(
            read("Permissions Violation for Subscription to \"a\" using queue \"q\""),
            Some(Violation::Subscribe("a"))
        );
        for other in
            ["", "Stale Connection", "Permissions Violation for Publish", "Permissions Violation for X \"a\"", "é"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn who_waits_is_told_that_it_is_in_vain() {
        let state = Arc::new(State::new());
        let mut denied = state.ticket("a".into()).unwrap();
        let mut other = state.ticket("b".into()).unwrap();
        state.on_event(Event::ServerError(ServerError::Other("Permissions Violation for Publish to \"a\"".into())));
        assert!(matches!((&mut denied.receiver).await, Ok(Err(Broken::Denied))));
        assert!(other.receiver.try_recv().is_err());
        state.on_event(Event::Disconnected);
        assert!(matches!((&mut other.receiver).await, Ok(Err(Broken::Lost))));
        assert!(!state.may_not_publish("a"));
    }

    #[test]
    fn places_are_given_up_and_bounded() {
        let state = Arc::new(State::new());
        let tickets: Vec<Ticket> = (0..MOST_WAITING).filter_map(|_| state.ticket("a".into())).collect();
        assert_eq!(tickets.len(), MOST_WAITING);
        assert!(state.ticket("a".into()).is_none());
        drop(tickets);
        assert!(state.waiting.lock().is_empty());
    }

    #[test]
    fn what_was_proven_before_a_loss_says_nothing() {
        let state = State::new();
        let before = state.losses();
        state.on_event(Event::Disconnected);
        assert!(!state.proven_up(before));
        assert!(!state.is_connected());
        assert!(state.proven_up(state.losses()));
        assert!(state.is_connected());
        state.close();
        assert!(!state.proven_up(state.losses()));
    }
}
