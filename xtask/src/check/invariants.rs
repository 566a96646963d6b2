//! What the design says of who may depend on whom, held against the manifests.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, Package};

use super::found;
use crate::error::Result;
use crate::workspace;

/// Crates that only some of ours may name, by the folder; tests may all.
const ONLY: [(&str, &[&str]); 6] = [
    ("poem", &["services/edge"]),
    ("poem-openapi", &["services/edge"]),
    ("tonic", &["services/edge"]),
    ("async-nats", &["common/bus"]),
    ("kameo", &["common/actor"]),
    ("hyper", &["services/edge", "common/runtime"]),
];

/// Crates of ours that know no transport and no runtime.
const PLAIN: [&str; 4] = ["common/contracts", "common/forest", "common/scoring", "common/tables"];

const TRANSPORTS: [&str; 6] = ["tokio", "hyper", "poem", "async-nats", "reqwest", "kameo"];

/// The one that sees all services.
const BINARY: &str = "services/arborgate";
const TESTKIT: &str = "common/testkit";

pub(super) fn check() -> Result {
    let metadata = workspace::metadata()?;
    let ours = folders(&metadata);
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let Some(folder) = ours.get(package.name.as_str()) else { continue };
        wrong.extend(dependencies(folder, package, &ours));
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap_or_default();
        if !manifest.contains("[lints]\nworkspace = true\n") {
            wrong.push(format!("{folder} does not take the workspace's lints"));
        }
    }
    for folder in PLAIN {
        let reached = reached(&metadata, &ours, folder);
        wrong.extend(TRANSPORTS.iter().filter(|t| reached.contains(**t)).map(|t| format!("{folder} comes to {t}")));
    }
    found("invariants", wrong)
}

/// The folder of each of our packages, by name.
fn folders(metadata: &Metadata) -> BTreeMap<String, String> {
    let folder = |package: &&Package| {
        let folder = package.manifest_path.parent()?.strip_prefix(&metadata.workspace_root).ok()?;
        Some((package.name.to_string(), folder.to_string()))
    };
    metadata.workspace_packages().iter().filter_map(folder).collect()
}

fn dependencies(folder: &str, package: &Package, ours: &BTreeMap<String, String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for dependency in &package.dependencies {
        let name = dependency.name.as_str();
        let only = ONLY.iter().find(|(only, _)| *only == name);
        let testing = dependency.kind == DependencyKind::Development;
        if !testing && only.is_some_and(|(_, folders)| !folders.contains(&folder)) {
            wrong.push(format!("{folder} depends on {name}"));
        }
        let Some(other) = ours.get(name) else { continue };
        if !may(folder, other, dependency.kind) {
            wrong.push(format!("{folder} depends on {other}"));
        }
    }
    wrong
}

/// Whether one of ours may depend on another: services on what is common, the binary on all, on the testkit only tests.
fn may(folder: &str, other: &str, kind: DependencyKind) -> bool {
    let testing = kind == DependencyKind::Development;
    match other {
        TESTKIT => testing || folder == "xtask",
        _ if other.starts_with("services/") => folder == BINARY || (folder == TESTKIT && other != BINARY),
        _ => other.starts_with("common/"),
    }
}

/// All that a package of ours comes to, without its tests.
fn reached(metadata: &Metadata, ours: &BTreeMap<String, String>, folder: &str) -> BTreeSet<String> {
    let Some(resolve) = &metadata.resolve else { return BTreeSet::new() };
    let names: BTreeMap<_, _> = metadata.packages.iter().map(|p| (&p.id, p.name.as_str())).collect();
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let start = |id: &&_| names.get(*id).and_then(|name| ours.get(*name)).is_some_and(|f| f == folder);
    let mut waiting: Vec<_> = nodes.keys().copied().filter(start).collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if !reached.insert(id) {
            continue;
        }
        let Some(node) = nodes.get(id) else { continue };
        let built = node.deps.iter().filter(|d| d.dep_kinds.iter().any(|k| k.kind != DependencyKind::Development));
        waiting.extend(built.map(|d| &d.pkg));
    }
    reached.into_iter().filter_map(|id| names.get(id)).map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_see_what_is_common_and_the_binary_all() {
        use DependencyKind::{Development, Normal};
        assert!(may("services/edge", "common/bus", Normal));
        assert!(may("services/arborgate", "services/edge", Normal));
        assert!(may("services/edge", "common/testkit", Development));
        assert!(may("xtask", "common/testkit", Normal));
        assert!(!may("services/edge", "services/auth", Normal));
        assert!(!may("services/edge", "services/auth", Development));
        assert!(!may("common/bus", "services/auth", Normal));
        assert!(!may("services/edge", "common/testkit", Normal));
        assert!(!may("common/bus", "xtask", Normal));
    }

    #[test]
    fn a_crate_kept_to_one_folder_is_found_in_another() {
        let metadata = workspace::metadata().unwrap();
        let ours = folders(&metadata);
        let packages = metadata.workspace_packages();
        let edge = packages.iter().find(|package| package.name.as_str() == "arborgate-edge").unwrap();
        assert_eq!(dependencies("services/edge", edge, &ours), [""; 0]);
        let elsewhere = dependencies("services/auth", edge, &ours);
        assert!(elsewhere.contains(&"services/auth depends on poem".to_owned()), "{elsewhere:?}");
    }

    #[test]
    fn what_is_reached_is_found_through_others() {
        let metadata = workspace::metadata().unwrap();
        let ours = folders(&metadata);
        let reached = reached(&metadata, &ours, "services/edge");
        assert!(reached.contains("arborgate-edge") && reached.contains("async-nats"), "through the bus");
        assert!(!reached.contains("arborgate-auth"));
    }
}
