//! The crate's one error: everything that can go wrong around a service rather than in it.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::ConfigError;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),

    /// `what` completes "can not …", such as "create the folder".
    #[error("can not {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },

    #[error("{} is larger than the {limit} bytes that are read of such a file", path.display())]
    TooLarge { path: PathBuf, limit: u64 },

    #[error(
        "{} may be read by others than its owner (mode {mode:04o}): run `chmod 600 {}`",
        path.display(),
        path.display()
    )]
    SecretExposed { path: PathBuf, mode: u32 },

    #[error(
        "{} belongs to user {owner}, and this process runs as user {user}: a secret's owner must be that user or root",
        path.display()
    )]
    SecretOwner { path: PathBuf, owner: u32, user: u32 },

    #[error("the data folder {} is in use by {}: stop it, or choose another folder", path.display(), holder(*pid))]
    Locked { path: PathBuf, pid: Option<u32> },

    #[error("can not install the handlers of SIGINT and SIGTERM: {0}")]
    Signals(#[source] io::Error),

    #[error("telemetry.filter `{filter}` is not a filter such as `info` or `warn,arborgate_edge=debug`: {source}")]
    Filter { filter: String, source: tracing_subscriber::filter::ParseError },

    #[error("telemetry.otlp.{key}: {reason}")]
    Otlp { key: &'static str, reason: String },

    #[error("can not start the export of traces: {0}")]
    Exporter(#[source] Box<dyn std::error::Error + Send + Sync>),

    #[error("telemetry is started already in this process")]
    TelemetryTwice(#[source] tracing_subscriber::util::TryInitError),

    #[error("can not listen on {addr} for operations: {source}")]
    Listen { addr: SocketAddr, source: io::Error },

    #[error("no answer from {addr} within {timeout:?}")]
    AskTimeout { addr: SocketAddr, timeout: Duration },

    #[error("can not ask {addr}: {source}")]
    Ask { addr: SocketAddr, source: Box<dyn std::error::Error + Send + Sync> },

    #[error("`{name}` is neither a DNS name nor an IP address")]
    Name { name: String },

    #[error("the development CA may not sign for `{name}`: it is constrained to {}", permitted.join(", "))]
    NotPermitted { name: String, permitted: Vec<String> },

    #[error(
        "the development CA {} may not sign for `{name}`: it was made for {}; remove it and its key for a new one to be \
         made, which clients have to trust, or choose another folder",
        path.display(),
        permitted.join(", ")
    )]
    CaNames { path: PathBuf, name: String, permitted: Vec<String> },

    #[error("can not make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),

    #[error("{} holds no {what} in PEM form: {reason}", path.display())]
    Pem { what: &'static str, path: PathBuf, reason: String },

    #[error("the certificate {} and the key {} can not be used: {source}", cert.display(), key.display())]
    Identity { cert: PathBuf, key: PathBuf, source: rustls::Error },

    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),

    #[error("another provider of cryptography than aws-lc-rs is installed in this process")]
    Provider,
}

impl Error {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}
