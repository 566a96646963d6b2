//! What a process waits for before it is ready, by name.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::RwLock;
use serde::Serialize;

/// The checks of a process, shared by its clones. Ready is a process that has a check, whose checks are all ready, and
/// that is not shutting down.
#[derive(Clone, Debug, Default)]
pub struct Health {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    checks: RwLock<Vec<(String, CheckHandle)>>,
    total: AtomicUsize,
    /// Shared with the handles, so that asking is cheap and takes no lock.
    waiting: Arc<AtomicUsize>,
    draining: AtomicBool,
}

/// Sets one check; its clones set the same.
#[derive(Clone, Debug)]
pub struct CheckHandle {
    // None is ready
    reason: Arc<RwLock<Option<String>>>,
    waiting: Arc<AtomicUsize>,
}

/// A check as `/readyz` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckState {
    pub name: String,
    pub ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Health {
    pub fn new() -> Self {
        Self::default()
    }

    /// The check of that name, which is not ready at first.
    pub fn check(&self, name: &str) -> CheckHandle {
        let mut checks = self.inner.checks.write();
        if let Some((_, known)) = checks.iter().find(|(known, _)| known == name) {
            return known.clone();
        }
        let waiting = Arc::clone(&self.inner.waiting);
        waiting.fetch_add(1, Ordering::AcqRel);
        let handle = CheckHandle { reason: Arc::new(RwLock::new(Some("starting".to_owned()))), waiting };
        checks.push((name.to_owned(), handle.clone()));
        self.inner.total.fetch_add(1, Ordering::AcqRel);
        handle
    }

    pub fn is_ready(&self) -> bool {
        self.inner.total.load(Ordering::Acquire) > 0
            && self.inner.waiting.load(Ordering::Acquire) == 0
            && !self.is_draining()
    }

    /// From now on not ready: no new requests should be sent here.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Release);
    }

    pub fn is_draining(&self) -> bool {
        self.inner.draining.load(Ordering::Acquire)
    }

    /// All checks, in the order in which they were made.
    pub fn checks(&self) -> Vec<CheckState> {
        let checks = self.inner.checks.read();
        checks
            .iter()
            .map(|(name, handle)| {
                let reason = handle.reason.read().clone();
                CheckState { name: name.clone(), ready: reason.is_none(), reason }
            })
            .collect()
    }
}

impl CheckHandle {
    pub fn ready(&self) {
        // counted under the lock, so that the count is never behind what the reasons say
        let mut reason = self.reason.write();
        if reason.take().is_some() {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// `reason` is shown to whoever asks: no secrets.
    pub fn not_ready(&self, reason: impl Into<String>) {
        let mut current = self.reason.write();
        if current.replace(reason.into()).is_none() {
            self.waiting.fetch_add(1, Ordering::AcqRel);
        }
    }

    pub fn is_ready(&self) -> bool {
        self.reason.read().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_when_all_are() {
        let health = Health::new();
        assert!(!health.is_ready());
        let bus = health.check("bus");
        let models = health.check("models");
        assert!(!health.is_ready());
        bus.ready();
        bus.ready();
        assert!(!health.is_ready());
        models.ready();
        assert!(health.is_ready());
        // the same check by the same name
        health.check("bus").not_ready("waiting for NATS");
        health.check("bus").not_ready("still waiting for NATS");
        assert!(!health.is_ready() && !bus.is_ready());
        let states = health.checks();
        assert_eq!(states.len(), 2);
        assert_eq!(states[0].reason.as_deref(), Some("still waiting for NATS"));
        assert!(states[1].ready && states[1].name == "models");
        bus.ready();
        assert!(health.is_ready());
        health.clone().drain();
        assert!(!health.is_ready() && health.is_draining());
    }

    #[test]
    fn many_hands_do_not_lose_count() {
        let health = Health::new();
        let check = health.check("bus");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        check.not_ready("x");
                        check.ready();
                    }
                });
            }
        });
        assert!(health.is_ready());
    }
}
