//! Waits until versions that are to answer are held, so that no request meets one that nobody holds. What is not there is told
//! by who changes the record.

use std::slice;
use std::time::Duration;

use arborgate_contracts::{ErrorCode, ModelName, Version};
use tokio::time::Instant;

use super::catalog::Catalog;
use crate::front::problem::Problem;

/// How long versions that are to answer are waited for.
const WITHIN: Duration = Duration::from_secs(10);

/// Waits until workers hold versions that are to answer, but for those that are unloaded; together no longer than [`WITHIN`].
pub(crate) async fn all(catalog: &Catalog, model: &ModelName, versions: &[Version]) -> Result<(), Problem> {
    wait(catalog, model, &loaded(catalog, model, versions), WITHIN).await
}

/// Whether workers hold a version that is to answer, or it is unloaded.
pub(crate) async fn now(catalog: &Catalog, model: &ModelName, version: &Version) -> Result<(), Problem> {
    wait(catalog, model, &loaded(catalog, model, slice::from_ref(version)), Duration::ZERO).await
}

/// As [`all`], of versions that were unloaded until now, whatever this edge knows of that.
pub(crate) async fn again(catalog: &Catalog, model: &ModelName, versions: &[Version]) -> Result<(), Problem> {
    wait(catalog, model, versions, WITHIN).await
}

/// Waits until workers hold what answers when a version goes: an older one answers until the newest is held.
pub(crate) async fn successor(catalog: &Catalog, model: &ModelName, going: &Version) -> Result<(), Problem> {
    let snapshot = catalog.now();
    let Some(versions) = snapshot.model(model.as_str()) else { return Ok(()) };
    let answers = versions.current().is_some_and(|current| current.manifest.version == *going);
    let newest = versions.newest().map(|newest| newest.manifest.version.clone());
    match newest.filter(|newest| answers && newest != going) {
        Some(newest) => all(catalog, model, &[newest]).await,
        None => Ok(()),
    }
}

fn loaded(catalog: &Catalog, model: &ModelName, versions: &[Version]) -> Vec<Version> {
    let snapshot = catalog.now();
    let rollout = snapshot.model(model.as_str()).and_then(|all| all.rollout());
    let is_out = |version: &&Version| rollout.is_some_and(|rollout| rollout.unloaded.contains_key(*version));
    versions.iter().filter(|version| !is_out(version)).cloned().collect()
}

/// What is not there is not waited for.
async fn wait(catalog: &Catalog, model: &ModelName, versions: &[Version], within: Duration) -> Result<(), Problem> {
    let until = Instant::now() + within;
    for version in versions {
        let snapshot = catalog.now();
        let Some(served) = snapshot.model(model.as_str()).and_then(|all| all.get(version.as_str())) else { continue };
        if catalog.held(model, version, until.saturating_duration_since(Instant::now())).await {
            continue;
        }
        let detail = match served.lane.workers().aside().join("; ") {
            reasons if reasons.is_empty() => format!("no worker holds {model} version {version} yet; try again"),
            reasons => format!("no worker can hold {model} version {version}: {reasons}"),
        };
        return Err(Problem::new(ErrorCode::Unavailable, detail));
    }
    Ok(())
}
