//! Which version of a model answers: one record a model, changed by compare-and-set, so that two operators at once can not
//! make what neither wanted. It looks at manifests, and never changes one.

use std::collections::{BTreeMap, HashSet};

use arborgate_bus::{StoreError, to_json};
use arborgate_contracts::inference::{Change, ChangeRollout};
use arborgate_contracts::registry::Manifest;
use arborgate_contracts::rollout::{
    LONGEST_HISTORY, MOST_SHARES, ROLLOUT_FORMAT, Rollout, Shadow, Split, Sticky, Unloaded, WHOLE, rollout_key,
};
use arborgate_contracts::{ErrorCode, Fault, ModelName, ServiceError, Version};

use super::{Registrar, unreachable};

/// Tries to change what others change meanwhile.
const TRIES: usize = 8;
/// Who changes a rollout when a version is removed.
const REGISTRY: &str = "registry";
/// Characters of the reason for an unload, at most.
const LONGEST_REASON: usize = 256;

/// See [`ChangeRollout`].
pub(super) async fn change(registrar: &Registrar, request: ChangeRollout) -> Result<Rollout, ServiceError> {
    let ChangeRollout { model, change, changed_by } = request;
    let changed = update(registrar, &model, &changed_by, |rollout, versions| apply(rollout, versions, &change)).await?;
    tracing::info!(%model, ?change, by = changed_by, "changed which version answers");
    Ok(changed)
}

/// Keeps the version that answers now, where there is one and nothing said so yet.
pub(super) async fn hold(registrar: &Registrar, model: &ModelName, by: &str) -> Result<(), ServiceError> {
    if registrar.manifests(Some(model)).await?.is_empty() {
        return Ok(());
    }
    let pin = |rollout: &mut Rollout, versions: &Versions| {
        rollout.current = rollout.current.take().or_else(|| versions.newest(rollout).cloned());
        Ok(())
    };
    update(registrar, model, by, pin).await.map(drop)
}

/// Has nobody choose a version that is to be removed, from here on; refused while it answers and others are there.
pub(super) async fn release(registrar: &Registrar, model: &ModelName, version: &Version) -> Result<(), ServiceError> {
    let mark = |rollout: &mut Rollout, versions: &Versions| {
        known(rollout, versions, version)?;
        if let Some(why) = versions.answers(rollout, version).filter(|_| versions.0.len() > 1) {
            let detail = format!("{model} version {version} can not be removed: {why}");
            return Err(ServiceError::new(ErrorCode::Conflict, detail));
        }
        // The only version of a model may go, whatever names it.
        if versions.0.len() == 1 {
            *rollout = fresh(model);
        }
        rollout.unloaded.insert(version.clone(), out("it is being removed"));
        rollout.history.retain(|past| past != version);
        Ok(())
    };
    update(registrar, model, REGISTRY, mark).await.map(drop)
}

/// Forgets that a version which is not there was unloaded: added again, it begins anew.
pub(super) async fn forget(registrar: &Registrar, model: &ModelName, version: &Version) -> Result<(), ServiceError> {
    for _ in 0..TRIES {
        let Some((mut rollout, revision)) = read(registrar, model).await? else { return Ok(()) };
        let is_marked = rollout.unloaded.remove(version).is_some();
        let is_last = registrar.manifests(Some(model)).await?.is_empty();
        let says_nothing =
            Rollout { changed_at: String::new(), changed_by: String::new(), ..rollout.clone() } == fresh(model);
        let key = rollout_key(model);
        let written = if is_last || (is_marked && says_nothing) {
            registrar.bucket.delete(&key, Some(revision)).await
        } else if is_marked {
            registrar.bucket.update(&key, record(&rollout)?, revision).await.map(drop)
        } else {
            return Ok(());
        };
        match written {
            Ok(()) => return Ok(()),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(unreachable(&error)),
        }
    }
    Err(contended())
}

/// The versions of a model, as they were added.
struct Versions(Vec<Manifest>);

impl Versions {
    fn get(&self, version: &Version) -> Option<&Manifest> {
        self.0.iter().find(|manifest| manifest.version == *version)
    }

    /// Those that workers hold.
    fn held(&self, rollout: &Rollout) -> impl DoubleEndedIterator<Item = &Version> {
        self.0.iter().map(|manifest| &manifest.version).filter(|version| !rollout.unloaded.contains_key(*version))
    }

    /// The one added last of those that workers hold.
    fn newest(&self, rollout: &Rollout) -> Option<&Version> {
        self.held(rollout).next_back()
    }

    /// What answers all that no share takes.
    fn current<'v>(&'v self, rollout: &'v Rollout) -> Option<&'v Version> {
        let is_held = |version: &&Version| self.held(rollout).any(|held| held == *version);
        rollout.current.as_ref().filter(is_held).or_else(|| self.newest(rollout))
    }

    /// What of the model's traffic a version answers, in a sentence; `None`: nothing.
    fn answers(&self, rollout: &Rollout, version: &Version) -> Option<&'static str> {
        let is_current = self.current(rollout) == Some(version);
        rollout.names(version).or(is_current.then_some("it is the current version; promote another first"))
    }

    /// A version that is to answer: it is there, and workers hold it.
    fn able(&self, rollout: &Rollout, version: &Version) -> Result<&Manifest, ServiceError> {
        let manifest = self.get(version).ok_or_else(|| {
            ServiceError::new(ErrorCode::NotFound, format!("{} has no version {version}", rollout.model))
        })?;
        if rollout.unloaded.contains_key(version) {
            let detail = format!("{} version {version} is unloaded; load it first", rollout.model);
            return Err(ServiceError::new(ErrorCode::Conflict, detail));
        }
        Ok(manifest)
    }
}

async fn update(
    registrar: &Registrar,
    model: &ModelName,
    by: &str,
    mut change: impl FnMut(&mut Rollout, &Versions) -> Result<(), ServiceError>,
) -> Result<Rollout, ServiceError> {
    for _ in 0..TRIES {
        let found = read(registrar, model).await?;
        let versions = Versions(registrar.manifests(Some(model)).await?);
        if versions.0.is_empty() {
            return Err(ServiceError::new(ErrorCode::NotFound, format!("there is no model '{model}'")));
        }
        let revision = found.as_ref().map(|(_, revision)| *revision);
        let mut rollout = found.map_or_else(|| fresh(model), |(rollout, _)| rollout);
        change(&mut rollout, &versions)?;
        rollout.changed_at = jiff::Timestamp::now().to_string();
        by.clone_into(&mut rollout.changed_by);
        for unloaded in rollout.unloaded.values_mut().filter(|unloaded| unloaded.by.is_empty()) {
            by.clone_into(&mut unloaded.by);
        }
        let (key, record) = (rollout_key(model), record(&rollout)?);
        let written = match revision {
            Some(revision) => registrar.bucket.update(&key, record, revision).await,
            None => registrar.bucket.create(&key, record).await,
        };
        match written {
            Ok(_) => return Ok(rollout),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(unreachable(&error)),
        }
    }
    Err(contended())
}

fn fresh(model: &ModelName) -> Rollout {
    Rollout {
        format: ROLLOUT_FORMAT,
        model: model.clone(),
        current: None,
        history: Vec::new(),
        split: None,
        shadow: None,
        unloaded: BTreeMap::new(),
        changed_at: String::new(),
        changed_by: String::new(),
    }
}

async fn read(registrar: &Registrar, model: &ModelName) -> Result<Option<(Rollout, u64)>, ServiceError> {
    let found = registrar.bucket.get_json::<Rollout>(&rollout_key(model)).await.map_err(|error| unreachable(&error))?;
    if found.as_ref().is_some_and(|(rollout, _)| rollout.format > ROLLOUT_FORMAT) {
        let detail = "a newer release wrote how this model is rolled out; this one can not change it";
        return Err(ServiceError::new(ErrorCode::Conflict, detail));
    }
    Ok(found)
}

fn record(rollout: &Rollout) -> Result<bytes::Bytes, ServiceError> {
    to_json(rollout).map_err(|error| unreachable(&error))
}

fn contended() -> ServiceError {
    ServiceError::new(ErrorCode::Unavailable, "the model is being changed by others; try again")
}

fn apply(rollout: &mut Rollout, versions: &Versions, change: &Change) -> Result<(), ServiceError> {
    match change {
        Change::Promote(version) => promote(rollout, versions, version),
        Change::Rollback => roll_back(rollout, versions),
        Change::Split(split) => {
            if let Some(split) = split {
                check_split(rollout, versions, split)?;
                // What answers the rest stays, whatever is added later.
                rollout.current = versions.current(rollout).cloned();
                let current = rollout.current.as_ref();
                rollout.shadow = rollout.shadow.take().filter(|shadow| current != Some(&shadow.version));
            }
            rollout.split.clone_from(split);
            Ok(())
        }
        Change::Shadow(shadow) => {
            if let Some(shadow) = shadow {
                check_shadow(rollout, versions, shadow)?;
                rollout.current = versions.current(rollout).cloned();
            }
            rollout.shadow.clone_from(shadow);
            Ok(())
        }
        Change::Load(version) => {
            known(rollout, versions, version)?;
            rollout.unloaded.remove(version);
            Ok(())
        }
        Change::Unload(version, reason) => unload(rollout, versions, version, reason),
        Change::LoadAll => {
            rollout.unloaded.clear();
            Ok(())
        }
        Change::UnloadAll(reason) => {
            let unloaded = out(reason);
            for manifest in &versions.0 {
                rollout.unloaded.entry(manifest.version.clone()).or_insert_with(|| unloaded.clone());
            }
            Ok(())
        }
    }
}

fn promote(rollout: &mut Rollout, versions: &Versions, version: &Version) -> Result<(), ServiceError> {
    versions.able(rollout, version)?;
    let before = versions.current(rollout).filter(|before| *before != version).cloned();
    if let Some(before) = before {
        rollout.history.push(before);
        let surplus = rollout.history.len().saturating_sub(LONGEST_HISTORY);
        rollout.history.drain(..surplus);
    }
    rollout.current = Some(version.clone());
    rollout.split = None;
    rollout.shadow = rollout.shadow.take().filter(|shadow| shadow.version != *version);
    Ok(())
}

fn roll_back(rollout: &mut Rollout, versions: &Versions) -> Result<(), ServiceError> {
    while let Some(past) = rollout.history.pop() {
        if versions.able(rollout, &past).is_ok() && rollout.current.as_ref() != Some(&past) {
            rollout.shadow = rollout.shadow.take().filter(|shadow| shadow.version != past);
            rollout.current = Some(past);
            rollout.split = None;
            return Ok(());
        }
    }
    let detail = format!("there is nothing to roll '{}' back to: no version was current before", rollout.model);
    Err(ServiceError::new(ErrorCode::Conflict, detail))
}

fn unload(rollout: &mut Rollout, versions: &Versions, version: &Version, reason: &str) -> Result<(), ServiceError> {
    known(rollout, versions, version)?;
    // The last one of a model may go: no other is there to answer in its place.
    let is_last = versions.held(rollout).all(|held| held == version);
    if let Some(why) = versions.answers(rollout, version).filter(|_| !is_last) {
        let detail = format!("{} version {version} can not be unloaded: {why}", rollout.model);
        return Err(ServiceError::new(ErrorCode::Conflict, detail));
    }
    rollout.unloaded.insert(version.clone(), out(reason));
    Ok(())
}

/// By whom is filled in when the record is written.
fn out(reason: &str) -> Unloaded {
    let reason = reason.chars().filter(|c| !c.is_control()).take(LONGEST_REASON).collect();
    Unloaded { reason, at: jiff::Timestamp::now().to_string(), by: String::new() }
}

fn known<'v>(rollout: &Rollout, versions: &'v Versions, version: &Version) -> Result<&'v Manifest, ServiceError> {
    let none = || ServiceError::new(ErrorCode::NotFound, format!("{} has no version {version}", rollout.model));
    versions.get(version).ok_or_else(none)
}

fn check_split(rollout: &Rollout, versions: &Versions, split: &Split) -> Result<(), ServiceError> {
    let mut faults = Vec::new();
    let mut fault = |pointer: String, detail: String| faults.push(Fault { pointer, detail });
    let shares = &split.shares;
    if shares.is_empty() || shares.len() > MOST_SHARES {
        fault("/shares".into(), format!("must be 1 to {MOST_SHARES}, not {}", shares.len()));
    }
    let mut seen = HashSet::new();
    for share in shares {
        let pointer = format!("/shares/{}", share.version);
        if !seen.insert(&share.version) {
            fault(pointer.clone(), "is there twice".into());
        }
        if !(1..=WHOLE).contains(&share.basis_points) {
            fault(pointer, "must be more than 0 and at most 100 per cent".into());
        }
    }
    let total: u64 = shares.iter().map(|share| u64::from(share.basis_points)).sum();
    if total > u64::from(WHOLE) {
        fault("/shares".into(), format!("are {} per cent together; at most 100", total as f64 / 100.0));
    }
    if let Some(Sticky::Header(name)) = &split.sticky
        && !is_header(name)
    {
        fault("/sticky".into(), "must be 'principal' or the name of a header, not of a credential".into());
    }
    if let Some(first) = faults.first() {
        let detail = format!("{}: {}", first.pointer, first.detail);
        return Err(ServiceError::new(ErrorCode::Invalid, detail).with_faults(faults));
    }
    shares.iter().try_for_each(|share| check_alike(rollout, versions, &share.version))
}

fn check_shadow(rollout: &Rollout, versions: &Versions, shadow: &Shadow) -> Result<(), ServiceError> {
    let invalid = |detail: &str| Err(ServiceError::new(ErrorCode::Invalid, detail));
    if !(1..=WHOLE).contains(&shadow.basis_points) {
        return invalid("/percent: must be more than 0 and at most 100");
    }
    if !shadow.tolerance.is_finite() || shadow.tolerance < 0.0 {
        return invalid("/tolerance: must be a number from 0");
    }
    if versions.current(rollout) == Some(&shadow.version) {
        return Err(ServiceError::new(ErrorCode::Conflict, "the current version can not be its own shadow"));
    }
    check_alike(rollout, versions, &shadow.version)
}

/// That rows of the current version are rows of this one, and answers look alike.
fn check_alike(rollout: &Rollout, versions: &Versions, version: &Version) -> Result<(), ServiceError> {
    let other = versions.able(rollout, version)?;
    let Some(current) = versions.current(rollout).and_then(|current| versions.get(current)) else { return Ok(()) };
    let unlike = if current.task != other.task || current.outputs != other.outputs {
        Some("another task".to_owned())
    } else if current.features.len() != other.features.len() {
        Some(format!("{} features, not {}", other.features.len(), current.features.len()))
    } else {
        let mut pairs = current.features.iter().zip(&other.features);
        pairs.find(|(one, two)| !one.takes_as(two)).map(|(one, _)| format!("another feature for {:?}", one.name))
    };
    let unlike = unlike.or_else(|| (current.classes != other.classes).then(|| "other classes".to_owned()));
    let Some(what) = unlike else { return Ok(()) };
    let detail = format!(
        "version {version} has {what}: callers of version {} could not ask it; promote it instead, or give it a signature",
        current.version
    );
    Err(ServiceError::new(ErrorCode::Invalid, detail))
}

/// A header's name (RFC 9110 section 5.1) in lower case, that carries no credential.
fn is_header(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
        && !["authorization", "x-api-key", "cookie", "proxy-authorization"].contains(&name)
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
