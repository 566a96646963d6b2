//! One code for each kind of failure in the system, and the error that a service answers with. What HTTP makes of a
//! code is the edge's business.

use serde::{Deserialize, Serialize};

/// Every kind of failure that a service or the edge reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The request can not be read at all.
    BadRequest,
    /// No credential, or a bearer token that is not good.
    Unauthenticated,
    /// A credential that is known to be wrong, or a role without the permission.
    Forbidden,
    /// The thing named is not there.
    NotFound,
    /// What is there contradicts what was asked for.
    Conflict,
    /// Readable, but not acceptable; `faults` name each place.
    Invalid,
    /// Larger than a limit.
    TooLarge,
    /// A rate limit.
    RateLimited,
    /// A queue is full.
    Overloaded,
    /// A part of the system can not be reached.
    Unavailable,
    /// The deadline passed.
    DeadlineExceeded,
    /// A ciphertext that does not decrypt, for whatever cause.
    DecryptionFailed,
    /// A defect, or a broken machine.
    Internal,
}

impl ErrorCode {
    /// Whether the same request may well succeed elsewhere or later.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Overloaded | Self::Unavailable)
    }
}

/// One thing wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Where: a JSON pointer into the body (RFC 6901), a parameter or a header.
    pub pointer: String,
    /// What is wrong, and what would be right.
    pub detail: String,
}

impl Fault {
    /// A name as a token of a JSON pointer (RFC 6901 section 3).
    pub fn token(name: &str) -> String {
        name.replace('~', "~0").replace('/', "~1")
    }
}

/// What a service answers when it does not do what was asked. `detail` is for the caller; what only an operator
/// needs is logged where it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct ServiceError {
    /// The kind.
    pub code: ErrorCode,
    /// A sentence that the caller can act on.
    pub detail: String,
    /// Each place at fault, when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// When to come back, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ServiceError {
    /// An error of a kind with a sentence for the caller.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), faults: Vec::new(), retry_after_ms: None }
    }

    /// A defect: the caller reads only that; the cause is for the log, where the service writes it.
    pub fn internal() -> Self {
        Self::new(ErrorCode::Internal, "internal error; the request id leads the operator to its cause")
    }

    /// With the places at fault.
    #[must_use]
    pub fn with_faults(mut self, faults: Vec<Fault>) -> Self {
        self.faults = faults;
        self
    }
}
