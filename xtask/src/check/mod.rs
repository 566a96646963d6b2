//! What must hold before a change is taken, beside the tests. Each check runs, whatever those before it found.

mod banned;
mod invariants;
mod licences;
mod text;

use crate::command::{cargo, run};
use crate::error::{Error, Result};
use crate::{openapi, workspace};

type Check = (&'static str, fn() -> Result);

const CHECKS: [Check; 8] = [
    ("format", format),
    ("text", text::check),
    ("licences", licences::check),
    ("banned", banned::check),
    ("invariants", invariants::check),
    ("lints", lints),
    ("docs", docs),
    ("generated", openapi::check),
];

/// Those of these names; all without any.
pub(crate) fn run_all(wanted: &[String]) -> Result {
    if let Some(unknown) = wanted.iter().find(|name| CHECKS.iter().all(|(known, _)| known != name)) {
        let known = CHECKS.map(|(name, _)| name).join(", ");
        return Err(Error::Wrong(format!("there is no check '{unknown}'; there are: {known}")));
    }
    let mut failed = Vec::new();
    for (name, check) in CHECKS.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| w == name)) {
        match check() {
            Ok(()) => println!("check {name}: good"),
            Err(error) => {
                eprintln!("check {name}: {}", error.with_causes());
                failed.push((*name).to_owned());
            }
        }
    }
    found("these checks failed", failed)
}

/// Ok if nothing was found.
fn found(check: &'static str, found: Vec<String>) -> Result {
    if found.is_empty() { Ok(()) } else { Err(Error::Found { check, found }) }
}

fn format() -> Result {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["fmt", "--check", "--manifest-path"]).arg(workspace::root().join("fuzz/Cargo.toml")))
}

/// What is compiled only on demand; not with `cuda`, which takes its toolkit.
const TENSORS: [&str; 4] = ["--package", "arborgate-forest", "--features", "candle"];

fn lints() -> Result {
    let clippy = |what: &[&str]| {
        let common = ["--all-targets", "--locked", "--quiet", "--", "-D", "warnings"];
        run(cargo().arg("clippy").args(what).args(common))
    };
    clippy(&["--workspace"])?;
    clippy(&TENSORS)
}

/// Links that lead nowhere.
fn docs() -> Result {
    let doc = |what: &[&str]| {
        let common = ["--no-deps", "--document-private-items", "--locked", "--quiet"];
        let flags = "-D warnings -A rustdoc::private-intra-doc-links";
        run(cargo().arg("doc").args(what).args(common).env("RUSTDOCFLAGS", flags))
    };
    doc(&TENSORS)?;
    // last, for what is left to be read
    doc(&["--workspace"])
}
