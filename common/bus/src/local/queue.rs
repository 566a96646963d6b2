//! Work queues in one process. What waits and how often it was delivered is the writer's, on disk first; who has a message
//! is known in memory only: after a start nobody has any.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arborgate_contracts::RequestId;
use arborgate_contracts::queue::QueueSpec;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::disk::Commit;
use super::queue_file::{QueueChanges, QueueRow, StoredQueue};
use super::writer::{Command, Done, Reply, Writer, answer};
use crate::error::{BusError, StoreError};
use crate::queue::{Added, Delivery, Lease, QueueBackend};

/// A queue, shared by all who opened it and by the writer.
pub(super) struct Shared {
    spec: &'static QueueSpec,
    contents: Mutex<Contents>,
    moved: Notify,
    closed: AtomicBool,
}

struct Contents {
    /// As stored, by sequence.
    messages: BTreeMap<u64, QueueRow>,
    ids: HashMap<RequestId, u64>,
    next: u64,
    ready: BTreeSet<u64>,
    /// Until when a message is left with whom.
    taken: HashMap<u64, (Instant, u64)>,
    last_taker: u64,
}

/// What the writer is asked.
pub(super) enum Op {
    Publish {
        id: RequestId,
        payload: Bytes,
    },
    /// It is delivered for this time; false: it is there no more.
    Deliver {
        sequence: u64,
        attempt: u32,
    },
    Remove {
        sequence: u64,
    },
}

impl Shared {
    pub(super) fn new(spec: &'static QueueSpec, stored: StoredQueue) -> Self {
        let contents = Contents {
            ids: stored.rows.iter().map(|(sequence, row)| (row.id.clone(), *sequence)).collect(),
            ready: stored.rows.keys().copied().collect(),
            next: stored.next.max(stored.rows.keys().next_back().map_or(1, |last| last + 1)),
            messages: stored.rows,
            taken: HashMap::new(),
            last_taker: 0,
        };
        Self { spec, contents: Mutex::new(contents), moved: Notify::new(), closed: false.into() }
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.moved.notify_waiters();
    }

    /// Gives a message back, unless somebody else has it by now.
    fn give_back(&self, sequence: u64, taker: u64, after: Duration) {
        let mut contents = self.contents.lock();
        if let Some(taken) = contents.taken.get_mut(&sequence).filter(|taken| taken.1 == taker) {
            *taken = (Instant::now() + after, 0);
        }
        drop(contents);
        self.moved.notify_waiters();
    }
}

/// What somebody who asks for a message gets.
enum Turn {
    Take {
        sequence: u64,
        taker: u64,
        payload: Bytes,
        attempt: u32,
    },
    /// Nothing before then, if nothing is added.
    Wait(Option<Instant>),
}

impl Contents {
    fn take(&mut self, now: Instant, ack_wait: Duration) -> Turn {
        let late: Vec<u64> = self.taken.iter().filter(|(_, (until, _))| *until <= now).map(|(s, _)| *s).collect();
        for sequence in late {
            self.taken.remove(&sequence);
            self.ready.insert(sequence);
        }
        while let Some(sequence) = self.ready.pop_first() {
            let Some(row) = self.messages.get(&sequence) else { continue };
            self.last_taker += 1;
            self.taken.insert(sequence, (now + ack_wait, self.last_taker));
            let attempt = row.attempts.saturating_add(1);
            return Turn::Take { sequence, taker: self.last_taker, payload: row.payload.clone(), attempt };
        }
        Turn::Wait(self.taken.values().map(|(until, _)| *until).min())
    }

    fn remove(&mut self, sequence: u64) {
        if let Some(row) = self.messages.remove(&sequence) {
            self.ids.remove(&row.id);
        }
        self.ready.remove(&sequence);
        self.taken.remove(&sequence);
    }
}

/// What a user holds.
#[derive(Clone)]
pub(super) struct Handle {
    shared: Arc<Shared>,
    writer: Arc<Writer>,
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>, writer: Arc<Writer>) -> Self {
        Self { shared, writer }
    }

    async fn ask(&self, op: Op) -> Result<Option<Added>, StoreError> {
        let queue = Arc::clone(&self.shared);
        self.writer.ask(|reply| Command::Queue { queue, op, reply }).await
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.shared.closed.load(Ordering::SeqCst) {
            return Err(StoreError::backend("using a queue")(BusError::Closed));
        }
        Ok(())
    }
}

struct Taken {
    handle: Handle,
    sequence: u64,
    taker: u64,
}

#[async_trait]
impl Lease for Taken {
    async fn ack(&self) -> Result<(), StoreError> {
        self.handle.ask(Op::Remove { sequence: self.sequence }).await.map(drop)
    }

    async fn progress(&self) -> Result<(), StoreError> {
        let until = Instant::now() + self.handle.shared.spec.ack_wait;
        let mut contents = self.handle.shared.contents.lock();
        if let Some(taken) = contents.taken.get_mut(&self.sequence).filter(|taken| taken.1 == self.taker) {
            taken.0 = until;
        }
        Ok(())
    }

    async fn release(&self, after: Duration) -> Result<(), StoreError> {
        self.handle.shared.give_back(self.sequence, self.taker, after);
        Ok(())
    }

    fn abandon(&self) {
        self.handle.shared.give_back(self.sequence, self.taker, Duration::ZERO);
    }
}

#[async_trait]
impl QueueBackend for Handle {
    async fn publish(&self, id: &RequestId, payload: Bytes) -> Result<Added, StoreError> {
        let QueueSpec { name, max_message, .. } = *self.shared.spec;
        if payload.len() > max_message {
            return Err(StoreError::TooLarge { size: payload.len(), limit: max_message, bucket: name.to_owned() });
        }
        let added = self.ask(Op::Publish { id: id.clone(), payload }).await?;
        Ok(added.unwrap_or(Added::AlreadyThere))
    }

    async fn next(&self) -> Result<Delivery, StoreError> {
        loop {
            let mut moved = std::pin::pin!(self.shared.moved.notified());
            // Before looking: what is added after that is not missed.
            moved.as_mut().enable();
            self.check_open()?;
            let turn = self.shared.contents.lock().take(Instant::now(), self.shared.spec.ack_wait);
            match turn {
                Turn::Take { sequence, taker, payload, attempt } => {
                    // From here on it is given back when this is dropped or fails.
                    let lease = Box::new(Taken { handle: self.clone(), sequence, taker });
                    let delivery = Delivery::new(payload, attempt, self.shared.spec, lease);
                    if self.ask(Op::Deliver { sequence, attempt }).await?.is_some() {
                        return Ok(delivery);
                    }
                }
                Turn::Wait(Some(until)) => drop(tokio::time::timeout_at(until, moved).await),
                Turn::Wait(None) => moved.await,
            }
        }
    }

    async fn length(&self) -> Result<u64, StoreError> {
        self.check_open()?;
        Ok(self.shared.contents.lock().messages.len() as u64)
    }
}

/// Adds a change to the commit. Only the writer's thread changes what is stored, so that it decides by what the commit
/// holds already and by what is there.
pub(super) fn prepare(commit: &mut Commit, queue: Arc<Shared>, op: Op, reply: Reply<Option<Added>>) -> Done {
    let contents = queue.contents.lock();
    let pending = commit.queues.entry(queue.spec.name).or_insert_with(|| QueueChanges::after(contents.next));
    let there = |sequence: u64| pending.rows.get(&sequence).map_or(contents.messages.get(&sequence), Option::as_ref);
    let (sequence, row, outcome) = match op {
        Op::Publish { id, payload } => {
            if contents.ids.contains_key(&id) || pending.added.contains(&id) {
                return Box::new(move |failure| answer(reply, failure, || Ok(Some(Added::AlreadyThere))));
            }
            if contents.messages.len() + pending.added.len() >= queue.spec.max_messages {
                let full = StoreError::QueueFull { queue: queue.spec.name.to_owned() };
                return Box::new(move |failure| answer(reply, failure, || Err(full)));
            }
            let sequence = pending.next;
            pending.next += 1;
            pending.added.insert(id.clone());
            (sequence, Some(QueueRow { id, attempts: 0, payload }), Some(Added::New))
        }
        Op::Deliver { sequence, attempt } => match there(sequence) {
            Some(row) => (sequence, Some(QueueRow { attempts: attempt, ..row.clone() }), Some(Added::AlreadyThere)),
            None => return Box::new(move |failure| answer(reply, failure, || Ok(None))),
        },
        Op::Remove { sequence } if there(sequence).is_some() => (sequence, None, None),
        Op::Remove { .. } => return Box::new(move |failure| answer(reply, failure, || Ok(None))),
    };
    pending.rows.insert(sequence, row.clone());
    drop(contents);
    Box::new(move |failure| {
        if failure.is_none() {
            queue.apply(sequence, row);
        }
        answer(reply, failure, || Ok(outcome));
    })
}

impl Shared {
    fn apply(&self, sequence: u64, row: Option<QueueRow>) {
        let mut contents = self.contents.lock();
        match row {
            Some(row) => {
                if contents.ids.insert(row.id.clone(), sequence).is_none() {
                    contents.ready.insert(sequence);
                }
                contents.next = contents.next.max(sequence + 1);
                contents.messages.insert(sequence, row);
            }
            None => contents.remove(sequence),
        }
        drop(contents);
        self.moved.notify_waiters();
    }
}
