//! What was revoked, from the watched bucket, and the lease on being current: the auth service names a revision, and
//! once it is applied the edge may trust its memory until a stated time after it *sent* the question. So a revoked
//! credential is refused within that time also by an edge that was stopped, cut off, or whose watch is stuck.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arborgate_bus::{Bus, Change, Client, Follower, Meta, StoreError, follow};
use arborgate_contracts::Key;
use arborgate_contracts::auth::{Lease, Leased, Standing};
use arborgate_contracts::bucket::STANDINGS;
use tokio::task::JoinHandle;

/// Between two questions for a lease.
const EVERY: Duration = Duration::from_secs(1);
/// Between two looks whether a revision was applied.
const LOOK: Duration = Duration::from_millis(5);

type Generations = Arc<parking_lot::RwLock<HashMap<Key, u64>>>;

/// The standings, and whether they may be trusted.
pub(super) struct Standings {
    generations: Generations,
    /// Milliseconds after `born` until which the lease holds.
    lease: Arc<AtomicU64>,
    born: Instant,
    renewal: JoinHandle<()>,
}

impl Drop for Standings {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

impl Standings {
    /// Follows the bucket and keeps asking for leases.
    pub(super) async fn start(bus: &Bus, auth: Client) -> Result<Arc<Self>, StoreError> {
        let bucket = bus.bucket(&STANDINGS).await?;
        let generations = Generations::default();
        let written = Arc::clone(&generations);
        let follower = follow(bucket, move |change| {
            if let Change::Put(entry) = change {
                match entry.json::<Standing>() {
                    Ok(standing) => drop(written.write().insert(entry.key, standing.generation)),
                    Err(error) => tracing::error!(key = %entry.key, %error, "a standing can not be read"),
                }
            }
        })
        .await?;
        let (lease, born) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let renewal = tokio::spawn(renew(auth, follower, Arc::clone(&lease), born));
        Ok(Arc::new(Self { generations, lease, born, renewal }))
    }

    /// Whether what is remembered may be trusted.
    pub(super) fn leased(&self) -> bool {
        elapsed_ms(self.born) < self.lease.load(Ordering::Acquire)
    }

    /// Whether a principal's credential of `generation` was revoked, as far as this edge knows.
    pub(super) fn revoked(&self, principal: &Key, generation: u64) -> bool {
        self.generations.read().get(principal).is_some_and(|least| generation < *least)
    }
}

fn elapsed_ms(born: Instant) -> u64 {
    u64::try_from(born.elapsed().as_millis()).unwrap_or(u64::MAX)
}

async fn renew(auth: Client, follower: Follower, lease: Arc<AtomicU64>, born: Instant) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let sent = elapsed_ms(born);
        let Leased { revision, valid_ms } = match auth.call(&Lease {}, None, Meta::within(EVERY)).await {
            Ok(leased) => leased,
            Err(error) => {
                tracing::debug!(%error, "no lease on being current");
                continue;
            }
        };
        let until = sent.saturating_add(valid_ms);
        while follower.applied() < revision && elapsed_ms(born) < until {
            tokio::time::sleep(LOOK).await;
        }
        if follower.applied() >= revision {
            lease.fetch_max(until, Ordering::AcqRel);
        }
    }
}
