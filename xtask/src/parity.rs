//! Random models of every library beside what that library predicts: `xtask/parity` makes them, the forest's example `parity`
//! holds ours against them. Environments and models are kept in `target/parity`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{cargo, program, run as run_command, run_within};
use crate::error::{Error, Result};
use crate::workspace;

/// Environments are made with it: each version of a library has packages for this one, or says which it needs.
const PYTHON: &str = "python3.11";
/// For all that is generated; with all versions it downloads gigabytes.
const LIMIT: Duration = Duration::from_secs(4 * 3_600);
/// Of `generate.py`: what could be made was made, and some environments could not.
const MISSING: i32 = 3;

/// What is compared.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Of these only, as `xgboost` or `xgboost/3.4.1`: `sklearn_forests`, `sklearn_boosting`, `sklearn_vectors`, xgboost, lightgbm,
    /// catboost, onnx
    formats: Vec<String>,
    /// Random models of each format and version
    #[arg(long, default_value_t = 50)]
    models: u32,
    /// The same models again
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// Not only the newest version of each library
    #[arg(long)]
    all_versions: bool,
    /// Where environments are kept
    #[arg(long)]
    work: Option<PathBuf>,
    /// An environment that can not be made is left out, and no failure
    #[arg(long)]
    skip_missing: bool,
    /// Make nothing: compare the tests' own reference files
    #[arg(long, conflicts_with_all = ["formats", "models", "seed", "all_versions", "work", "skip_missing"])]
    fixtures: bool,
}

/// Prints the tables. Fails if what is promised does not hold, or an environment can not be made.
pub(crate) fn run(options: &Options) -> Result {
    let mut example = cargo();
    example.args([
        "run",
        "--quiet",
        "--release",
        "--locked",
        "--package",
        "arborgate-forest",
        "--example",
        "parity",
        "--",
    ]);
    if options.fixtures {
        return run_command(example.arg("--fixtures"));
    }
    let kept = workspace::metadata()?.target_directory.into_std_path_buf().join("parity");
    let work = options.work.clone().unwrap_or_else(|| kept.join("environments"));
    let models = kept.join("models");
    for folder in [&work, &models] {
        fs::create_dir_all(folder).map_err(Error::io(format!("can not make {}", folder.display())))?;
    }
    let missing = match run_within(LIMIT, &mut generate(options, &work, &models)) {
        Ok(()) => false,
        Err(Error::Failed { status, .. }) if status.code() == Some(MISSING) => true,
        Err(error) => return Err(error),
    };
    println!("Seed {}, {} models of each format and version.\n", options.seed, options.models);
    run_command(example.arg(&models))?;
    if missing && !options.skip_missing {
        return Err(Error::Wrong(
            "what could not be made is named above; --skip-missing goes on without it".to_owned(),
        ));
    }
    Ok(())
}

/// Makes models into a folder, and forgets those of before.
fn generate(options: &Options, work: &Path, models: &Path) -> Command {
    let mut command = program(PYTHON);
    command.arg(workspace::root().join("xtask/parity/generate.py"));
    command.arg("--work").arg(work).arg("--out").arg(models);
    command.args(["--models", &options.models.to_string(), "--seed", &options.seed.to_string()]);
    if options.all_versions {
        command.arg("--all-versions");
    }
    command.args(&options.formats);
    command
}
