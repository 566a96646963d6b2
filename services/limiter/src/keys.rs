//! The active keys: an actor for each, made when it is asked about, let go when it is not.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use arborgate_actor::{Address, Options, TellError, spawn};
use arborgate_contracts::{ErrorCode, Key, ServiceError};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config::Config;
use crate::key::{KeyActor, Look, Shared, Waiting};
use crate::question::Question;

/// When there are as many keys as may be, those that nobody asked about for this long make room …
const IDLE_WHEN_FULL: Duration = Duration::from_secs(1);
/// … looked for at most this often.
const LOOK_WHEN_FULL: Duration = Duration::from_millis(100);

/// A key that is active.
struct Line {
    waiting: Arc<Waiting>,
    address: Address<Look>,
    used: Instant,
}

struct Lines {
    by_key: HashMap<String, Line>,
    looked: Instant,
}

pub(crate) struct Keys {
    shared: Arc<Shared>,
    lines: Mutex<Lines>,
    config: Config,
}

impl Keys {
    pub(crate) fn new(shared: Arc<Shared>, config: Config) -> Self {
        let lines = Lines { by_key: HashMap::new(), looked: Instant::now() };
        Self { shared, lines: Mutex::new(lines), config }
    }

    /// Puts a question before the actor of a key.
    pub(crate) fn put(&self, key: &str, question: Question) -> Result<(), ServiceError> {
        let (waiting, address) = self.line(key)?;
        {
            let mut waiting = waiting.lock();
            if waiting.len() >= self.config.mailbox {
                self.shared.metrics.full("mailbox");
                return Err(busy("too many requests wait for one limit; try again shortly"));
            }
            waiting.push_back(question);
        }
        match address.try_tell(Look) {
            // Full: a look that is yet to come sees this question as well.
            Ok(()) | Err(TellError::Full) => Ok(()),
            Err(TellError::Gone) => {
                // Those who wait learn it as their senders are dropped.
                self.forget(key, &waiting);
                Err(ServiceError::new(ErrorCode::Unavailable, "the limiter is restarting; try again shortly"))
            }
        }
    }

    fn line(&self, key: &str) -> Result<(Arc<Waiting>, Address<Look>), ServiceError> {
        let mut lines = self.lines.lock();
        if lines.by_key.len() >= self.config.keys && !lines.by_key.contains_key(key) {
            if lines.looked.elapsed() >= LOOK_WHEN_FULL {
                self.sweep(&mut lines, IDLE_WHEN_FULL);
            }
            if lines.by_key.len() >= self.config.keys {
                self.shared.metrics.full("keys");
                return Err(busy("too many limits are in use at once; try again shortly"));
            }
        }
        let line = match lines.by_key.entry(key.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                self.shared.metrics.keys.inc();
                vacant.insert(self.begin(key))
            }
        };
        line.used = Instant::now();
        Ok((Arc::clone(&line.waiting), line.address.clone()))
    }

    fn begin(&self, key: &str) -> Line {
        let waiting: Arc<Waiting> = Arc::default();
        let (shared, key, queue) = (Arc::clone(&self.shared), Key::of(&[key]), Arc::clone(&waiting));
        let make = move || KeyActor {
            shared: Arc::clone(&shared),
            key: key.clone(),
            waiting: Arc::clone(&queue),
            known: None,
        };
        // One look that waits is enough; the library's own signals, at most two, take room as well.
        let address = spawn(Options { capacity: 4, ..Options::default() }, make);
        Line { waiting, address, used: Instant::now() }
    }

    fn forget(&self, key: &str, gone: &Arc<Waiting>) {
        let mut lines = self.lines.lock();
        if lines.by_key.get(key).is_some_and(|line| Arc::ptr_eq(&line.waiting, gone)) {
            lines.by_key.remove(key);
            self.shared.metrics.keys.dec();
        }
        drop(lines);
        gone.lock().clear();
    }

    /// Lets go of keys that nobody asked about for a while. An actor ends when the last who asks it has gone.
    pub(crate) fn let_go(&self) {
        self.sweep(&mut self.lines.lock(), self.config.idle_after.get());
    }

    fn sweep(&self, lines: &mut Lines, idle: Duration) {
        lines.looked = Instant::now();
        let before = lines.by_key.len();
        lines.by_key.retain(|_, line| line.used.elapsed() < idle);
        self.shared.metrics.keys.dec_by((before - lines.by_key.len()) as i64);
    }

    /// Answers what waits and ends all actors.
    pub(crate) async fn drain(&self, grace: Duration) {
        let lines = std::mem::take(&mut self.lines.lock().by_key);
        self.shared.metrics.keys.set(0);
        futures_util::future::join_all(lines.values().map(|line| line.address.drain(grace))).await;
    }
}

fn busy(detail: &str) -> ServiceError {
    ServiceError::new(ErrorCode::Overloaded, detail)
}
