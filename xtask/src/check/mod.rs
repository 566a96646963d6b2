//! What must hold before a change is taken, beside the tests. Every check runs, then all findings are told.

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
    ("text of files", text::check),
    ("licences and sources", licences::check),
    ("banned crates", banned::check),
    ("invariants", invariants::check),
    ("lints", lints),
    ("documentation", documentation),
    ("generated files", openapi::check),
];

pub(crate) fn run_all() -> Result {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        match check() {
            Ok(()) => println!("check: {name}: good"),
            Err(error) => {
                eprintln!("check: {name}: {}", error.with_causes());
                failed.push(name.to_owned());
            }
        }
    }
    found("failed", failed)
}

/// Ok if nothing was found.
fn found(check: &'static str, found: Vec<String>) -> Result {
    if found.is_empty() { Ok(()) } else { Err(Error::Found { check, found }) }
}

fn format() -> Result {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["fmt", "--check", "--manifest-path"]).arg(workspace::root().join("fuzz/Cargo.toml")))
}

fn lints() -> Result {
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"]))
}

/// Links that lead nowhere.
fn documentation() -> Result {
    let doc = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked", "--quiet"];
    run(cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings"))
}
