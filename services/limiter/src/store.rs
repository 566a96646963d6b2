//! Where logs are kept: the bucket, opened anew when its server lost it. Logs live in memory; when that is lost, every
//! limit starts empty.

use arborgate_bus::{Bucket, Bus, Entry, StoreError};
use arborgate_contracts::Key;
use arborgate_contracts::bucket::LIMITS;
use tokio::sync::RwLock;

use crate::metrics::Metrics;

pub(crate) struct Store {
    bus: Bus,
    metrics: Metrics,
    bucket: RwLock<(Bucket, u64)>,
}

impl Store {
    /// Opens the bucket, or makes it: nothing is lost by that, for what lives in memory is new with every first start.
    pub(crate) async fn open(bus: Bus, metrics: Metrics) -> Result<Self, StoreError> {
        let bucket = match bus.bucket(&LIMITS).await {
            Err(StoreError::NoBucket { .. }) => bus.create_bucket(&LIMITS).await?,
            opened => opened?,
        };
        Ok(Self { bus, metrics, bucket: RwLock::new((bucket, 0)) })
    }

    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let (bucket, generation) = self.current().await;
        match bucket.get(key).await {
            Err(StoreError::NoBucket { .. }) => self.make_anew(generation).await?.get(key).await,
            outcome => outcome,
        }
    }

    /// Writes when the key's revision is `revision`; 0: when it is not there.
    pub(crate) async fn write(&self, key: &Key, value: Vec<u8>, revision: u64) -> Result<u64, StoreError> {
        let (bucket, generation) = self.current().await;
        let outcome = match revision {
            0 => bucket.create(key, value.into()).await,
            _ => bucket.update(key, value.into(), revision).await,
        };
        if let Err(StoreError::NoBucket { .. }) = outcome {
            self.make_anew(generation).await?;
            return Err(StoreError::Conflict { key: key.to_string() });
        }
        outcome
    }

    async fn current(&self) -> (Bucket, u64) {
        self.bucket.read().await.clone()
    }

    /// Once, however many find it gone.
    async fn make_anew(&self, generation: u64) -> Result<Bucket, StoreError> {
        let mut current = self.bucket.write().await;
        if current.1 == generation {
            tracing::warn!(bucket = LIMITS.name, "the logs of limits are gone and every limit starts empty");
            self.metrics.state_lost.inc();
            *current = (self.bus.create_bucket(&LIMITS).await?, generation + 1);
        }
        Ok(current.0.clone())
    }
}
