//! What a request to a service is: its types, the subject that it travels on, whether it may be asked again elsewhere.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The services that answer requests on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Users, roles, API keys, tokens.
    Auth,
    /// Rate limits.
    Limiter,
    /// Encryption.
    Crypto,
    /// Models and predictions.
    Inference,
}

impl Service {
    /// The token in subjects, and the queue group.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Limiter => "limiter",
            Self::Crypto => "crypto",
            Self::Inference => "inference",
        }
    }
}

/// Whether an operation may be asked again, of another instance, when an attempt gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It changes nothing, or asking twice is the same as once because the request carries an id.
    Safe,
    /// Asked once; no answer means that nobody knows.
    Never,
}

/// A request in JSON to a service and its reply. Predictions are not one of these: see [`crate::wire`].
pub trait Operation: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What comes back.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
    /// Who answers.
    const SERVICE: Service;
    /// The token in the subject.
    const NAME: &'static str;
    /// Whether another attempt is allowed.
    const REPEAT: Repeat;
    /// How long one attempt may take before another instance is asked.
    const ATTEMPT: Duration;
}

macro_rules! operation {
    ($request:ty => $reply:ty, $service:ident, $name:literal, $repeat:ident, $attempt_ms:literal) => {
        impl $crate::operation::Operation for $request {
            type Reply = $reply;
            const SERVICE: $crate::operation::Service = $crate::operation::Service::$service;
            const NAME: &'static str = $name;
            const REPEAT: $crate::operation::Repeat = $crate::operation::Repeat::$repeat;
            const ATTEMPT: std::time::Duration = std::time::Duration::from_millis($attempt_ms);
        }
    };
}
pub(crate) use operation;
