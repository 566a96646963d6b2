//! What this edge has asked of a version, since it knows it: counts and times, as the statistics extension of the Open
//! Inference Protocol has them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arborgate_contracts::wire::Answer;

/// How often, and how long together.
#[derive(Debug, Default)]
struct Timed {
    count: AtomicU64,
    ns: AtomicU64,
}

impl Timed {
    fn add(&self, took: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn now(&self) -> Counted {
        Counted { count: self.count.load(Ordering::Relaxed), ns: self.ns.load(Ordering::Relaxed) }
    }
}

/// How often, and nanoseconds together, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// How often.
    pub count: u64,
    /// Nanoseconds together.
    pub ns: u64,
}

/// Of one version.
#[derive(Debug, Default)]
pub struct Statistics {
    success: Timed,
    fail: Timed,
    queue: Timed,
    compute_input: Timed,
    compute_infer: Timed,
    compute_output: Timed,
    rows: AtomicU64,
    executions: AtomicU64,
    last_ms: AtomicU64,
}

/// The same at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that were answered, from when their rows were read.
    pub success: Counted,
    /// Requests that were not, of whatever cause.
    pub fail: Counted,
    /// Time in a worker's queue.
    pub queue: Counted,
    /// Time in which tensors were read.
    pub compute_input: Counted,
    /// Time in which a worker computed.
    pub compute_infer: Counted,
    /// Time in which tensors were written.
    pub compute_output: Counted,
    /// Rows that were predicted.
    pub rows: u64,
    /// Messages that workers answered: of several requests, or of a part of a large one.
    pub executions: u64,
    /// The last request's time, in milliseconds since 1970; 0: there was none.
    pub last_ms: u64,
}

impl Statistics {
    /// A request was answered.
    pub fn answered(&self, answer: &Answer, took: Duration) {
        self.success.add(took);
        self.queue.add(Duration::from_micros(answer.queued_us.into()));
        self.compute_infer.add(Duration::from_micros(answer.computed_us.into()));
        self.rows.fetch_add(answer.rows.into(), Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_ms.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A request was not.
    pub fn failed(&self, took: Duration) {
        self.fail.add(took);
    }

    /// A worker answered a message.
    pub fn executed(&self) {
        self.executions.fetch_add(1, Ordering::Relaxed);
    }

    /// Tensors were read.
    pub fn input(&self, took: Duration) {
        self.compute_input.add(took);
    }

    /// Tensors were written.
    pub fn output(&self, took: Duration) {
        self.compute_output.add(took);
    }

    /// At this moment.
    pub fn totals(&self) -> Totals {
        Totals {
            success: self.success.now(),
            fail: self.fail.now(),
            queue: self.queue.now(),
            compute_input: self.compute_input.now(),
            compute_infer: self.compute_infer.now(),
            compute_output: self.compute_output.now(),
            rows: self.rows.load(Ordering::Relaxed),
            executions: self.executions.load(Ordering::Relaxed),
            last_ms: self.last_ms.load(Ordering::Relaxed),
        }
    }
}
