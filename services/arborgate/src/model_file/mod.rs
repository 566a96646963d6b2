//! Models in files on this machine: what one is, and our own form of it. No server is asked.

mod convert;
mod inspect;

use std::io::Read;
use std::path::{Path, PathBuf};

use arborgate_forest::{Model, Options, Rounds};
use arborgate_inference::{Config, ModelLimits};
use arborgate_runtime::config::ByteSize;
use clap::{Args, ValueEnum};

use crate::error::Error;
pub(crate) use convert::run as convert;
pub(crate) use inspect::run as inspect;

#[derive(Debug, Clone, Args)]
pub(crate) struct InspectOptions {
    /// A model's file, as its library saved it; the README says which are read
    pub file: PathBuf,
    /// JSON instead of a table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub reading: ReadingOptions,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ConvertOptions {
    /// A model's file, as its library saved it; the README says which are read
    pub file: PathBuf,
    /// Where to, such as model.safetensors, or - for standard output; must not be there yet
    pub out: PathBuf,
    /// Take the place of a file that is there
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub reading: ReadingOptions,
}

/// How a file is read. The bounds are those that a server has unless it is configured.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reading")]
pub(crate) struct ReadingOptions {
    /// Rounds of a boosted model that stopped early
    #[arg(long, value_enum, default_value = "as-saved")]
    pub rounds: RoundsOption,
    /// Bytes of the file
    #[arg(long, value_name = "SIZE", default_value_t = Config::default().max_artifact)]
    pub max_artifact: ByteSize,
    /// Bytes of the file once decompressed
    #[arg(long, value_name = "SIZE", default_value_t = ModelLimits::default().max_decompressed)]
    pub max_decompressed: ByteSize,
    /// Trees
    #[arg(long, value_name = "N", default_value_t = ModelLimits::default().max_trees)]
    pub max_trees: usize,
    /// Nodes of all trees together
    #[arg(long, value_name = "N", default_value_t = ModelLimits::default().max_nodes)]
    pub max_nodes: usize,
    /// Splits between a root and its deepest leaf
    #[arg(long, value_name = "N", default_value_t = ModelLimits::default().max_depth)]
    pub max_depth: usize,
    /// Classes of one output
    #[arg(long, value_name = "N", default_value_t = ModelLimits::default().max_classes)]
    pub max_classes: usize,
    /// Outputs
    #[arg(long, value_name = "N", default_value_t = ModelLimits::default().max_outputs)]
    pub max_outputs: usize,
    /// Features
    #[arg(long, value_name = "N", default_value_t = ModelLimits::default().max_features)]
    pub max_features: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoundsOption {
    /// Those that the file's own library takes
    AsSaved,
    /// Up to the best, if the file names one
    Best,
    /// All
    All,
}

impl ReadingOptions {
    fn options(&self) -> Options {
        let model = ModelLimits {
            max_decompressed: self.max_decompressed,
            max_trees: self.max_trees,
            max_nodes: self.max_nodes,
            max_depth: self.max_depth,
            max_classes: self.max_classes,
            max_outputs: self.max_outputs,
            max_features: self.max_features,
        };
        let rounds = match self.rounds {
            RoundsOption::AsSaved => Rounds::AsSaved,
            RoundsOption::Best => Rounds::Best,
            RoundsOption::All => Rounds::All,
        };
        let limits = Config { model, ..Config::default() }.artifact_limits().model;
        Options { limits, rounds }
    }

    /// The model in a file, and the file's size.
    pub(crate) fn read(&self, path: &Path) -> Result<(Model, u64), Error> {
        let failed = |source| Error::File { what: "read", path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Error::NoFile { path: path.to_owned() });
        }
        let (limit, mut bytes) = (self.max_artifact, Vec::new());
        file.take(limit.bytes().saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        let size = bytes.len() as u64;
        if size > limit.bytes() {
            return Err(Error::ModelTooLarge { path: path.to_owned(), limit });
        }
        let model = Model::read(&bytes, &self.options())
            .map_err(|source| Error::Model { path: path.to_owned(), source: Box::new(source) })?;
        Ok((model, size))
    }
}
