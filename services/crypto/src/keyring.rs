//! The keyring as this replica knows it: a snapshot that requests read, kept current from the bucket. What changes the
//! bucket is in [`crate::keeper`].

use std::collections::BTreeMap;
use std::sync::Arc;

use arborgate_bus::{Change, Entry};
use arborgate_contracts::Key;
use arborgate_runtime::master_key::MasterKey;
use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::error::Error;
use crate::metrics::Metrics;
use crate::ring::{Ring, RingKey, entry_key};

/// Shared by whoever reads it and whoever keeps it current.
pub(crate) struct Keyring {
    master: Arc<MasterKey>,
    metrics: Metrics,
    held: Mutex<Held>,
    ring: ArcSwap<Ring>,
}

#[derive(Default)]
struct Held {
    /// With the revision of each.
    keys: BTreeMap<u32, (u64, Arc<RingKey>)>,
    /// Entries that can not be used, and why.
    unreadable: BTreeMap<Key, Error>,
    /// The watch has shown every change up to this revision.
    watched: u64,
}

/// Who saw an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The watch, which shows changes in their order.
    Watch,
    /// Somebody who read or wrote the bucket beside the watch. What the watch has passed is old news by now: the entry
    /// may have been deleted since.
    Beside,
}

impl Keyring {
    pub(crate) fn new(master: Arc<MasterKey>, metrics: Metrics) -> Self {
        Self { master, metrics, held: Mutex::default(), ring: ArcSwap::default() }
    }

    /// The keys of this moment.
    pub(crate) fn load(&self) -> Arc<Ring> {
        self.ring.load_full()
    }

    pub(crate) fn master(&self) -> &MasterKey {
        &self.master
    }

    /// The highest version that can be used, and how many entries there are, the unreadable ones included.
    pub(crate) fn extent(&self) -> (u32, usize) {
        let held = self.held.lock();
        let highest = held.keys.last_key_value().map_or(0, |(version, _)| *version);
        (highest, held.keys.len() + held.unreadable.len())
    }

    /// Up to which revision the watch has shown every change.
    pub(crate) fn watched(&self) -> u64 {
        self.held.lock().watched
    }

    /// What the watch shows.
    pub(crate) fn apply(&self, change: Change) {
        match change {
            Change::Put(entry) => self.put(&entry, Source::Watch),
            Change::Deleted { key, revision } => {
                let mut held = self.held.lock();
                held.watched = held.watched.max(revision);
                held.unreadable.remove(&key);
                let before = held.keys.len();
                held.keys.retain(|version, (at, _)| *at > revision || entry_key(*version) != key);
                if held.keys.len() < before {
                    tracing::warn!(entry = %key, "an encryption key was deleted; its tokens can not be read any more");
                }
                self.publish(&held);
            }
            Change::Current { revision } => {
                let mut held = self.held.lock();
                held.watched = held.watched.max(revision);
            }
        }
    }

    /// Takes an entry in, when it is news.
    pub(crate) fn put(&self, entry: &Entry, source: Source) {
        let mut held = self.held.lock();
        if source == Source::Watch {
            held.watched = held.watched.max(entry.revision);
        } else if entry.revision <= held.watched {
            return;
        }
        match RingKey::open(entry, &self.master) {
            Ok(key) => {
                held.unreadable.remove(&entry.key);
                if held.keys.get(&key.version).is_none_or(|(revision, _)| *revision < entry.revision) {
                    held.keys.insert(key.version, (entry.revision, Arc::new(key)));
                }
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "an encryption key can not be used");
                held.unreadable.insert(entry.key.clone(), error);
            }
        }
        self.publish(&held);
    }

    /// Under the lock, so that an older ring never replaces a newer one.
    fn publish(&self, held: &Held) {
        self.ring.store(Arc::new(Ring::of(held.keys.values().map(|(_, key)| key))));
        self.metrics.keys.set(i64::try_from(held.keys.len()).unwrap_or(i64::MAX));
        self.metrics.unreadable.set(i64::try_from(held.unreadable.len()).unwrap_or(i64::MAX));
    }

    /// Whether the service can start by what the watch showed at first.
    pub(crate) fn verify(&self) -> Result<(), Error> {
        let mut held = self.held.lock();
        if let Some((_, error)) = held.unreadable.pop_first() {
            return Err(error);
        }
        if held.keys.is_empty() { Err(Error::Empty) } else { Ok(()) }
    }
}

/// An error and its causes in one line, for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fernet::Token;

    fn keyring() -> Keyring {
        Keyring::new(Arc::new(MasterKey::generate().unwrap()), Metrics::default())
    }

    fn entry(keyring: &Keyring, version: u32, revision: u64) -> (Entry, Arc<RingKey>) {
        let key = RingKey::generate(version).unwrap();
        let value = key.seal(keyring.master()).unwrap();
        (Entry { key: entry_key(version), value, revision }, Arc::new(key))
    }

    fn versions(keyring: &Keyring) -> Vec<u32> {
        keyring.load().export().iter().map(|key| key.version).collect()
    }

    #[test]
    fn the_newest_encrypts_and_every_one_decrypts() {
        let keyring = keyring();
        let (one, key_one) = entry(&keyring, 9, 1);
        let (two, key_two) = entry(&keyring, 10, 2);
        assert!(keyring.load().newest().is_none());
        keyring.apply(Change::Put(two));
        keyring.apply(Change::Put(one));
        assert_eq!(versions(&keyring), [10, 9]);
        assert_eq!(keyring.extent(), (10, 2));
        let token = Token::decode(keyring.load().newest().unwrap().encrypt(b"new").unwrap()).unwrap();
        assert_eq!(*key_two.fernet.decrypt(&token).unwrap(), b"new");
        let token = Token::decode(key_one.fernet.encrypt(b"old").unwrap()).unwrap();
        assert_eq!(*keyring.load().decrypt(&token).unwrap(), b"old");
        keyring.verify().unwrap();
    }

    #[test]
    fn what_was_deleted_does_not_come_back() {
        let keyring = keyring();
        let (one, _) = entry(&keyring, 1, 1);
        let (two, _) = entry(&keyring, 2, 2);
        keyring.apply(Change::Put(one));
        keyring.put(&two, Source::Beside);
        assert_eq!(versions(&keyring), [2, 1]);
        assert_eq!(keyring.watched(), 1);
        keyring.apply(Change::Put(two.clone()));
        keyring.apply(Change::Deleted { key: two.key.clone(), revision: 3 });
        assert_eq!(versions(&keyring), [1]);
        keyring.put(&two, Source::Beside);
        assert_eq!(versions(&keyring), [1], "a stale reading brought it back");
        let (again, _) = entry(&keyring, 2, 4);
        keyring.put(&again, Source::Beside);
        keyring.apply(Change::Deleted { key: two.key, revision: 3 });
        assert_eq!(versions(&keyring), [2, 1], "an older deletion removed it");
    }

    #[test]
    fn a_ring_that_can_not_be_used_says_why() {
        let ring = keyring();
        assert!(matches!(ring.verify(), Err(Error::Empty)));
        let foreign = entry(&keyring(), 1, 1).0;
        ring.apply(Change::Put(foreign));
        assert!(matches!(ring.verify(), Err(Error::Unwrap { version: 1, .. })));

        let ring = keyring();
        let (good, _) = entry(&ring, 1, 1);
        let moved = Entry { key: entry_key(2), ..good.clone() };
        let text = String::from_utf8(good.value.to_vec()).unwrap();
        let with = |from: &str, to: &str| Entry { value: text.replace(from, to).into(), ..good.clone() };
        let renumbered = Entry { value: text.replace("\"version\":1", "\"version\":2").into(), ..moved.clone() };
        for (bad, reason) in [
            (moved, "entry 0000000002 of the keyring can not be read: it says that it is version 1"),
            (renumbered, "encryption key 2 can not be unwrapped"),
            (with("\"format\":1", "\"format\":2"), "encryption key 1 is of format 2"),
            (with("\"wrapped\":\"", "\"wrapped\":\"!"), "it is not base64"),
            (with("created_at", "created"), "it is no record of a key: missing field `created_at`"),
            (Entry { value: "{".into(), ..good.clone() }, "it is no record of a key"),
            (Entry { key: Key::of(&["1"]), ..good.clone() }, "entry 1 of the keyring can not be read: its key is no"),
        ] {
            ring.apply(Change::Put(bad.clone()));
            let error = ring.verify().unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
        ring.apply(Change::Put(good));
        ring.verify().unwrap();
    }

    #[test]
    fn a_bad_entry_leaves_the_good_ones_in_use() {
        let keyring = keyring();
        let (good, _) = entry(&keyring, 1, 1);
        keyring.apply(Change::Put(good));
        keyring.apply(Change::Put(Entry { key: entry_key(2), value: "{}".into(), revision: 2 }));
        assert_eq!(versions(&keyring), [1]);
        assert_eq!(keyring.extent(), (1, 2));
        assert_eq!((keyring.metrics.keys.get(), keyring.metrics.unreadable.get()), (1, 1));
        keyring.apply(Change::Deleted { key: entry_key(2), revision: 3 });
        assert_eq!((keyring.extent(), keyring.metrics.unreadable.get()), ((1, 1), 0));
    }
}
