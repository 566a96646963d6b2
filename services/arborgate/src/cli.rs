//! The command line. Each flag has a key in the configuration, but for those that say where the configuration is.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::model_file::{ConvertOptions, InspectOptions};
use crate::operator::OperatorCommand;
use crate::roles::Role;
use crate::score::ScoreOptions;

/// Serves tree-ensemble models behind a secure API.
#[derive(Debug, Parser)]
#[command(name = "arborgate", version, about)]
pub(crate) struct Cli {
    /// What to do; without one: `up`.
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process; the first start makes what it lacks (the default)
    Up(UpOptions),
    /// Run some roles of a cluster over NATS
    Serve(ServeOptions),
    /// Prepare an empty cluster, once; changes nothing that is there
    Init(ClusterOptions),
    /// Ask a process on this machine whether it is ready, for containers
    Health(HealthOptions),
    /// Print the OpenAPI document
    Openapi,
    /// Make a development CA, server certificates and the cluster's master key
    Certs(CertsOptions),
    /// Say what a model's file is: made by what, its trees, features and classes, and how it runs here
    Inspect(InspectOptions),
    /// Write a model's file in Arborgate's own form, which loads in milliseconds
    Convert(ConvertOptions),
    /// Predict or explain every row of a file into another, without a server; files may be larger than memory
    Score(ScoreOptions),
    #[command(flatten)]
    Operator(OperatorCommand),
}

impl Default for Command {
    fn default() -> Self {
        Self::Up(UpOptions::default())
    }
}

/// Where the configuration is.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigOptions {
    /// A TOML file over the defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where clients connect
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Where the operations listener answers, or `off`
    #[arg(long, value_name = "ADDRESS")]
    pub ops_listen: Option<String>,
}

/// The state folder of an all-in-one.
pub(crate) const DATA_DIR: &str = "arborgate-data";

#[derive(Debug, Clone, Args)]
pub(crate) struct UpOptions {
    #[command(flatten)]
    pub config: ConfigOptions,
    /// Where the state is kept
    #[arg(long, value_name = "DIR", default_value = DATA_DIR)]
    pub data_dir: PathBuf,
}

impl Default for UpOptions {
    fn default() -> Self {
        Self { config: ConfigOptions::default(), data_dir: DATA_DIR.into() }
    }
}

/// How the cluster is reached.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClusterOptions {
    #[command(flatten)]
    pub config: ConfigOptions,
    /// Servers of NATS, by commas
    #[arg(long, value_name = "URL")]
    pub nats: Option<String>,
    /// The file of the cluster's master key; auth, crypto and init need it
    #[arg(long, value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ServeOptions {
    #[command(flatten)]
    pub cluster: ClusterOptions,
    /// What this process does, by commas
    #[arg(long, value_name = "ROLES", value_delimiter = ',', required = true)]
    pub roles: Vec<Role>,
    /// Where an edge without a configured certificate keeps the development one
    #[arg(long, value_name = "DIR", default_value = "arborgate-tls")]
    pub tls_dir: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct HealthOptions {
    /// The process's operations listener
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901")]
    pub address: SocketAddr,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CertsOptions {
    /// Where
    #[arg(default_value = "certs")]
    pub dir: PathBuf,
    /// Names beside localhost that the server certificates are for
    #[arg(long = "name", value_name = "NAME")]
    pub names: Vec<String>,
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_flags_clash() {
        <super::Cli as clap::CommandFactory>::command().debug_assert();
    }
}
