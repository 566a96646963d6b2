//! A version is removed: first nobody may choose it any more, then its manifest goes, which workers follow, then its artifact.
//! Cut off midway, it is unloaded, and removed when that is asked again.

use arborgate_bus::StoreError;
use arborgate_contracts::inference::Remove;
use arborgate_contracts::registry::{DefaultModel, Manifest, default_key, manifest_key};
use arborgate_contracts::{ErrorCode, ModelName, ServiceError};

use super::{Registrar, rollout, unreachable};

/// Tries to delete what others change meanwhile.
const TRIES: usize = 5;

pub(super) async fn remove(registrar: &Registrar, request: Remove) -> Result<(), ServiceError> {
    let Remove { model, version } = request;
    let key = manifest_key(&model, &version);
    if registrar.bucket.get(&key).await.map_err(|error| unreachable(&error))?.is_some() {
        rollout::release(registrar, &model, &version).await?;
    }
    for _ in 0..TRIES {
        let found = registrar.bucket.get_json::<Manifest>(&key).await.map_err(|error| unreachable(&error))?;
        let Some((manifest, revision)) = found else {
            return Err(ServiceError::new(ErrorCode::NotFound, format!("there is no {model} version {version}")));
        };
        match registrar.bucket.delete(&key, Some(revision)).await {
            Ok(()) => {
                tracing::info!(%model, %version, digest = %manifest.digest, "removed a model");
                registrar.discard(&manifest.object).await;
                // What stays of it is forgotten when the version is added again.
                let _ = rollout::forget(registrar, &model, &version).await;
                return unpoint(registrar, &model).await;
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(unreachable(&error)),
        }
    }
    Err(ServiceError::new(ErrorCode::Unavailable, "the version is being changed by others; try again"))
}

/// Takes the default back when it names a model of which no version is left.
pub(super) async fn unpoint(registrar: &Registrar, model: &ModelName) -> Result<(), ServiceError> {
    let key = default_key();
    let found = registrar.bucket.get_json::<DefaultModel>(&key).await.map_err(|error| unreachable(&error))?;
    let Some((_, revision)) = found.filter(|(default, _)| default.model == *model) else { return Ok(()) };
    if !registrar.manifests(Some(model)).await?.is_empty() {
        return Ok(());
    }
    match registrar.bucket.delete(&key, Some(revision)).await {
        // Another default was chosen meanwhile.
        Ok(()) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(unreachable(&error)),
    }
}
