//! Changes to the model registry: a version is registered, or removed, or another one answers. Whoever holds models watches
//! the registry and follows; nothing here loads a model to serve it.

mod describe;
mod example;
mod register;
mod remove;
mod rollout;
mod sweep;

use arborgate_bus::{Bucket, Bus, Objects, StoreError};
use arborgate_contracts::bucket::{ARTIFACTS, MODELS};
use arborgate_contracts::inference::{ChangeRollout, Register, Registered, Remove};
use arborgate_contracts::registry::Manifest;
use arborgate_contracts::rollout::Rollout;
use arborgate_contracts::{ErrorCode, Key, ModelName, ServiceError};

use crate::artifact::Loader;
use crate::config::ArtifactLimits;
pub(crate) use sweep::Sweep;

/// Artifacts that are checked at once: each may take much memory and a processor.
const CHECKED_AT_ONCE: usize = 1;

/// Checks an artifact in the object store and makes it a version, without a running service: for a first start. See
/// [`Register`] for what it promises.
///
/// # Errors
/// What the caller may read; causes that are an operator's are logged.
pub async fn register(bus: &Bus, limits: &ArtifactLimits, request: Register) -> Result<Registered, ServiceError> {
    Registrar::open(bus, limits.clone()).await.map_err(|error| unreachable(&error))?.register(request).await
}

/// Changes the registry. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Registrar {
    bucket: Bucket,
    objects: Objects,
    loader: Loader,
}

impl Registrar {
    pub(crate) async fn open(bus: &Bus, limits: ArtifactLimits) -> Result<Self, StoreError> {
        let bucket = bus.bucket(&MODELS).await?;
        let objects = bus.objects(ARTIFACTS).await?;
        let loader = Loader::new(objects.clone(), limits, CHECKED_AT_ONCE);
        Ok(Self { bucket, objects, loader })
    }

    /// See [`Register`].
    pub(crate) async fn register(&self, request: Register) -> Result<Registered, ServiceError> {
        register::register(self, request).await
    }

    /// See [`Remove`].
    pub(crate) async fn remove(&self, request: Remove) -> Result<(), ServiceError> {
        remove::remove(self, request).await
    }

    /// See [`ChangeRollout`].
    pub(crate) async fn change_rollout(&self, request: ChangeRollout) -> Result<Rollout, ServiceError> {
        rollout::change(self, request).await
    }

    /// The manifests of all models, or of one, as they were added. One that this binary can not read is left out: its own worker says so.
    async fn manifests(&self, model: Option<&ModelName>) -> Result<Vec<Manifest>, ServiceError> {
        let prefix = match model {
            Some(model) => Key::of(&["manifest", model.as_str()]),
            None => manifests(),
        };
        let mut entries = self.bucket.list(Some(&prefix)).await.map_err(|error| unreachable(&error))?;
        entries.sort_by_key(|entry| entry.revision);
        Ok(entries.iter().filter_map(|entry| entry.json().ok()).collect())
    }

    /// Deletes an upload unless it has become a version.
    async fn release(&self, object: &str) {
        let in_use = match self.manifests(None).await {
            Ok(manifests) => manifests.iter().any(|manifest| manifest.object == object),
            Err(_) => true,
        };
        if !in_use {
            self.discard(object).await;
        }
    }

    /// Deletes an artifact. It is no error that it stays: it costs only room.
    async fn discard(&self, object: &str) {
        if let Err(error) = self.objects.delete(object).await {
            tracing::warn!(
                object,
                error = &error as &dyn std::error::Error,
                "an artifact of no version could not be deleted"
            );
        }
    }
}

/// Below which all manifests are.
pub(crate) fn manifests() -> Key {
    Key::of(&["manifest"])
}

/// Below which all rollouts are.
pub(crate) fn rollouts() -> Key {
    Key::of(&["rollout"])
}

/// The state failed: the cause is the operator's.
fn unreachable(error: &StoreError) -> ServiceError {
    tracing::error!(error = error as &dyn std::error::Error, "the model registry failed");
    ServiceError::new(ErrorCode::Unavailable, "the model registry can not be reached; try again shortly")
}
