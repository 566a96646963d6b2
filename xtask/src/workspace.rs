//! Where things are, and the binary.

use std::path::{Path, PathBuf};

use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};

use crate::command;
use crate::error::Result;

/// The repository's folder.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// The ignored folder of what [`crate::setup`] gets.
pub(crate) fn tools() -> PathBuf {
    root().join(".tools")
}

/// A program of the Python packages.
pub(crate) fn python(program: &str) -> PathBuf {
    tools().join("python/bin").join(program)
}

/// The folder of the TypeScript client.
pub(crate) fn typescript() -> PathBuf {
    root().join("openapi/clients/typescript")
}

/// What cargo knows of the workspace and all it depends on, with every feature of its crates.
pub(crate) fn metadata() -> Result<Metadata> {
    let mut command = MetadataCommand::new();
    command.current_dir(root()).features(CargoOpt::AllFeatures).other_options(["--locked".to_owned()]);
    Ok(command.exec()?)
}

/// How to compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As the tests do.
    Debug,
    /// As it is shipped.
    Release,
}

/// Builds the binary, and says where it is.
pub(crate) fn arborgate(profile: Profile) -> Result<PathBuf> {
    let mut cargo = command::cargo();
    let folder = match profile {
        // With the tests: what they compile is what they run, and nothing is compiled twice for two sets of features.
        Profile::Debug => {
            cargo.args(["test", "--workspace", "--locked", "--no-run", "--quiet"]);
            "debug"
        }
        Profile::Release => {
            cargo.args(["build", "--release", "--locked", "--package", "arborgate"]);
            "release"
        }
    };
    command::run(&mut cargo)?;
    Ok(target()?.join(folder).join("arborgate"))
}

/// Where cargo puts what it compiles.
pub(crate) fn target() -> Result<PathBuf> {
    Ok(metadata()?.target_directory.into_std_path_buf())
}
