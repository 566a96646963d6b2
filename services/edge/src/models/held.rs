//! Waits until versions that are to answer are held, so that no request meets one that nobody holds. What is not there is told
//! by who changes the record.

use std::time::Duration;

use arborgate_contracts::rollout::Rollout;
use arborgate_contracts::{ErrorCode, ModelName, Version};
use tokio::time::Instant;

use super::catalog::Catalog;
use crate::front::problem::Problem;

/// How long versions that are to answer are waited for.
const WITHIN: Duration = Duration::from_secs(10);

/// Waits until workers hold versions that are to answer; together no longer than [`WITHIN`].
pub(crate) async fn all(catalog: &Catalog, model: &ModelName, versions: &[Version]) -> Result<(), Problem> {
    let until = Instant::now() + WITHIN;
    for version in versions {
        one(catalog, model, version, until.saturating_duration_since(Instant::now())).await?;
    }
    Ok(())
}

/// The same of versions that were unloaded until now, whatever this edge knows of that.
pub(crate) async fn again(catalog: &Catalog, model: &ModelName, versions: &[Version]) -> Result<(), Problem> {
    let until = Instant::now() + WITHIN;
    for version in versions {
        wait(catalog, model, version, until.saturating_duration_since(Instant::now())).await?;
    }
    Ok(())
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

/// Waits until a worker holds a version; not for one that is not there or is unloaded.
pub(crate) async fn one(
    catalog: &Catalog,
    model: &ModelName,
    version: &Version,
    within: Duration,
) -> Result<(), Problem> {
    let is_out = |of: &Rollout| of.unloaded.contains_key(version);
    let snapshot = catalog.now();
    match snapshot.model(model.as_str()).filter(|all| !all.rollout().is_some_and(is_out)) {
        Some(_) => wait(catalog, model, version, within).await,
        None => Ok(()),
    }
}

async fn wait(catalog: &Catalog, model: &ModelName, version: &Version, within: Duration) -> Result<(), Problem> {
    let snapshot = catalog.now();
    let Some(served) = snapshot.model(model.as_str()).and_then(|all| all.get(version.as_str())) else { return Ok(()) };
    if catalog.held(model, version, within).await {
        return Ok(());
    }
    let detail = match served.lane.workers().aside().join("; ") {
        reasons if reasons.is_empty() => format!("no worker holds {model} version {version} yet; try again"),
        reasons => format!("no worker can hold {model} version {version}: {reasons}"),
    };
    Err(Problem::new(ErrorCode::Unavailable, detail))
}
