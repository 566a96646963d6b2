//! Why a command failed; each text is for the person at the terminal.

use std::path::PathBuf;

use arborgate_bus::{BusError, StoreError};
use arborgate_runtime::master_key::MasterKeyError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The machine gives no threads.
    #[error("the runtime can not start")]
    Runtime(#[source] std::io::Error),
    /// Files, ports, certificates, configuration.
    #[error(transparent)]
    Process(#[from] arborgate_runtime::Error),
    /// Settings.
    #[error(transparent)]
    Settings(#[from] arborgate_runtime::config::ConfigError),
    /// The master key.
    #[error("the master key of {path} can not be used")]
    MasterKey {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: MasterKeyError,
    },
    /// Nothing in the state can be read without it.
    #[error(
        "the master key {path} is missing, and the state beside it was made with one: put that key back (a backup does not \
         hold it)"
    )]
    MasterKeyMissing {
        /// Where it has to be.
        path: PathBuf,
    },
    /// A role needs it.
    #[error("auth and crypto need the cluster's master key: give --master-key-file (`arborgate certs` makes one)")]
    NoMasterKey,
    /// Another one wrapped the state.
    #[error("the master key is not the one that this state was made with; start with that one")]
    OtherMasterKey,
    /// A newer binary wrote the state.
    #[error("the state has format {found} and this binary knows {known}; start a newer binary")]
    NewerState {
        /// As it says.
        found: u32,
        /// By this binary.
        known: u32,
    },
    /// The bus.
    #[error("the bus failed")]
    Bus(#[from] BusError),
    /// The embedded state.
    #[error("the state in {path} can not be opened")]
    Open {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: arborgate_bus::local::OpenError,
    },
    /// The state.
    #[error("the state failed")]
    Store(#[from] StoreError),
    /// A service.
    #[error("the {name} service can not start")]
    Service {
        /// Which.
        name: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A password of a user.
    #[error("the password can not be reset")]
    Reset(#[source] arborgate_auth::Error),
    /// The administrator's, of the environment.
    #[error("{variable} can not be used")]
    AdminPassword {
        /// Where it came from.
        variable: &'static str,
        /// Why.
        #[source]
        source: arborgate_auth::Error,
    },
    /// The demonstration model.
    #[error("the demonstration model can not be added: {0}")]
    Demonstration(String),
    /// The terminal, or a pipe that was closed.
    #[error("writing failed")]
    Output(#[source] std::io::Error),
    /// A file of the person's.
    #[error("can not {what} {path}")]
    File {
        /// Read or write.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A model's file that is refused.
    #[error("{path} is no model that can be used")]
    Model {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<arborgate_forest::Error>,
    },
    /// A model beyond what can be compiled.
    #[error("the model in {path} can not be compiled")]
    Compile {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<arborgate_forest::CompileError>,
    },
    /// A model's file beyond the bound.
    #[error("{path} has more than {limit}, the most that is read; give a larger --max-artifact")]
    ModelTooLarge {
        /// Which.
        path: PathBuf,
        /// The bound.
        limit: arborgate_runtime::config::ByteSize,
    },
    /// A folder, a device.
    #[error("{path} is no plain file")]
    NoFile {
        /// Which.
        path: PathBuf,
    },
    /// A file that would be lost.
    #[error("{path} is there already; give --force to replace it")]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// A table's file, or what stands in it.
    #[error("{path} can not be {what}")]
    Table {
        /// Scored or written.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: arborgate_tables::Error,
    },
    /// A table that does not fit the model, or a model that can not answer so.
    #[error("{path} {message}")]
    Unfit {
        /// Which.
        path: PathBuf,
        /// Why, and what would work.
        message: String,
    },
    /// By the person, or the system.
    #[error("interrupted; {path} was not written")]
    Interrupted {
        /// The output.
        path: PathBuf,
    },
    /// A server was not reached.
    #[error("can not reach {server}")]
    Unreached {
        /// Which.
        server: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// A server refused.
    #[error("{0}")]
    Refused(String),
    /// A server, or what stands before it, can not answer now.
    #[error("{0}")]
    Busy(String),
    /// Not ready, says the process that was asked.
    #[error("not ready: {0}")]
    NotReady(String),
}

impl Error {
    /// Whether the same may succeed a little later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreached { .. } | Self::Busy(_))
    }

    /// Of a service.
    pub(crate) fn service<E: std::error::Error + Send + Sync + 'static>(name: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Service { name, source: Box::new(source) }
    }
}
