//! cargo-fuzz on the one toolchain there is: `RUSTC_BOOTSTRAP` lets a stable compiler take the sanitizer's flags.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::command::{cargo, output, program, run as run_command};
use crate::error::{Error, Result};
use crate::workspace;

/// A reader that needs more for an input of at most a MiB is at fault.
const MEMORY_MIB: u32 = 2048;
const SECONDS_FOR_ONE: u32 = 10;

pub(crate) fn run(target: Option<&str>, seconds: u32) -> Result {
    let there = cargo().args(["fuzz", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return Err(Error::Wrong("cargo-fuzz is not there: run `cargo install --locked cargo-fuzz`".to_owned()));
    }
    let listed = output(cargo_fuzz().arg("list"))?;
    let targets: Vec<&str> = listed.lines().filter(|name| target.is_none_or(|wanted| wanted == *name)).collect();
    if targets.is_empty() {
        return Err(Error::Wrong(format!("there is no such target; there are: {}", listed.trim().replace('\n', ", "))));
    }
    for name in targets {
        println!("fuzz: {name} for {seconds} seconds");
        fuzz(name, seconds)?;
    }
    Ok(())
}

/// What is found stays in `fuzz/artifacts`, what was learned in `fuzz/corpus`; both are ignored.
fn fuzz(target: &str, seconds: u32) -> Result {
    let corpus = workspace::root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus).map_err(Error::io(format!("can not make {}", corpus.display())))?;
    run_command(
        cargo_fuzz()
            .args(["run", target])
            .arg(corpus)
            .args(seeds(target))
            .arg("--")
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
            .arg(format!("-timeout={SECONDS_FOR_ONE}")),
    )
}

fn cargo_fuzz() -> Command {
    let mut command = program(cargo().get_program());
    command.arg("fuzz").env("RUSTC_BOOTSTRAP", "1");
    command
}

/// Folders of real files, which are read and not written to.
fn seeds(target: &str) -> Vec<PathBuf> {
    let fixtures = workspace::root().join("common/forest/tests/fixtures");
    if target != "pickle" {
        // a reader that has its name from a library
        return Some(fixtures.join(target)).filter(|path| path.is_dir()).into_iter().collect();
    }
    let fixtures = fs::read_dir(fixtures);
    let folders = fixtures.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    folders.filter(|path| path.is_dir()).chain([workspace::root().join("services/arborgate/models")]).collect()
}
