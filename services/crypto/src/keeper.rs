//! The actor that changes the keyring, and reads it again when a token seems to be by a key that the watch has not shown
//! yet. Encrypting and decrypting never pass through it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arborgate_actor::{Actor, Next};
use arborgate_bus::{Bucket, Bus, Entry, StoreError};
use arborgate_contracts::Deadline;
use arborgate_contracts::bucket::KEYRING;
use arborgate_contracts::crypto::KeyVersion;
use arborgate_runtime::master_key::MasterKey;
use tokio::sync::oneshot;

use crate::error::Error;
use crate::keyring::{Keyring, Source, chain};
use crate::metrics::Metrics;
use crate::ring::{MAX_KEYS, RingKey, entry_key};

/// Between two readings of the bucket: texts that are no tokens must not become a load on the state.
const CATCH_UP_EVERY: Duration = Duration::from_millis(50);
/// For one reading, so that a slow state does not hold up a rotation for long.
const CATCH_UP_WITHIN: Duration = Duration::from_millis(500);
/// Before a reading that was stale is made again.
const STALE_PAUSE: Duration = Duration::from_millis(10);

pub(crate) enum Message {
    /// Make a new key the newest.
    Rotate { deadline: Deadline, answer: oneshot::Sender<Result<KeyVersion, Error>> },
    /// Know every key that was in the bucket when this was asked. The answer: whether they are known now.
    CatchUp { asked: Instant, answer: oneshot::Sender<bool> },
}

pub(crate) struct Keeper {
    bucket: Bucket,
    keyring: Arc<Keyring>,
    metrics: Metrics,
    /// When the last reading began.
    tried: Option<Instant>,
    /// When the last reading that succeeded began.
    succeeded: Option<Instant>,
}

impl Actor for Keeper {
    type Message = Message;
    const NAME: &'static str = "keyring-keeper";

    /// Who asked may be gone before, which saves the work, or after, when there is nobody to tell.
    async fn handle(&mut self, message: Message) -> Next {
        match message {
            Message::Rotate { deadline, answer } if !answer.is_closed() => {
                if let Ok(rotated) = tokio::time::timeout_at(deadline.instant().into(), self.rotate()).await {
                    let _ = answer.send(rotated);
                }
            }
            Message::CatchUp { asked, answer } if !answer.is_closed() => {
                let known = self.catch_up(asked).await;
                let _ = answer.send(known);
            }
            Message::Rotate { .. } | Message::CatchUp { .. } => {}
        }
        Next::Continue
    }
}

impl Keeper {
    pub(crate) fn new(bucket: Bucket, keyring: Arc<Keyring>, metrics: Metrics) -> Self {
        Self { bucket, keyring, metrics, tried: None, succeeded: None }
    }

    /// Creates the next version that nobody has created: replicas that rotate at once take consecutive ones.
    async fn rotate(&self) -> Result<KeyVersion, Error> {
        let mut version = 0_u32;
        loop {
            let (highest, count) = self.keyring.extent();
            version = version.max(highest).checked_add(1).filter(|_| count < MAX_KEYS).ok_or(Error::Full(count))?;
            let key = RingKey::generate(version)?;
            let value = key.seal(self.keyring.master())?;
            match self.bucket.create(&entry_key(version), value.clone()).await {
                Ok(revision) => {
                    self.keyring.put(&Entry { key: entry_key(version), value, revision }, Source::Beside);
                    tracing::info!(version, "a new encryption key is the newest");
                    return Ok(key.describe());
                }
                Err(StoreError::Conflict { .. }) => drop(self.read().await?),
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn catch_up(&mut self, asked: Instant) -> bool {
        if self.succeeded.is_some_and(|began| began >= asked) {
            return true;
        }
        if let Some(began) = self.tried {
            tokio::time::sleep_until((began + CATCH_UP_EVERY).into()).await;
        }
        let began = Instant::now();
        self.tried = Some(began);
        match tokio::time::timeout(CATCH_UP_WITHIN, self.read_news()).await {
            Ok(Ok(())) => {
                self.succeeded = Some(began);
                return true;
            }
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "the keyring can not be read"),
            Err(_) => tracing::warn!(within = ?CATCH_UP_WITHIN, "the keyring was not read in time"),
        }
        false
    }

    /// Readings may be stale, the bucket's revision is not.
    async fn read_news(&self) -> Result<(), Error> {
        let newest = self.bucket.revision().await?;
        while self.keyring.watched() < newest {
            self.metrics.catch_ups.inc();
            if self.read().await? >= newest {
                break;
            }
            tokio::time::sleep(STALE_PAUSE).await;
        }
        Ok(())
    }

    /// Gives the newest revision among the entries.
    async fn read(&self) -> Result<u64, Error> {
        let entries = self.bucket.list(None).await?;
        for entry in &entries {
            self.keyring.put(entry, Source::Beside);
        }
        Ok(entries.iter().map(|entry| entry.revision).max().unwrap_or(0))
    }
}

/// Makes the first key when there is none, and the bucket when that is not there either; changes nothing otherwise. For
/// the first start. Gives whether a key was made.
///
/// # Errors
/// A state that can not be read or written, a key that can not be made.
pub async fn seed(bus: &Bus, master: &MasterKey) -> Result<bool, Error> {
    let bucket = bus.create_bucket(&KEYRING).await?;
    if !bucket.list(None).await?.is_empty() {
        return Ok(false);
    }
    let key = RingKey::generate(1)?;
    match bucket.create(&entry_key(1), key.seal(master)?).await {
        Ok(_) => Ok(true),
        Err(StoreError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
