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
use super::queue;
use crate::error::{BusError, StoreError};
use crate::queue::Added;

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
    Change {
        bucket: Arc<Shared>,
        op: Op,
        reply: Reply<u64>,
    },
    CreateBucket {
        name: &'static str,
        reply: Reply<()>,
    },
    CreateStore {
        name: &'static str,
        reply: Reply<()>,
    },
    /// Points an object's name to another file, or to none. Gives the file that nothing points to any more.
    Object {
        index: Arc<Index>,
        name: String,
        row: Option<ObjectRow>,
        reply: Reply<Option<ObjectRow>>,
    },
    CreateQueue {
        name: &'static str,
        reply: Reply<()>,
    },
    Queue {
        queue: Arc<queue::Shared>,
        op: queue::Op,
        reply: Reply<Option<Added>>,
    },
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

    /// Takes no more.
    pub(super) fn refuse(&self) {
        drop(self.queue.lock().take());
    }

    /// Takes no more, finishes what was asked and closes the file.
    pub(super) fn close(&self) {
        self.refuse();
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
pub(super) type Done = Box<dyn FnOnce(Option<&str>)>;

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

pub(super) fn answer<T>(reply: Reply<T>, failure: Option<&str>, outcome: impl FnOnce() -> Result<T, StoreError>) {
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
            Self::CreateQueue { name, reply } => {
                commit.new_queues.push(name);
                Box::new(move |failure| answer(reply, failure, || Ok(())))
            }
            Self::Queue { queue, op, reply } => queue::prepare(commit, queue, op, reply),
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

#[cfg(test)]
mod tests {
    use arborgate_contracts::Key;
    use arborgate_contracts::bucket::{BucketSpec, Storage};
    use bytes::Bytes;
    use futures_util::FutureExt;

    use super::super::bucket::Clock;
    use super::super::contents::Contents;
    use super::*;

    const SPEC: BucketSpec =
        BucketSpec { name: "swept", storage: Storage::Disk, history: 1, max_age: None, max_value: 64 };
    static PLAIN: BucketSpec = SPEC;
    static AGING: BucketSpec = BucketSpec { max_age: Some(Duration::from_secs(60)), ..SPEC };

    fn bucket(spec: &'static BucketSpec, contents: Contents) -> Arc<Shared> {
        Arc::new(Shared {
            spec,
            clock: Arc::new(Clock::start()),
            contents: RwLock::new(contents),
            closed: false.into(),
            on_disk: true,
        })
    }

    fn put(name: &str) -> Op {
        Op::Write { key: Key::of(&[name]), value: Bytes::from_static(b"x"), expected: None }
    }

    fn change(worker: &Worker, bucket: &Arc<Shared>, ops: Vec<Op>) {
        let commands = ops.into_iter().map(|op| {
            let (reply, _) = oneshot::channel();
            Command::Change { bucket: Arc::clone(bucket), op, reply }
        });
        worker.change(commands);
    }

    #[test]
    fn what_is_swept_is_gone_from_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (database, _) = disk::open(folder.path()).unwrap();
        let shared = bucket(&PLAIN, Contents::default());
        let opened = Arc::new(RwLock::new(HashMap::from([(SPEC.name, Arc::clone(&shared))])));
        let worker = Worker { database: Some(database), opened };
        let names: Vec<String> = (0..10).map(|i| i.to_string()).collect();
        change(&worker, &shared, names.iter().map(|n| put(n)).collect());
        let delete = |n: &String| Op::Delete { key: Key::of(&[n]), expected: None };
        change(&worker, &shared, names.iter().take(6).map(delete).collect());
        // Of six deletions two are kept: revisions 15 and 16.
        worker.sweep(2);
        drop(worker);
        let (database, mut loaded) = disk::open(folder.path()).unwrap();
        let contents = loaded.buckets.remove(SPEC.name).unwrap();
        for contents in [&contents, &*shared.contents.read()] {
            assert_eq!((contents.revision(), contents.floor()), (16, 14));
            assert_eq!(contents.list(None, 0).len(), 4);
            assert_eq!(contents.sweep(0, 0).keys.len(), 2);
        }

        // The same bucket an hour later, as one that ages.
        let mut aged = Contents::default();
        aged.apply(Key::of(&["old"]), Record { revision: 1, written: 1, value: Some(Bytes::new()) });
        let now = Clock::start().now();
        aged.apply(Key::of(&["9"]), Record { revision: 2, written: now, value: Some(Bytes::new()) });
        let shared = bucket(&AGING, aged);
        let opened = Arc::new(RwLock::new(HashMap::from([(SPEC.name, Arc::clone(&shared))])));
        let worker = Worker { database: Some(database), opened };
        worker.sweep(TOMBSTONES);
        let left: Vec<_> = shared.contents.read().list(None, 0).into_iter().map(|e| e.key).collect();
        assert_eq!(left, [Key::of(&["9"])]);
    }

    #[test]
    fn a_full_queue_refuses_and_recovers() {
        let full = Counter::default();
        let writer = Writer::start(None, Arc::default(), full.clone()).unwrap();
        let shared = bucket(&PLAIN, Contents::default());
        let ask = || Box::pin(writer.ask(|reply| Command::Change { bucket: Arc::clone(&shared), op: put("a"), reply }));
        let held = shared.contents.write();
        let mut waiting = Vec::new();
        // The thread has taken one batch at most, and waits for the lock.
        let refused = (0..QUEUE + BATCH + 1).find_map(|_| {
            let mut asked = ask();
            match (&mut asked).now_or_never() {
                None => {
                    waiting.push(asked);
                    None
                }
                some => some,
            }
        });
        assert!(matches!(refused, Some(Err(StoreError::Full))), "{refused:?}");
        assert_eq!(full.get(), 1);
        assert!(waiting.len() >= QUEUE);
        drop(held);
        let all = waiting.len() as u64;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for asked in waiting {
                asked.await.unwrap();
            }
            assert_eq!(ask().await.unwrap(), all + 1);
        });
    }

    #[test]
    fn closing_finishes_what_was_asked() {
        let writer = Writer::start(None, Arc::default(), Counter::default()).unwrap();
        let shared = bucket(&PLAIN, Contents::default());
        let mut asked: Vec<_> = (0..100)
            .map(|_| Box::pin(writer.ask(|reply| Command::Change { bucket: Arc::clone(&shared), op: put("a"), reply })))
            .collect();
        let done: Vec<_> = asked.iter_mut().filter_map(|asked| asked.now_or_never()).collect();
        writer.close();
        assert_eq!(shared.contents.read().revision(), 100);
        assert!(done.iter().all(Result::is_ok));
        let late = writer.ask(|reply| Command::CreateBucket { name: "x", reply }).now_or_never().unwrap();
        assert!(matches!(late, Err(StoreError::Backend { .. })), "{late:?}");
    }
}
