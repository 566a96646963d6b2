//! When an answer is no longer wanted. In a process a point in monotonic time; between processes the time that is left,
//! so that clocks need not agree.

use std::time::{Duration, Instant};

/// A point after which work for a request is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The longest time that a request may take.
    pub const LONGEST: Duration = Duration::from_secs(600);

    /// A deadline `left` from now, at most [`Deadline::LONGEST`].
    pub fn after(left: Duration) -> Self {
        Self(Instant::now() + left.min(Self::LONGEST))
    }

    /// From the milliseconds that a message says are left.
    pub fn from_remaining_ms(ms: u32) -> Self {
        Self::after(Duration::from_millis(u64::from(ms)))
    }

    /// What is left, zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// What is left in milliseconds, rounded up, for a message.
    pub fn remaining_ms(self) -> u32 {
        u32::try_from(self.remaining().as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
    }

    /// Whether it has passed.
    pub fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }

    /// The instant itself, for a timer.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// The earlier of this one and `limit` from now: an attempt's own timeout.
    pub fn within(self, limit: Duration) -> Self {
        self.min(Self::after(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_travels() {
        let sent = Deadline::after(Duration::from_secs(5));
        let received = Deadline::from_remaining_ms(sent.remaining_ms());
        assert!(received.remaining() <= Duration::from_millis(5_001));
        assert!(received.remaining() > Duration::from_secs(4));
        assert!(Deadline::from_remaining_ms(0).has_passed());
        assert!(Deadline::from_remaining_ms(u32::MAX).remaining() <= Deadline::LONGEST);
    }

    #[test]
    fn an_attempt_never_outlives_its_request() {
        let request = Deadline::after(Duration::from_millis(10));
        assert_eq!(request.within(Duration::from_secs(9)), request);
        assert!(request.within(Duration::ZERO).has_passed());
    }
}
