//! What an operator may set for this service, and what values can work.

use arborgate_runtime::config::ByteSize;
use serde::Deserialize;

/// More would hold up everybody else: it is encrypted in one piece.
const MOST_PLAINTEXT: u64 = 64 << 20;

/// The section `crypto` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Requests under way at once for each operation and subject; more are refused as overloaded.
    pub capacity: usize,
    /// Bytes of a plaintext. What the bus can not carry is refused as well.
    pub max_plaintext: ByteSize,
}

impl Default for Config {
    fn default() -> Self {
        Self { capacity: 256, max_plaintext: ByteSize(1 << 20) }
    }
}

impl Config {
    /// What is wrong: each key below `crypto`, and why.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.capacity == 0 {
            problems.push(("capacity", "is 0; it must be at least 1".to_owned()));
        }
        let bytes = self.max_plaintext.bytes();
        if !(1..=MOST_PLAINTEXT).contains(&bytes) {
            problems.push(("max_plaintext", format!("is {bytes} bytes; it must be 1 to {MOST_PLAINTEXT}")));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_work_and_nonsense_is_named() {
        assert!(Config::default().problems().is_empty());
        let nonsense = Config { capacity: 0, max_plaintext: ByteSize(0) };
        assert_eq!(nonsense.problems().iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["capacity", "max_plaintext"]);
        let huge = Config { max_plaintext: ByteSize(MOST_PLAINTEXT + 1), ..Config::default() };
        assert_eq!(huge.problems(), [("max_plaintext", "is 67108865 bytes; it must be 1 to 67108864".to_owned())]);
    }
}
