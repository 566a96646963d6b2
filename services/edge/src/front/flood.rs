//! The edge's own guard against floods, before anybody is known: by address, in memory, much too coarse to be a limit.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use arborgate_contracts::ErrorCode;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use super::problem::Problem;
use crate::config::Flood;

/// Checks after which addresses that were long silent are forgotten.
const FORGET_EVERY: u32 = 65_536;

/// By address: IPv6 by its /64.
pub struct Guard {
    limiter: Option<DefaultKeyedRateLimiter<u128>>,
    clock: DefaultClock,
    checks: AtomicU32,
}

impl Guard {
    /// As configured.
    pub fn new(config: &Flood) -> Self {
        let quota = NonZeroU32::new(config.per_second)
            .zip(NonZeroU32::new(config.burst))
            .map(|(rate, burst)| Quota::per_second(rate).allow_burst(burst));
        Self {
            limiter: quota.map(DefaultKeyedRateLimiter::keyed),
            clock: DefaultClock::default(),
            checks: AtomicU32::new(0),
        }
    }

    /// Whether a request from this address is looked at.
    pub fn check(&self, address: IpAddr) -> Result<(), Problem> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        if self.checks.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            limiter.retain_recent();
        }
        let network = match address.to_canonical() {
            IpAddr::V4(v4) => u128::from(u32::from(v4)),
            IpAddr::V6(v6) => u128::from(v6) & !u128::from(u64::MAX),
        };
        limiter.check_key(&network).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            Problem {
                retry_after_ms: Some(wait),
                ..Problem::new(ErrorCode::RateLimited, "too many requests from this address; slow down")
            }
        })
    }
}
