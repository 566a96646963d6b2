//! A policy as it is configured.

use std::time::Duration;

use arborgate_contracts::limiter::Limit;
use arborgate_contracts::permission::Role;
use arborgate_runtime::config::HumanDuration;
use serde::Deserialize;

use crate::operations::OPERATIONS;

/// Limits up to this many permits are decided one by one.
const STRICT_UP_TO: u32 = 1000;
const LONGEST_WINDOW: Duration = Duration::from_secs(86_400);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// At most so many requests in any window.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// As the headers and refusals call it.
    pub name: String,
    /// Which operations it counts, by `operationId`; `*` is all.
    pub operations: Vec<String>,
    /// Whose requests it counts, by role; empty: everybody's.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// What it counts by.
    pub by: By,
    /// Requests in any window.
    pub permits: u32,
    /// The window.
    pub window: HumanDuration,
    /// How it is decided; `auto`: strictly up to 1000 permits.
    #[serde(default)]
    pub class: ClassChoice,
    /// What happens to a request that is too many.
    #[serde(default)]
    pub mode: Mode,
    /// In throttling, how long a request may be kept waiting.
    #[serde(default)]
    pub max_wait: HumanDuration,
}

/// What a policy counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The caller's address (IPv6: its /64).
    Address,
    /// The caller's user or API key; before anybody is known, the address.
    Principal,
}

impl By {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Principal => "principal",
        }
    }
}

/// How a policy is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassChoice {
    /// Strictly for low limits.
    #[default]
    Auto,
    /// Each request by the limiter.
    Strict,
    /// By permits borrowed in advance.
    Fast,
}

/// How a policy is decided, chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Each request by the limiter.
    Strict,
    /// By permits borrowed in advance.
    Fast,
}

/// What happens to a request that is too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// 429.
    #[default]
    Refuse,
    /// It waits, up to `max_wait`; then 429.
    Throttle,
}

impl Policy {
    /// What is wrong with it: the key and a sentence for each fault.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let mut fault = |wrong: bool, key, text: &str| {
            if wrong {
                faults.push((key, text.to_owned()));
            }
        };
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let named = (1..=32).contains(&self.name.len()) && self.name.bytes().all(legal);
        fault(!named, "name", "must be 1 to 32 of A-Z, a-z, 0-9, '-' and '_'");
        fault(self.operations.is_empty(), "operations", "must name at least one operation, or \"*\"");
        fault(self.permits == 0, "permits", "must be at least 1");
        let window = Duration::from_millis(100)..=LONGEST_WINDOW;
        fault(!window.contains(&*self.window), "window", "must be from 100ms to 24h");
        let waits = self.mode == Mode::Throttle;
        fault(waits == self.max_wait.is_zero(), "max_wait", "must be given with mode \"throttle\", and only then");
        fault(*self.max_wait > LONGEST_WAIT, "max_wait", "must be at most 60s");
        fault(
            waits && self.class() == Class::Fast,
            "mode",
            "must be \"refuse\" where permits are borrowed; give class \"strict\"",
        );
        for unknown in self.operations.iter().filter(|o| *o != "*" && !OPERATIONS.iter().any(|k| k.id == **o)) {
            faults.push(("operations", format!("'{unknown}' is no operation of the API")));
        }
        faults
    }

    pub(super) fn limit(&self) -> Limit {
        let window_ms = u32::try_from(self.window.as_millis()).unwrap_or(u32::MAX);
        Limit { permits: self.permits, window_ms }
    }

    pub(super) fn class(&self) -> Class {
        match self.class {
            ClassChoice::Strict => Class::Strict,
            ClassChoice::Fast => Class::Fast,
            ClassChoice::Auto if self.permits <= STRICT_UP_TO => Class::Strict,
            ClassChoice::Auto => Class::Fast,
        }
    }

    pub(super) fn counts(&self, operation: &str) -> bool {
        self.operations.iter().any(|o| o == "*" || o == operation)
    }

    pub(super) fn counts_roles(&self, roles: &[Role]) -> bool {
        self.roles.is_empty() || self.roles.iter().any(|role| roles.contains(role))
    }
}
