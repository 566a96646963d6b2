//! The one thread that changes the file: it gathers what waits into one commit, and only then changes what readers see
//! and answers. It also takes out of every bucket what is too old.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use prometheus_client::metrics::counter::Counter;
use redb::Database;
use tokio::sync::oneshot;

use super::bucket::Shared;
use super::contents::{Op, Record, TOMBSTONES};
use super::disk::{self, BucketChanges, Commit, ObjectRow};
use super::objects::Index;
use crate::error::{BusError, StoreError};

/// Changes that wait for the thread, at most.
const QUEUE: usize = 4096;
/// Changes in one commit, at most.
const BATCH: usize = 1024;
/// Between sweeps.
const SWEEP: Duration = Duration::from_secs(10);

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the thread is asked to do.
pub(super) enum Command {
    /// Gives the new revision.
    Change { bucket: Arc<Shared>, op: Op, reply: Reply<u64> },
    CreateBucket { name: &'static str, reply: Reply<()> },
    CreateStore { name: &'static str, reply: Reply<()> },
    /// Points an object's name to another file, or to none. Gives the file that nothing points to any more.
    Object { index: Arc<Index>, name: String, row: Option<ObjectRow>, reply: Reply<Option<ObjectRow>> },
}

/// Buckets in use, by name.
pub(super) type Opened = RwLock<HashMap<&'static str, Arc<Shared>>>;

/// The thread, for those who ask it. Dropped or closed, it finishes what it was asked.
pub(super) struct Writer {
    queue: Mutex<Option<SyncSender<Command>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    full: Counter,
}

impl Writer {
    /// Without a file it only sweeps.
    pub(super) fn start(database: Option<Database>, opened: Arc<Opened>, full: Counter) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let worker = Worker { database, opened };
        let thread =
            std::thread::Builder::new().name("arborgate-state".to_owned()).spawn(move || worker.run(&receiver))?;
        Ok(Self { queue: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), full })
    }

    /// Waits for the outcome. What was asked may be done though the asker has gone.
    pub(super) async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, StoreError> {
        let failed = StoreError::backend::<BusError>("writing state");
        let (reply, outcome) = oneshot::channel();
        let sent = match &*self.queue.lock() {
            Some(queue) => queue.try_send(command(reply)),
            None => return Err(failed(BusError::Closed)),
        };
        match sent {
            Ok(()) => outcome.await.unwrap_or_else(|_| {
                Err(StoreError::backend("writing state")("the thread that writes has stopped; its error is in the log"))
            }),
            Err(TrySendError::Full(_)) => {
                self.full.inc();
                Err(StoreError::Full)
            }
            Err(TrySendError::Disconnected(_)) => Err(failed(BusError::Closed)),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.queue.lock().is_none()
    }

    /// Finishes what was asked and closes the file.
    pub(super) fn close(&self) {
        drop(self.queue.lock().take());
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the state had panicked");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// What is done when the commit is; with the reason when it failed.
type Done = Box<dyn FnOnce(Option<&str>)>;

struct Worker {
    database: Option<Database>,
    opened: Arc<Opened>,
}

impl Worker {
    fn run(&self, commands: &Receiver<Command>) {
        let mut swept = Instant::now();
        loop {
            match commands.recv_timeout(SWEEP.saturating_sub(swept.elapsed())) {
                Ok(first) => {
                    let batch = std::iter::once(first).chain(commands.try_iter().take(BATCH - 1));
                    self.change(batch);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if swept.elapsed() >= SWEEP {
                self.sweep(TOMBSTONES);
                swept = Instant::now();
            }
        }
    }

    fn change(&self, batch: impl Iterator<Item = Command>) {
        let mut commit = Commit::default();
        let done: Vec<Done> = batch.map(|command| command.prepare(&mut commit)).collect();
        let failure = self.commit(&commit);
        for done in done {
            done(failure.as_deref());
        }
    }

    fn commit(&self, commit: &Commit) -> Option<String> {
        let database = self.database.as_ref()?;
        let error = disk::commit(database, commit).err()?.to_string();
        tracing::error!(%error, "the state could not be written");
        Some(error)
    }

    fn sweep(&self, keep: usize) {
        let buckets: Vec<_> = self.opened.read().values().cloned().collect();
        for bucket in buckets {
            let swept = bucket.contents.read().sweep(bucket.oldest(), keep);
            if swept.keys.is_empty() {
                continue;
            }
            if !bucket.on_disk {
                // Changed meanwhile, perhaps: what was found is found again under the lock.
                let mut contents = bucket.contents.write();
                let swept = contents.sweep(bucket.oldest(), keep);
                contents.remove(swept);
                continue;
            }
            let changes = BucketChanges {
                revision: bucket.contents.read().revision(),
                floor: swept.floor,
                rows: swept.keys.iter().map(|key| (key.clone(), None)).collect(),
            };
            let commit = Commit { buckets: HashMap::from([(bucket.spec.name, changes)]), ..Commit::default() };
            if self.commit(&commit).is_none() {
                bucket.contents.write().remove(swept);
            }
        }
    }
}

fn answer<T>(reply: Reply<T>, failure: Option<&str>, outcome: impl FnOnce() -> Result<T, StoreError>) {
    let outcome = match failure {
        None => outcome(),
        Some(why) => Err(StoreError::backend("writing state")(why)),
    };
    // The asker may have gone.
    let _ = reply.send(outcome);
}

impl Command {
    /// Adds its change to the commit.
    fn prepare(self, commit: &mut Commit) -> Done {
        match self {
            Self::Change { bucket, op, reply } => prepare_change(commit, bucket, op, reply),
            Self::CreateBucket { name, reply } => {
                commit.new_buckets.push(name);
                Box::new(move |failure| answer(reply, failure, || Ok(())))
            }
            Self::CreateStore { name, reply } => {
                commit.new_stores.push(name);
                Box::new(move |failure| answer(reply, failure, || Ok(())))
            }
            Self::Object { index, name, row, reply } => {
                commit.objects.entry(index.store).or_default().insert(name.clone(), row.clone());
                Box::new(move |failure| answer(reply, failure, || Ok(index.replace(name, row))))
            }
        }
    }
}

/// Decides by what the commit holds already, else by what readers see: only this thread changes either.
fn prepare_change(commit: &mut Commit, bucket: Arc<Shared>, op: Op, reply: Reply<u64>) -> Done {
    let contents = bucket.contents.read();
    let oldest = bucket.oldest();
    let pending = commit.buckets.get(bucket.spec.name);
    let current = match pending.and_then(|changes| changes.rows.get(op.key())) {
        Some(record) => record.as_ref().filter(|r| r.value.is_some()).map(|r| r.revision),
        None => contents.get(op.key(), oldest).map(|r| r.revision),
    };
    let newest = pending.map_or(contents.revision(), |changes| changes.revision);
    let (key, value) = match op.decide(current) {
        Ok(Some(change)) => change,
        Ok(None) => return Box::new(move |failure| answer(reply, failure, || Ok(newest))),
        Err(conflict) => return Box::new(move |failure| answer(reply, failure, || Err(conflict))),
    };
    let revision = newest + 1;
    let record = Record { revision, written: bucket.clock.now(), value };
    let changes = match commit.buckets.entry(bucket.spec.name) {
        Entry::Occupied(changes) => changes.into_mut(),
        Entry::Vacant(none) => none.insert(BucketChanges { revision, floor: contents.floor(), rows: HashMap::new() }),
    };
    changes.revision = revision;
    changes.rows.insert(key.clone(), Some(record.clone()));
    drop(contents);
    Box::new(move |failure| {
        if failure.is_none() {
            bucket.contents.write().apply(key, record);
        }
        answer(reply, failure, || Ok(revision));
    })
}
