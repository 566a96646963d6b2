//! What can be set of the auth service, below `auth`.

use std::time::Duration;

use arborgate_runtime::config::{ByteSize, HumanDuration};
use argon2::Params;
use serde::Deserialize;

use crate::error::Error;

/// The auth service's settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Requests of one operation answered at the same time; more are refused as overload.
    pub capacity: usize,
    /// Life of an access token: 10 s to 1 day.
    pub token_life: HumanDuration,
    /// How long a key signs before the next one does: 1 minute to 90 days.
    pub signing_key_life: HumanDuration,
    /// How long an edge may trust its memory of what was revoked: 100 ms to 1 minute.
    pub lease_validity: HumanDuration,
    /// What a password's hash costs. A hash with other settings is made anew at the next sign-in.
    pub argon2: Argon2Config,
    /// How many passwords are hashed at the same time.
    pub hashing: HashingConfig,
    /// What a new password must be.
    pub password: PasswordConfig,
}

/// Parameters of Argon2id (RFC 9106).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Argon2Config {
    /// `m`: memory of one hash.
    pub memory: ByteSize,
    /// `t`: passes over it.
    pub passes: u32,
    /// `p`: lanes.
    pub lanes: u32,
}

/// Bounds of the work on passwords.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HashingConfig {
    /// Hashes at the same time; absent: one a core, at least 2 and at most 8.
    pub concurrency: Option<usize>,
    /// Hashes that may wait; more are refused as overload.
    pub queue: usize,
}

/// Lengths of a new password, in characters.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PasswordConfig {
    /// The shortest.
    pub min_length: usize,
    /// The longest, at most 1024.
    pub max_length: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            capacity: 256,
            token_life: HumanDuration(Duration::from_secs(300)),
            signing_key_life: HumanDuration(Duration::from_secs(86_400)),
            lease_validity: HumanDuration(Duration::from_secs(5)),
            argon2: Argon2Config::default(),
            hashing: HashingConfig::default(),
            password: PasswordConfig::default(),
        }
    }
}

impl Default for Argon2Config {
    /// The first choice of OWASP's password storage cheat sheet.
    fn default() -> Self {
        Self { memory: ByteSize(19 << 20), passes: 2, lanes: 1 }
    }
}

impl Default for HashingConfig {
    fn default() -> Self {
        Self { concurrency: None, queue: 64 }
    }
}

impl Default for PasswordConfig {
    fn default() -> Self {
        Self { min_length: 12, max_length: 128 }
    }
}

impl HashingConfig {
    pub(crate) fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        self.concurrency.unwrap_or_else(|| cores.clamp(2, 8))
    }
}

impl Argon2Config {
    pub(crate) fn params(&self) -> Result<Params, argon2::Error> {
        let kib = u32::try_from(self.memory.bytes() / 1024).unwrap_or(u32::MAX);
        Params::new(kib, self.passes, self.lanes, None)
    }
}

impl Config {
    /// Every setting that can not work: its key below `auth`, and what it must be.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let mut check = |good: bool, key, rule: &str| {
            if !good {
                faults.push((key, rule.to_owned()));
            }
        };
        let within = |life: HumanDuration, least: Duration, most: Duration| (least..=most).contains(&life.get());
        let seconds = Duration::from_secs;
        check((1..=65_536).contains(&self.capacity), "capacity", "must be 1 to 65536");
        check(within(self.token_life, seconds(10), seconds(86_400)), "token_life", "must be 10s to 1d");
        check(
            within(self.signing_key_life, seconds(60), seconds(90 * 86_400)),
            "signing_key_life",
            "must be 1m to 90d",
        );
        let millis = Duration::from_millis;
        check(within(self.lease_validity, millis(100), millis(60_000)), "lease_validity", "must be 100ms to 1m");
        check(self.argon2.memory.bytes() <= 4 << 30, "argon2.memory", "must be at most 4GiB");
        check((1..=100).contains(&self.argon2.passes), "argon2.passes", "must be 1 to 100");
        check((1..=64).contains(&self.argon2.lanes), "argon2.lanes", "must be 1 to 64");
        check(self.argon2.params().is_ok(), "argon2.memory", "must be at least 8KiB for each of argon2.lanes");
        let concurrency = self.hashing.concurrency;
        check(concurrency.is_none_or(|n| (1..=256).contains(&n)), "hashing.concurrency", "must be 1 to 256");
        check((1..=65_536).contains(&self.hashing.queue), "hashing.queue", "must be 1 to 65536");
        let PasswordConfig { min_length, max_length } = self.password;
        check((1..=64).contains(&min_length), "password.min_length", "must be 1 to 64");
        check((64..=1024).contains(&max_length), "password.max_length", "must be 64 to 1024");
        faults
    }

    pub(crate) fn checked(&self) -> Result<(), Error> {
        match self.faults().into_iter().next() {
            Some((key, rule)) => Err(Error::Config { key, rule }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_work() {
        assert_eq!(Config::default().faults(), []);
        assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
    }

    #[test]
    fn unknown_keys_are_refused() {
        for wrong in [r#"{"tokenlife":"5m"}"#, r#"{"argon2":{"iterations":2}}"#, r#"{"password":{"min":2}}"#] {
            assert!(serde_json::from_str::<Config>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_fault_is_named() {
        let wrong = r#"{"capacity":0,"token_life":"1s","signing_key_life":"1s","lease_validity":"1h",
            "argon2":{"memory":"1KiB","passes":0,"lanes":9},"hashing":{"concurrency":0,"queue":0},
            "password":{"min_length":0,"max_length":20}}"#;
        let faults = serde_json::from_str::<Config>(wrong).unwrap().faults();
        let keys: Vec<_> = faults.iter().map(|(key, _)| *key).collect();
        let expected = [
            "capacity",
            "token_life",
            "signing_key_life",
            "lease_validity",
            "argon2.passes",
            "argon2.memory",
            "hashing.concurrency",
            "hashing.queue",
            "password.min_length",
            "password.max_length",
        ];
        assert_eq!(keys, expected);
    }
}
