//! What the auth service counts. Names get their prefix from the registry.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Outcome {
    #[allow(non_camel_case_types)]
    ok,
    #[allow(non_camel_case_types)]
    refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabel {
    outcome: Outcome,
}

/// Whose password a hash was computed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Of {
    /// A user's who signs in.
    #[allow(non_camel_case_types)]
    known,
    /// Nobody's: a name that is not there.
    #[allow(non_camel_case_types)]
    unknown,
    /// A new one, or one with other parameters.
    #[allow(non_camel_case_types)]
    new,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfLabel {
    of: Of,
}

/// Cheap to clone; clones count together.
#[derive(Clone)]
pub(crate) struct Metrics {
    sign_ins: Family<OutcomeLabel, Counter>,
    key_checks: Family<OutcomeLabel, Counter>,
    hashes: Family<OfLabel, Counter>,
    pub(crate) tokens: Counter,
    pub(crate) hash_seconds: Histogram,
    pub(crate) full: Counter,
    pub(crate) rotations: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
        Self {
            sign_ins: Family::default(),
            key_checks: Family::default(),
            hashes: Family::default(),
            tokens: Counter::default(),
            hash_seconds: Histogram::new(seconds),
            full: Counter::default(),
            rotations: Counter::default(),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("auth");
        registry.register("sign_ins", "Sign-ins by outcome", self.sign_ins.clone());
        registry.register("api_key_checks", "API keys checked, by outcome", self.key_checks.clone());
        registry.register("password_hashes", "Password hashes computed, by whose they are", self.hashes.clone());
        registry.register("tokens", "Access tokens signed", self.tokens.clone());
        registry.register("password_hash_seconds", "Time to compute a password hash", self.hash_seconds.clone());
        registry.register("hashing_full", "Requests refused as too many hashes wait", self.full.clone());
        registry.register("signing_key_rotations", "Signing keys taken into use", self.rotations.clone());
    }

    pub(crate) fn signed_in(&self, good: bool) {
        self.sign_ins.get_or_create(&outcome(good)).inc();
    }

    pub(crate) fn key_checked(&self, good: bool) {
        self.key_checks.get_or_create(&outcome(good)).inc();
    }

    pub(crate) fn hashed(&self, of: Of) {
        self.hashes.get_or_create(&OfLabel { of }).inc();
    }

    #[cfg(test)]
    pub(crate) fn hashes(&self, of: Of) -> u64 {
        self.hashes.get_or_create(&OfLabel { of }).get()
    }
}

fn outcome(good: bool) -> OutcomeLabel {
    OutcomeLabel { outcome: if good { Outcome::ok } else { Outcome::refused } }
}
