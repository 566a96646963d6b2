//! The generation that each principal's credentials must have at least; edges watch the bucket. A standing only rises.
//!
//! The order of writes, so that a crash between two of them never leaves valid what was removed:
//!
//! - removing a principal, or changing what it signs in with: first the standing rises above every generation that the
//!   record ever had, then the record goes or changes. Between them all that is held already is refused, and asking
//!   again completes it;
//! - adding one: first the record, with a generation above the standing of an earlier one of that name, then the
//!   standing. Between them the new one is good and the earlier one is not.

use arborgate_bus::{Bucket, to_json};
use arborgate_contracts::Key;
use arborgate_contracts::auth::Standing;

use crate::clock::Clock;
use crate::error::Error;
use crate::record::lost;

/// How often a change that lost against others is tried.
pub(crate) const TRIES: usize = 64;

/// Bucket `standings`.
#[derive(Clone)]
pub(crate) struct Standings {
    bucket: Bucket,
    clock: Clock,
}

impl Standings {
    pub(crate) fn new(bucket: Bucket, clock: Clock) -> Self {
        Self { bucket, clock }
    }

    /// The bucket's newest revision; never stale.
    pub(crate) async fn revision(&self) -> Result<u64, Error> {
        Ok(self.bucket.revision().await?)
    }

    /// The least good generation; 0 when none was ever said.
    pub(crate) async fn least(&self, principal: &Key) -> Result<u64, Error> {
        Ok(self.bucket.get_json::<Standing>(principal).await?.map_or(0, |(standing, _)| standing.generation))
    }

    /// A generation for a new principal: above what one of the same name ever had.
    pub(crate) async fn next(&self, principal: &Key) -> Result<u64, Error> {
        Ok(self.above(self.least(principal).await?))
    }

    fn above(&self, generation: u64) -> u64 {
        self.clock.micros().max(generation.saturating_add(1))
    }

    /// Raises the standing above itself and above `held`: whoever holds those is revoked. Gives the new one.
    pub(crate) async fn revoke(&self, principal: &Key, held: u64) -> Result<u64, Error> {
        self.write(principal, |least| Some(self.above(least.max(held)))).await
    }

    /// Raises the standing to `generation`, if it is below.
    pub(crate) async fn say(&self, principal: &Key, generation: u64) -> Result<u64, Error> {
        self.write(principal, |least| (least < generation).then_some(generation)).await
    }

    async fn write(&self, principal: &Key, decide: impl Fn(u64) -> Option<u64>) -> Result<u64, Error> {
        for _ in 0..TRIES {
            let current = self.bucket.get_json::<Standing>(principal).await?;
            let (least, revision) = current.map_or((0, 0), |(standing, revision)| (standing.generation, revision));
            let Some(generation) = decide(least) else { return Ok(least) };
            let record = to_json(&Standing { generation })?;
            let outcome = match revision {
                0 => self.bucket.create(principal, record).await,
                revision => self.bucket.update(principal, record, revision).await,
            };
            if lost(outcome)?.is_some() {
                return Ok(generation);
            }
            tokio::task::yield_now().await;
        }
        Err(Error::Contended("a standing"))
    }
}
