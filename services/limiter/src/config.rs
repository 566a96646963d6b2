//! What an operator may set for this service, and what values can work.

use std::time::Duration;

use arborgate_runtime::config::HumanDuration;
use serde::Deserialize;

/// The section `limiter` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Requests under way at once on each subject; more are refused.
    pub capacity: usize,
    /// Questions that may wait for one key; more are refused as overloaded.
    pub mailbox: usize,
    /// Keys that are active at once; more are refused as overloaded. Each costs about 8 KiB of memory, and its log.
    pub keys: usize,
    /// A key that nobody asked about for this long is no longer active. Its log stays in its bucket.
    pub idle_after: HumanDuration,
    /// By how much the clocks of replicas may differ: every window is counted as longer by this.
    pub clock_tolerance: HumanDuration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            capacity: 1_024,
            mailbox: 1_024,
            keys: 16_384,
            idle_after: HumanDuration(Duration::from_secs(60)),
            clock_tolerance: HumanDuration(Duration::from_millis(10)),
        }
    }
}

const LONGEST_TOLERANCE: Duration = Duration::from_secs(60);
const MOST: usize = 1 << 20;

impl Config {
    /// What is wrong: each key below `limiter`, and why.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        for (key, value) in [("capacity", self.capacity), ("mailbox", self.mailbox), ("keys", self.keys)] {
            if value == 0 || value > MOST {
                problems.push((key, format!("is {value}; it must be from 1 to {MOST}")));
            }
        }
        if self.idle_after.get() < Duration::from_secs(1) {
            problems.push(("idle_after", format!("is {}; it must be at least 1s", self.idle_after)));
        }
        if self.clock_tolerance.get() > LONGEST_TOLERANCE {
            problems.push(("clock_tolerance", format!("is {}; it must be at most 1m", self.clock_tolerance)));
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
        let text = r#"{"capacity": 0, "keys": 9999999, "idle_after": "10ms", "clock_tolerance": "2m"}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        let keys: Vec<_> = config.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["capacity", "keys", "idle_after", "clock_tolerance"]);
        assert!(serde_json::from_str::<Config>(r#"{"key": 1}"#).is_err());
    }
}
