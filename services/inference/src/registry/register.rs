//! An uploaded artifact becomes a version, once, however often it is asked.

use arborgate_bus::{StoreError, to_json};
use arborgate_contracts::bucket::MODELS;
use arborgate_contracts::inference::{Register, Registered};
use arborgate_contracts::registry::{DefaultModel, Manifest, default_key, manifest_key};
use arborgate_contracts::signature::GivenSignature;
use arborgate_contracts::{ErrorCode, ModelName, ServiceError};

use super::{Registrar, describe, example, remove, rollout, unreachable};
use crate::artifact::Announced;
use crate::error::LoadError;

/// A refusal, and whether it is final: then the upload is of no use any more.
struct Refusal {
    error: ServiceError,
    is_final: bool,
}

impl Refusal {
    fn last(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { error: ServiceError::new(code, detail), is_final: true }
    }
}

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        let is_final = !error.code.is_transient();
        Self { error, is_final }
    }
}

pub(super) async fn register(registrar: &Registrar, request: Register) -> Result<Registered, ServiceError> {
    let outcome = make(registrar, &request).await;
    match outcome {
        Ok(registered) => {
            if registered.manifest.object != request.object {
                registrar.release(&request.object).await;
            }
            Ok(registered)
        }
        Err(refusal) => {
            if refusal.is_final {
                registrar.release(&request.object).await;
            }
            Err(refusal.error)
        }
    }
}

async fn make(registrar: &Registrar, request: &Register) -> Result<Registered, Refusal> {
    if let Some(manifest) = existing(registrar, request).await? {
        point(registrar, request).await?;
        return Ok(Registered { manifest, created: false });
    }
    let mut manifest = read(registrar, request).await?;
    let mut record = to_json(&manifest).map_err(|error| unreachable(&error))?;
    if record.len() > MODELS.max_value && manifest.example.take().is_some() {
        record = to_json(&manifest).map_err(|error| unreachable(&error))?;
    }
    if record.len() > MODELS.max_value {
        let detail = format!(
            "the names of its features and classes take {} bytes; a version's manifest has room for {}",
            record.len(),
            MODELS.max_value
        );
        return Err(Refusal::last(ErrorCode::Invalid, detail));
    }
    // Of a removal that was cut off.
    rollout::forget(registrar, &request.model, &request.version).await?;
    if request.held_back {
        rollout::hold(registrar, &request.model, &request.created_by).await?;
    }
    let created = match registrar.bucket.create(&manifest_key(&request.model, &request.version), record).await {
        Ok(_) => true,
        // Another was first, perhaps with the same request.
        Err(StoreError::Conflict { .. }) => false,
        Err(error) => return Err(unreachable(&error).into()),
    };
    let manifest = if created {
        tracing::info!(model = %manifest.model, version = %manifest.version, digest = %manifest.digest, "registered a model");
        manifest
    } else {
        let gone = || ServiceError::new(ErrorCode::Unavailable, "the version was removed meanwhile; try again");
        existing(registrar, request).await?.ok_or_else(gone)?
    };
    point(registrar, request).await?;
    // It may have been removed meanwhile.
    remove::unpoint(registrar, &request.model).await?;
    Ok(Registered { manifest, created })
}

/// What the artifact is.
async fn read(registrar: &Registrar, request: &Register) -> Result<Manifest, Refusal> {
    let artifact = registrar.loader.load(Announced::from(request)).await.map_err(|error| refusal(request, error))?;
    let manifest = describe::manifest(request, &artifact.model)?;
    Ok(Manifest { example: example::of(&artifact, &manifest.features), ..manifest })
}

/// What is there already under the name: the same bytes of which the same is said, or a conflict.
async fn existing(registrar: &Registrar, request: &Register) -> Result<Option<Manifest>, Refusal> {
    let key = manifest_key(&request.model, &request.version);
    let found = registrar.bucket.get_json::<Manifest>(&key).await.map_err(|error| unreachable(&error))?;
    let Some((manifest, _)) = found else { return Ok(None) };
    let conflict = |what: String| {
        let Register { model, version, .. } = request;
        let advice = "use another version, or remove that one first";
        Refusal::last(ErrorCode::Conflict, format!("{model} version {version} is there already with {what}; {advice}"))
    };
    if manifest.digest != request.digest {
        return Err(conflict(format!("other bytes (SHA-256 {})", manifest.digest)));
    }
    if request.provenance.is_some() && request.provenance != manifest.provenance {
        return Err(conflict("another signature".to_owned()));
    }
    if request.signature != GivenSignature::default() {
        let described = read(registrar, request).await?;
        if !describe::agrees(&manifest, &described, &request.signature) {
            return Err(conflict("other names, or other features, classes, labels or a description".to_owned()));
        }
    }
    Ok(Some(manifest))
}

/// Makes the model the default when that is asked, or when it is the only one.
async fn point(registrar: &Registrar, request: &Register) -> Result<(), ServiceError> {
    let default = DefaultModel { model: request.model.clone() };
    let record = to_json(&default).map_err(|error| unreachable(&error))?;
    if request.default {
        let written = registrar.bucket.put(&default_key(), record).await;
        return written.map(drop).map_err(|error| unreachable(&error));
    }
    let found = registrar.bucket.get(&default_key()).await.map_err(|error| unreachable(&error))?;
    if found.is_some() || !is_only(registrar, &request.model).await? {
        return Ok(());
    }
    match registrar.bucket.create(&default_key(), record).await {
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(unreachable(&error)),
    }
}

async fn is_only(registrar: &Registrar, model: &ModelName) -> Result<bool, ServiceError> {
    Ok(registrar.manifests(None).await?.iter().all(|manifest| manifest.model == *model))
}

fn refusal(request: &Register, error: LoadError) -> Refusal {
    let detail = error.to_string();
    match error {
        LoadError::TooLarge { .. } => Refusal::last(ErrorCode::TooLarge, detail),
        LoadError::OverBudget { .. } => Refusal::last(ErrorCode::TooLarge, detail),
        LoadError::Unverified(_) => Refusal::last(ErrorCode::Forbidden, detail),
        LoadError::Read(_) | LoadError::Compile(_) | LoadError::Canary(_) | LoadError::Manifest(_) => {
            Refusal::last(ErrorCode::Invalid, detail)
        }
        LoadError::Size { .. } | LoadError::Digest { .. } => {
            Refusal::last(ErrorCode::Invalid, format!("{detail}: it was changed on its way; upload it again"))
        }
        LoadError::Fetch(StoreError::NoObject { .. } | StoreError::Damaged { .. }) => {
            let detail = "the uploaded file is not in the store, or damaged; upload it again";
            ServiceError::new(ErrorCode::Unavailable, detail).into()
        }
        LoadError::Fetch(StoreError::TooLarge { size, limit, .. }) => {
            Refusal::last(ErrorCode::TooLarge, format!("the file has {size} bytes; at most {limit} are taken"))
        }
        LoadError::Fetch(source) => unreachable(&source).into(),
        LoadError::Slow(_) | LoadError::Serve(_) => {
            ServiceError::new(ErrorCode::Unavailable, "the model registry is slow; try again").into()
        }
        LoadError::Panicked => {
            tracing::error!(model = %request.model, digest = %request.digest, "reading a model panicked");
            Refusal { error: ServiceError::internal(), is_final: true }
        }
    }
}
