//! Publish and subscribe: a bounded buffer a subscriber; what does not fit is dropped and counted.

use std::collections::HashMap;
use std::sync::Arc;

use arborgate_contracts::Subject;
use bytes::Bytes;
use parking_lot::RwLock;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Sender};

use crate::error::BusError;
use crate::transport::Subscription;

#[derive(Default)]
struct Table {
    topics: HashMap<Subject, Vec<(u64, Sender<Bytes>)>>,
    next: u64,
    closed: bool,
}

pub(super) struct Topics {
    table: RwLock<Table>,
    dropped: Counter,
}

impl Topics {
    pub(super) fn new(dropped: Counter) -> Self {
        Self { table: RwLock::default(), dropped }
    }

    pub(super) fn publish(&self, subject: &Subject, payload: &Bytes) -> Result<(), BusError> {
        let table = self.table.read();
        if table.closed {
            return Err(BusError::Closed);
        }
        for (_, subscriber) in table.topics.get(subject).into_iter().flatten() {
            if let Err(TrySendError::Full(_)) = subscriber.try_send(payload.clone()) {
                self.dropped.inc();
                tracing::debug!(%subject, "a slow subscriber missed a message");
            }
        }
        Ok(())
    }

    pub(super) fn subscribe(self: &Arc<Self>, subject: &Subject, capacity: usize) -> Result<Subscription, BusError> {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        let mut table = self.table.write();
        if table.closed {
            return Err(BusError::Closed);
        }
        let id = table.next;
        table.next += 1;
        table.topics.entry(subject.clone()).or_default().push((id, sender));
        drop(table);
        let guard = Guard { topics: Arc::clone(self), subject: subject.clone(), id };
        Ok(Subscription::new(receiver, Box::new(guard)))
    }

    /// Subscribers read what is buffered, then the end.
    pub(super) fn close(&self) {
        let mut table = self.table.write();
        table.closed = true;
        table.topics.clear();
    }
}

struct Guard {
    topics: Arc<Topics>,
    subject: Subject,
    id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut table = self.topics.table.write();
        if let Some(subscribers) = table.topics.get_mut(&self.subject) {
            subscribers.retain(|(id, _)| *id != self.id);
            if subscribers.is_empty() {
                table.topics.remove(&self.subject);
            }
        }
    }
}
