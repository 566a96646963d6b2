//! Why a command of the workshop failed.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::process::ExitStatus;

/// Why a command of the workshop failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A program is not there or may not run.
    #[error("can not run '{program}'")]
    Start {
        /// As it was called.
        program: String,
        #[source]
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("'{program}' failed: {status}")]
    Failed {
        /// As it was called.
        program: String,
        status: ExitStatus,
    },
    /// A program ran for too long and was ended.
    #[error("'{program}' was ended after {seconds} seconds")]
    TooLong {
        /// As it was called.
        program: String,
        seconds: u64,
    },
    /// A file or a process.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        #[source]
        source: io::Error,
    },
    /// What cargo says of the workspace can not be read.
    #[error("cargo metadata failed")]
    Metadata(#[from] cargo_metadata::Error),
    /// What a check found.
    #[error("{}:\n  {}", .check, .found.join("\n  "))]
    Found {
        /// Which.
        check: &'static str,
        /// One line each.
        found: Vec<String>,
    },
    /// What is to be done first.
    #[error("{0}")]
    Wrong(String),
}

pub(crate) type Result<T = (), E = Error> = std::result::Result<T, E>;

impl Error {
    /// For `map_err`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what.into(), source }
    }

    /// The text with its causes.
    pub(crate) fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            // Writing to a String can not fail.
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        text
    }
}
