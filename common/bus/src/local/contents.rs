//! What a bucket holds, and who watches it: plain data, no lock, no disk and no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use arborgate_contracts::Key;
use bytes::Bytes;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::error::StoreError;
use crate::store::{Change, Entry};

/// Changes buffered for a watch beyond what it begins with.
const WATCH_BUFFER: usize = 1024;
/// Deletions remembered in a bucket; the oldest are forgotten first. A watch that broke is far less behind.
pub(super) const TOMBSTONES: usize = 65_536;

/// A value, or that it was deleted.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) revision: u64,
    /// Unix time in milliseconds.
    pub(super) written: u64,
    /// `None`: deleted, a tombstone.
    pub(super) value: Option<Bytes>,
}

/// A change that is asked for.
pub(super) enum Op {
    Write { key: Key, value: Bytes, expected: Option<u64> },
    Delete { key: Key, expected: Option<u64> },
}

impl Op {
    pub(super) fn key(&self) -> &Key {
        match self {
            Self::Write { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    /// The new value when the key's current revision permits it, the inner `None` for a deletion; the outer `None` when
    /// nothing is to be done.
    pub(super) fn decide(self, current: Option<u64>) -> Result<Option<(Key, Option<Bytes>)>, StoreError> {
        let conflict = |key: &Key| Err(StoreError::Conflict { key: key.to_string() });
        match self {
            Self::Write { key, value, expected } => match expected {
                Some(revision) if revision != current.unwrap_or(0) => conflict(&key),
                _ => Ok(Some((key, Some(value)))),
            },
            Self::Delete { key, expected } => match (current, expected) {
                (None, _) => Ok(None),
                (Some(current), Some(expected)) if current != expected => conflict(&key),
                _ => Ok(Some((key, None))),
            },
        }
    }
}

struct Watcher {
    id: u64,
    prefix: Option<Key>,
    sender: Sender<Result<Change, StoreError>>,
}

impl Watcher {
    fn wants(&self, key: &Key) -> bool {
        below(self.prefix.as_ref(), key)
    }

    /// Whether it goes on. The last place in its buffer is for the error that ends it.
    fn tell(&self, change: Change) -> bool {
        if self.sender.capacity() > 1 {
            return self.sender.try_send(Ok(change)).is_ok();
        }
        let _ = self.sender.try_send(Err(StoreError::backend("watching")("the reader of this watch was too slow")));
        false
    }
}

fn below(prefix: Option<&Key>, key: &Key) -> bool {
    prefix.is_none_or(|prefix| key.starts_with(prefix))
}

/// What a sweep takes out.
#[derive(Debug, Default)]
pub(super) struct Swept {
    pub(super) keys: Vec<Key>,
    pub(super) floor: u64,
}

/// What a bucket holds.
#[derive(Default)]
pub(super) struct Contents {
    records: BTreeMap<Key, Record>,
    tombstones: BTreeMap<u64, Key>,
    revision: u64,
    floor: u64,
    watchers: Vec<Watcher>,
    next_watcher: u64,
}

impl Contents {
    /// As it was stored. A counter behind its records is taken to be at the newest.
    pub(super) fn stored(records: BTreeMap<Key, Record>, revision: u64, floor: u64) -> Self {
        let newest = records.values().map(|r| r.revision).max().unwrap_or(0);
        let tombstones =
            records.iter().filter(|(_, r)| r.value.is_none()).map(|(k, r)| (r.revision, k.clone())).collect();
        Self { records, tombstones, revision: revision.max(newest), floor, ..Self::default() }
    }

    /// The newest revision.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Up to which revision deletions may be forgotten.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// A value that was written after `oldest` (Unix milliseconds).
    pub(super) fn get(&self, key: &Key, oldest: u64) -> Option<&Record> {
        self.records.get(key).filter(|r| is_live(r, oldest))
    }

    /// Live values below a prefix, by key.
    pub(super) fn list(&self, prefix: Option<&Key>, oldest: u64) -> Vec<Entry> {
        let all = match prefix {
            Some(prefix) => self.records.range(prefix..),
            None => self.records.range::<Key, _>(..),
        };
        all.take_while(|(key, _)| prefix.is_none_or(|p| key.as_str().starts_with(p.as_str())))
            .filter(|(key, record)| below(prefix, key) && is_live(record, oldest))
            .filter_map(|(key, record)| entry(key, record))
            .collect()
    }

    /// Puts a record in place and tells the watches.
    pub(super) fn apply(&mut self, key: Key, record: Record) {
        self.revision = self.revision.max(record.revision);
        let change = match &record.value {
            Some(value) => Change::Put(Entry { key: key.clone(), value: value.clone(), revision: record.revision }),
            None => Change::Deleted { key: key.clone(), revision: record.revision },
        };
        self.watchers.retain(|watcher| !watcher.wants(&key) || watcher.tell(change.clone()));
        if record.value.is_none() {
            self.tombstones.insert(record.revision, key.clone());
        }
        if let Some(before) = self.records.insert(key, record) {
            self.tombstones.remove(&before.revision);
        }
    }

    /// Begins a watch. `after` older than [`Contents::floor`] is refused: deletions since then are forgotten, and a
    /// reader who was not told of them would keep what is gone.
    pub(super) fn watch(
        &mut self,
        prefix: Option<&Key>,
        after: Option<u64>,
        oldest: u64,
    ) -> Result<(u64, Receiver<Result<Change, StoreError>>), StoreError> {
        if let Some(after) = after.filter(|after| *after < self.floor) {
            let why = format!("deletions up to revision {} are forgotten; {after} is before", self.floor);
            return Err(StoreError::backend("watching from a revision")(why));
        }
        let mut first: Vec<Change> = self
            .records
            .iter()
            .filter(|(key, record)| below(prefix, key) && record.revision > after.unwrap_or(0))
            .filter_map(|(key, record)| match &record.value {
                Some(_) if is_live(record, oldest) => entry(key, record).map(Change::Put),
                None if after.is_some() => Some(Change::Deleted { key: key.clone(), revision: record.revision }),
                _ => None,
            })
            .collect();
        first.sort_unstable_by_key(|change| match change {
            Change::Put(entry) => entry.revision,
            Change::Deleted { revision, .. } | Change::Current { revision } => *revision,
        });
        first.push(Change::Current { revision: self.revision });
        let (sender, receiver) = mpsc::channel(first.len() + WATCH_BUFFER + 1);
        for change in first {
            // There is room for each.
            let _ = sender.try_send(Ok(change));
        }
        let id = self.next_watcher;
        self.next_watcher += 1;
        self.watchers.push(Watcher { id, prefix: prefix.cloned(), sender });
        Ok((id, receiver))
    }

    pub(super) fn unwatch(&mut self, id: u64) {
        self.watchers.retain(|watcher| watcher.id != id);
    }

    pub(super) fn end_watches(&mut self) {
        self.watchers.clear();
    }

    /// What is too old, and deletions beyond `keep` of them. Deletions that are too old do not raise the floor: what
    /// they deleted would be too old as well.
    pub(super) fn sweep(&self, oldest: u64, keep: usize) -> Swept {
        let aged = self.records.iter().filter(|(_, r)| r.written <= oldest).map(|(k, _)| k.clone());
        let excess = self.tombstones.len().saturating_sub(keep);
        let forgotten = self.tombstones.iter().take(excess);
        let floor = forgotten.clone().next_back().map_or(self.floor, |(revision, _)| *revision);
        Swept { keys: aged.chain(forgotten.map(|(_, k)| k.clone())).collect(), floor }
    }

    pub(super) fn remove(&mut self, swept: Swept) {
        self.floor = swept.floor;
        for key in swept.keys {
            if let Some(record) = self.records.remove(&key) {
                self.tombstones.remove(&record.revision);
            }
        }
    }
}

fn is_live(record: &Record, oldest: u64) -> bool {
    record.value.is_some() && record.written > oldest
}

fn entry(key: &Key, record: &Record) -> Option<Entry> {
    let value = record.value.clone()?;
    Some(Entry { key: key.clone(), value, revision: record.revision })
}

/// Unix milliseconds at or before which what was written is too old at `now`; 0 when nothing ages.
pub(super) fn oldest(now: u64, max_age: Option<Duration>) -> u64 {
    let age = max_age.map_or(u64::MAX, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    now.saturating_sub(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(i: usize) -> Key {
        Key::of(&[&i.to_string()])
    }

    fn record(revision: u64, value: Option<&'static str>) -> Record {
        Record { revision, written: 1000 + revision, value: value.map(|v| Bytes::from_static(v.as_bytes())) }
    }

    #[test]
    fn a_reader_that_is_too_slow_is_told_and_hinders_nobody() {
        let mut contents = Contents::default();
        let (_, mut slow) = contents.watch(None, None, 0).unwrap();
        let (_, mut elsewhere) = contents.watch(Some(&Key::of(&["other"])), None, 0).unwrap();
        for i in 0..2 * WATCH_BUFFER {
            contents.apply(key(i), record(i as u64 + 1, Some("x")));
        }
        assert_eq!(contents.watchers.len(), 1);
        let mut last = 0;
        loop {
            match slow.try_recv().unwrap() {
                Ok(Change::Put(entry)) => {
                    assert_eq!(entry.revision, last + 1);
                    last = entry.revision;
                }
                Ok(Change::Current { revision }) => assert_eq!(revision, 0),
                Ok(other) => panic!("{other:?}"),
                Err(error) => break assert!(error.to_string().contains("watching"), "{error}"),
            }
        }
        assert!(last >= WATCH_BUFFER as u64, "{last}");
        assert!(slow.try_recv().is_err_and(|e| e == mpsc::error::TryRecvError::Disconnected));
        // Begun again from there, nothing is missing.
        let (_, mut again) = contents.watch(None, Some(last), 0).unwrap();
        let rest = std::iter::from_fn(|| again.try_recv().ok()).filter(|c| matches!(c, Ok(Change::Put(_)))).count();
        assert_eq!(rest as u64 + last, 2 * WATCH_BUFFER as u64);
        assert!(matches!(elsewhere.try_recv(), Ok(Ok(Change::Current { revision: 0 }))));
        assert!(elsewhere.try_recv().is_err());
    }

    #[test]
    fn from_before_forgotten_deletions_no_watch_begins() {
        let mut contents = Contents::default();
        for i in 0..5 {
            contents.apply(key(i), record(2 * i as u64 + 1, Some("x")));
            contents.apply(key(i), record(2 * i as u64 + 2, None));
        }
        let swept = contents.sweep(0, 2);
        assert_eq!((swept.keys.len(), swept.floor), (3, 6));
        contents.remove(swept);
        for after in [0, 1, 5] {
            let error = contents.watch(None, Some(after), 0).map(drop).unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains("up to revision 6 are forgotten"), "{cause}");
        }
        let (_, mut watch) = contents.watch(None, Some(6), 0).unwrap();
        for (i, revision) in [(3, 8), (4, 10)] {
            assert_eq!(watch.try_recv().unwrap().unwrap(), Change::Deleted { key: key(i), revision });
        }
        assert!(contents.watch(None, None, 0).is_ok());
    }

    #[test]
    fn age_takes_out_values_and_deletions_and_forgets_nothing_that_lives() {
        let mut contents = Contents::default();
        contents.apply(key(1), record(1, Some("old")));
        contents.apply(key(2), record(2, Some("deleted")));
        contents.apply(key(2), record(3, None));
        contents.apply(key(4), record(4, Some("new")));
        let oldest = 1003;
        assert!(contents.get(&key(1), oldest).is_none());
        assert!(contents.get(&key(1), 1000).is_some());
        let (_, mut watch) = contents.watch(None, None, oldest).unwrap();
        assert!(matches!(watch.try_recv().unwrap().unwrap(), Change::Put(e) if e.revision == 4));
        let swept = contents.sweep(oldest, TOMBSTONES);
        assert_eq!(swept.keys, [key(1), key(2)]);
        contents.remove(swept);
        assert_eq!((contents.records.len(), contents.tombstones.len(), contents.floor()), (1, 0, 0));
        assert_eq!(contents.revision(), 4);
    }

    #[test]
    fn a_counter_that_was_left_behind_is_taken_from_the_records() {
        let records = BTreeMap::from([(key(1), record(7, Some("x"))), (key(2), record(9, None))]);
        let contents = Contents::stored(records, 3, 0);
        assert_eq!(contents.revision(), 9);
        assert_eq!(contents.sweep(0, 0).keys, [key(2)]);
    }

    #[test]
    fn what_ages_is_younger_than_its_age() {
        assert_eq!(oldest(5000, None), 0);
        assert_eq!(oldest(5000, Some(Duration::from_secs(2))), 3000);
        assert_eq!(oldest(5000, Some(Duration::MAX)), 0);
    }
}
