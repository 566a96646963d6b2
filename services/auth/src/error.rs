//! How the auth service fails, and what of it a caller reads.

use arborgate_actor::AskError;
use arborgate_bus::{BusError, StoreError};
use arborgate_contracts::{ErrorCode, ServiceError, UserName};

/// Why the auth service, or an operator's command on its state, did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration can not work.
    #[error("auth.{key} {rule}")]
    Config {
        /// Below `auth`.
        key: &'static str,
        /// What it must be.
        rule: String,
    },
    /// The bus.
    #[error("the auth service's bus failed")]
    Bus(#[from] BusError),
    /// The state.
    #[error("the auth service's state failed")]
    Store(#[from] StoreError),
    /// A record that a newer binary wrote.
    #[error("the record {key} has format {found}; this binary reads formats up to {known}: run the newer binary")]
    Format {
        /// Which.
        key: String,
        /// Of the record.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// A record that makes no sense.
    #[error("the record {key} is damaged: {what}")]
    Damaged {
        /// Which.
        key: String,
        /// Of it.
        what: &'static str,
    },
    /// Others changed the same record again and again.
    #[error("{0} was changed by others too often at the same time")]
    Contended(&'static str),
    /// A library of cryptography refused to work.
    #[error("{0} failed")]
    Cryptography(&'static str),
    /// A token could not be written.
    #[error("signing a token failed")]
    Signing(#[source] jsonwebtoken::errors::Error),
    /// There is no signing key in its time: publishing the next one failed.
    #[error("there is no signing key; the last try to publish one failed")]
    NoSigningKey,
    /// The actor of signing keys did not answer.
    #[error("the signer did not answer")]
    Signer(#[from] AskError),
    /// No such user.
    #[error("there is no user {0}")]
    NoSuchUser(UserName),
    /// What was asked is refused, and why is the caller's to read.
    #[error(transparent)]
    Refused(#[from] ServiceError),
}

impl Error {
    pub(crate) fn refused(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self::Refused(ServiceError::new(code, detail))
    }

    /// What the caller reads; what only an operator needs is logged.
    pub(crate) fn into_service_error(self, operation: &'static str) -> ServiceError {
        match self {
            Self::Refused(error) => error,
            Self::Contended(what) => {
                tracing::warn!(operation, what, "gave up: others change the same record");
                ServiceError::new(ErrorCode::Overloaded, "others change the same at this moment; try again shortly")
            }
            Self::Store(StoreError::Backend { .. }) | Self::Bus(_) | Self::NoSigningKey | Self::Signer(_) => {
                tracing::error!(operation, error = chain(&self), "the auth service can not work");
                ServiceError::new(ErrorCode::Unavailable, "the auth service can not reach its state; try again shortly")
            }
            _ => {
                tracing::error!(operation, error = chain(&self), "a request failed");
                ServiceError::internal()
            }
        }
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
