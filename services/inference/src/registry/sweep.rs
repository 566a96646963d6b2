//! Uploads that became no version and were not deleted: who was to register them died. They are deleted when no manifest has
//! named them for longer than an upload can be under way.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use arborgate_bus::StoreError;
use arborgate_contracts::registry::Manifest;
use tokio::time::MissedTickBehavior;

use super::{Registrar, manifests};

/// From when an upload is stored until it is a version, or a backup's manifests are restored after its artifacts.
const UNDER_WAY_AT_MOST: Duration = Duration::from_secs(3600);
/// How often it is looked.
const EVERY: Duration = Duration::from_secs(900);

/// See the module.
pub(crate) struct Sweep {
    registrar: Registrar,
    /// Objects that no manifest names, since when that is known.
    unnamed: HashMap<String, Instant>,
}

impl Sweep {
    pub(crate) fn new(registrar: Registrar) -> Self {
        Self { registrar, unnamed: HashMap::new() }
    }

    /// Looks again and again, without end.
    pub(crate) async fn run(mut self) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = self.once(Instant::now()).await {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "uploads that are of no version could not be looked for");
            }
        }
    }

    async fn once(&mut self, now: Instant) -> Result<(), StoreError> {
        // Objects first: one that is named meanwhile is found named.
        let objects = self.registrar.objects.list().await?;
        let entries = self.registrar.bucket.list(Some(&manifests())).await?;
        // A manifest that can not be read may name any of them.
        let named = entries.iter().map(|entry| entry.json::<Manifest>().map(|manifest| manifest.object));
        let named = named.collect::<Result<HashSet<String>, StoreError>>()?;
        let before = std::mem::take(&mut self.unnamed);
        for object in objects.into_iter().map(|object| object.name).filter(|name| !named.contains(name)) {
            let since = before.get(&object).copied().unwrap_or(now);
            if now.saturating_duration_since(since) < UNDER_WAY_AT_MOST {
                self.unnamed.insert(object, since);
            } else {
                tracing::info!(object, "deleting an upload that became no version");
                self.registrar.discard(&object).await;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arborgate_bus::{Bus, local};
    use arborgate_contracts::Key;
    use arborgate_contracts::bucket::{ARTIFACTS, MODELS};
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::config::Config;

    #[tokio::test]
    async fn only_what_was_long_of_no_version_is_deleted() {
        let bus = Bus::new(local::LocalBus::open(local::Config::default()).unwrap());
        let (bucket, objects) =
            (bus.create_bucket(&MODELS).await.unwrap(), bus.create_objects(ARTIFACTS).await.unwrap());
        let put = async |name: &str| {
            let content = futures_util::stream::iter([Ok(Bytes::from_static(b"x"))]);
            objects.put(name, Box::pin(content)).await.unwrap();
        };
        let names = async || objects.list().await.unwrap().into_iter().map(|of| of.name).collect::<Vec<_>>();
        let manifest = |object: &str| {
            serde_json::to_vec(&json!({
                "format": 1, "model": "m", "version": "1", "digest": "", "size": 1, "object": object, "source": "s",
                "task": "regression", "features": [], "classes": [], "outputs": 1, "trees": 1, "nodes": 1,
                "created_at": "", "created_by": ""
            }))
            .unwrap()
        };
        for name in ["m/1/kept", "m/1/late", "m/1/lost"] {
            put(name).await;
        }
        let key = |version: &str| Key::of(&["manifest", "m", version]);
        bucket.put(&key("1"), manifest("m/1/kept").into()).await.unwrap();
        let mut sweep = Sweep::new(Registrar::open(&bus, Config::default().artifact_limits()).await.unwrap());
        let begun = Instant::now();
        sweep.once(begun).await.unwrap();
        sweep.once(begun + UNDER_WAY_AT_MOST / 2).await.unwrap();
        assert_eq!(names().await.len(), 3);
        bucket.put(&key("2"), manifest("m/1/late").into()).await.unwrap();
        put("m/1/new").await;
        // Of a release to come: nobody knows what it names.
        bucket.put(&key("3"), Bytes::from_static(b"{}")).await.unwrap();
        assert!(sweep.once(begun + UNDER_WAY_AT_MOST).await.is_err());
        assert_eq!(names().await.len(), 4);
        bucket.delete(&key("3"), None).await.unwrap();
        sweep.once(begun + UNDER_WAY_AT_MOST).await.unwrap();
        assert_eq!(names().await, ["m/1/kept", "m/1/late", "m/1/new"]);
    }
}
