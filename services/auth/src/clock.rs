//! The time of day, so that tests can set it. Deadlines are not its business: they are monotonic.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time since 1970. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// The machine's. A time before 1970 is taken for 1970.
    pub(crate) fn system() -> Self {
        Self(Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
    }

    /// Seconds since 1970.
    pub(crate) fn seconds(&self) -> u64 {
        (self.0)().as_secs()
    }

    /// Microseconds since 1970.
    pub(crate) fn micros(&self) -> u64 {
        u64::try_from((self.0)().as_micros()).unwrap_or(u64::MAX)
    }

    /// Seconds since 1970 that `seconds` tells.
    #[cfg(test)]
    pub(crate) fn set_by(seconds: Arc<std::sync::atomic::AtomicU64>) -> Self {
        Self(Arc::new(move || Duration::from_secs(seconds.load(std::sync::atomic::Ordering::SeqCst))))
    }
}
