//! The actor that owns this replica's signing key: makes it, publishes its public half before it signs, takes the next
//! one into use in time, and removes public keys that verify nothing any more, whoever's they are. Signing itself reads
//! a snapshot ([`crate::token::Issuer`]).

use std::sync::Arc;
use std::time::Duration;

use arborgate_actor::{Actor, Address, Next, Options, spawn};
use arborgate_bus::{Bucket, to_json};
use arborgate_contracts::Key;
use arborgate_contracts::auth::PublicKey;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::error::{Error, chain};
use crate::metrics::Metrics;
use crate::record::lost;
use crate::token::{CurrentKey, SigningKey, until};

/// Between two looks for public keys that may go, in seconds.
const SWEEP_EVERY: u64 = 300;
/// A public key goes this long after it has ended, in seconds: clocks differ.
const SWEEP_AFTER: u64 = 60;

/// What the signer is told.
pub(crate) enum Message {
    /// Look at the clock and do what is due.
    Tick(oneshot::Sender<Result<(), Error>>),
}

/// Of what a signer is made.
#[derive(Clone)]
pub(crate) struct Parts {
    /// `signing-keys`.
    pub(crate) bucket: Bucket,
    /// The snapshot that it sets.
    pub(crate) current: CurrentKey,
    /// Of a key, in seconds.
    pub(crate) life: u64,
    /// In seconds.
    pub(crate) token_life: u64,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
}

impl Parts {
    /// How long before the end of a key the next one is published, in seconds. Half of it later it signs: by then
    /// every edge has seen it.
    fn lead(&self) -> u64 {
        (self.life / 4).min(60)
    }

    /// Between two ticks.
    pub(crate) fn tick(&self) -> Duration {
        Duration::from_millis(self.lead() * 1000 / 8).max(Duration::from_secs(1))
    }
}

struct Upcoming {
    key: Arc<SigningKey>,
    /// Seconds since 1970.
    signs_from: u64,
}

struct Signer {
    parts: Parts,
    next: Option<Upcoming>,
    /// Seconds since 1970.
    sweep_at: u64,
}

/// Starts the signer.
pub(crate) fn start(parts: Parts) -> Address<Message> {
    let options = Options { capacity: 16, ..Options::default() };
    spawn(options, move || Signer { parts: parts.clone(), next: None, sweep_at: 0 })
}

impl Actor for Signer {
    type Message = Message;
    const NAME: &'static str = "signer";

    async fn handle(&mut self, message: Message) -> Next {
        let Message::Tick(done) = message;
        // Nobody waiting for the answer is no reason not to rotate.
        let _ = done.send(self.tick().await);
        Next::Continue
    }

    /// The key signs no more: its public half may go when the last token has ended.
    async fn stopped(&mut self) {
        let now = self.parts.clock.seconds();
        if let Some(key) = self.parts.current.swap(None) {
            let mut public = key.public().clone();
            let signs_until = now.min(public.signs_until);
            until(&mut public, signs_until, self.parts.token_life);
            if let Err(error) = self.write(&public).await {
                tracing::warn!(error = chain(&error), "could not shorten the time of the signing key");
            }
        }
        if let Some(next) = self.next.take()
            && let Err(error) = self.parts.bucket.delete(&Key::of(&[&next.key.public().kid]), None).await
        {
            tracing::warn!(error = chain(&error), "could not remove a signing key that was not used");
        }
    }
}

impl Signer {
    async fn tick(&mut self) -> Result<(), Error> {
        let now = self.parts.clock.seconds();
        self.rotate(now).await?;
        if now >= self.sweep_at {
            self.sweep(now).await?;
            self.sweep_at = now.saturating_add(SWEEP_EVERY);
        }
        Ok(())
    }

    async fn rotate(&mut self, now: u64) -> Result<(), Error> {
        let ends = self.parts.current.load().as_ref().map(|key| key.public().signs_until);
        let lead = self.parts.lead();
        let due = ends.is_none_or(|ends| now.saturating_add(lead) >= ends);
        if due && self.next.is_none() {
            let key = SigningKey::generate(now, self.parts.life, self.parts.token_life)?;
            self.write(key.public()).await?;
            self.next = Some(Upcoming { key: Arc::new(key), signs_from: now.saturating_add(lead / 2) });
        }
        let ended = ends.is_none_or(|ends| now >= ends);
        if let Some(next) = self.next.take_if(|next| ended || now >= next.signs_from) {
            tracing::info!(kid = next.key.public().kid, "a signing key is taken into use");
            self.parts.current.store(Some(next.key));
            self.parts.metrics.rotations.inc();
        }
        Ok(())
    }

    async fn write(&self, public: &PublicKey) -> Result<(), Error> {
        self.parts.bucket.put(&Key::of(&[&public.kid]), to_json(public)?).await?;
        Ok(())
    }

    /// Removes what has ended, and publishes the own keys again if someone removed them.
    async fn sweep(&self, now: u64) -> Result<(), Error> {
        let current = self.parts.current.load_full();
        let own: Vec<_> = current.iter().chain(self.next.as_ref().map(|next| &next.key)).collect();
        let entries = self.parts.bucket.list(None).await?;
        for key in own {
            let place = Key::of(&[&key.public().kid]);
            if !entries.iter().any(|entry| entry.key == place) {
                tracing::warn!(kid = key.public().kid, "a signing key's public half was gone and is published again");
                self.write(key.public()).await?;
            }
        }
        for entry in entries {
            match entry.json::<PublicKey>() {
                Ok(public) if public.verifies_until.saturating_add(SWEEP_AFTER) < now => {
                    lost(self.parts.bucket.delete(&entry.key, Some(entry.revision)).await)?;
                    tracing::info!(kid = public.kid, "a signing key has ended and is removed");
                }
                Ok(_) => {}
                Err(error) => tracing::error!(key = %entry.key, error = chain(&error), "a signing key can not be read"),
            }
        }
        Ok(())
    }
}
