//! Whose turn it is: the state behind the pool's one lock. No thread, no clock and no arithmetic of models; every
//! operation is short.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use arborgate_contracts::ServiceError;

use super::ready::{Ready, Urgency};
use crate::job::Job;
use crate::kernel::Kernel;
use crate::metrics::{Metrics, Reason};

/// Waiting work that takes longer than this is worth waking a thread for, in nanoseconds; handing a shorter one over
/// costs about as much as waiting for a thread that is awake.
const WORTH_WAKING_NS: u64 = 50_000;
/// Work that takes less than this is done by who brings it: handing it over and waking its caller costs more, and an
/// async task may compute for so long.
const AT_ONCE_NS: u64 = 20_000;
/// Values of one batch's input, and of its output, at most: what a thread's buffers hold.
const BATCH_VALUES: usize = 1 << 20;
/// A batch of fewer rows is measured as a whole, since the rows are not what it costs.
const FEW_ROWS: usize = 64;
/// What nobody waits for is computed in batches of about so many nanoseconds: as long may it stand in the way of what
/// somebody waits for.
const LATER_BATCH_NS: u64 = 2_000_000;

pub(super) type LineId = u64;

#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) queue_rows: usize,
    pub(super) batch_rows: usize,
    pub(super) split_rows: usize,
    pub(super) threads: usize,
}

/// Rows of one segment that wait.
pub(super) struct Task {
    job: Arc<Job>,
    segment: usize,
    next: usize,
    end: usize,
}

impl Task {
    pub(super) fn rows(&self) -> usize {
        self.end - self.next
    }

    pub(super) fn refuse(self, metrics: &Metrics, reason: Reason, detail: &str) {
        metrics.refused(reason);
        self.job.refuse(self.segment, self.rows(), ServiceError::new(reason.code(), detail));
    }
}

/// Rows that a thread has taken to compute.
pub(super) struct Part {
    pub(super) job: Arc<Job>,
    pub(super) segment: usize,
    pub(super) row: usize,
    pub(super) rows: usize,
}

/// What a thread has taken. Its buffers are used again.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) line: LineId,
    pub(super) kernel: Option<Arc<dyn Kernel>>,
    pub(super) parts: Vec<Part>,
    pub(super) rows: usize,
    /// Long enough that the thread does not count as one that looks for work soon.
    long: bool,
    /// Taken only to be refused.
    pub(super) moot: Vec<(Task, Reason)>,
}

struct Waiting {
    urgency: Urgency,
    kernel: Arc<dyn Kernel>,
    tasks: VecDeque<Task>,
    rows: usize,
    /// Nanoseconds of a batch of few rows, and of a row among many: moving averages.
    few_ns: u64,
    row_ns: u64,
}

impl Waiting {
    fn estimate_ns(&self, rows: usize) -> u64 {
        if rows < FEW_ROWS { self.few_ns } else { self.row_ns.saturating_mul(rows as u64) }
    }
}

/// What a thread that asked for work gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The batch is filled; `wake`: there is work for another thread too.
    Work { wake: bool },
    /// Nothing to do.
    Idle,
    /// The pool ends.
    Closed,
}

/// Why a task does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Now,
    Always { limit: usize },
    Closed,
}

pub(super) struct Schedule {
    limits: Limits,
    lines: HashMap<LineId, Waiting>,
    next_id: LineId,
    /// Lines with work.
    ready: Ready,
    parked: usize,
    /// Wake-ups granted and not yet taken.
    granted: usize,
    /// Threads that will look for work before long: those granted a wake-up and those at a short batch.
    soon: usize,
    closed: bool,
}

impl Schedule {
    pub(super) fn new(limits: Limits) -> Self {
        let soon = limits.threads;
        Self {
            limits,
            lines: HashMap::new(),
            next_id: 0,
            ready: Ready::default(),
            parked: 0,
            granted: 0,
            soon,
            closed: false,
        }
    }

    pub(super) fn open(&mut self, kernel: Arc<dyn Kernel>, trial_ns: u64, urgency: Urgency) -> LineId {
        let id = self.next_id;
        self.next_id += 1;
        // A row among many costs far less than one alone.
        let row_ns = (trial_ns / 8).max(1);
        let waiting = Waiting { urgency, kernel, tasks: VecDeque::new(), rows: 0, few_ns: trial_ns, row_ns };
        self.lines.insert(id, waiting);
        id
    }

    /// Forgets a line; what waited is given, to be dropped outside the lock.
    pub(super) fn drop_line(&mut self, id: LineId) -> VecDeque<Task> {
        self.ready.remove(id);
        self.lines.remove(&id).map(|line| line.tasks).unwrap_or_default()
    }

    /// Queues segments of a job; true: a thread is to be woken.
    pub(super) fn push(
        &mut self,
        id: LineId,
        job: &Arc<Job>,
        segments: Vec<(usize, usize)>,
        full: &mut Vec<(Task, Full)>,
    ) -> bool {
        let Some(line) = self.lines.get_mut(&id) else { return false };
        let was_empty = line.tasks.is_empty();
        for (segment, rows) in segments {
            let task = Task { job: Arc::clone(job), segment, next: 0, end: rows };
            let limit = self.limits.queue_rows;
            if self.closed {
                full.push((task, Full::Closed));
            } else if rows > limit {
                full.push((task, Full::Always { limit }));
            } else if line.rows + rows > limit {
                full.push((task, Full::Now));
            } else {
                line.rows += rows;
                line.tasks.push_back(task);
            }
        }
        if was_empty && !line.tasks.is_empty() {
            self.ready.push(id, line.urgency);
        }
        let waiting_ns = line.estimate_ns(line.rows);
        self.wake_for(waiting_ns)
    }

    /// Whether so many rows are to be computed by who brings them: few enough, and nothing waits before them.
    pub(super) fn at_once(&self, id: LineId, rows: usize) -> bool {
        let few = rows < FEW_ROWS && rows <= self.limits.queue_rows;
        let free = |line: &Waiting| line.tasks.is_empty() && line.few_ns <= AT_ONCE_NS;
        few && !self.closed && self.lines.get(&id).is_some_and(free)
    }

    /// Decides whether one more thread should look for work, and grants it the wake-up.
    fn wake_for(&mut self, waiting_ns: u64) -> bool {
        let soon = self.soon as u64;
        let wake = !self.ready.is_empty()
            && self.parked > 0
            && (soon == 0
                || waiting_ns > WORTH_WAKING_NS.saturating_mul(soon)
                || self.ready.len() > self.soon.saturating_mul(4));
        if wake {
            self.parked -= 1;
            self.granted += 1;
            self.soon += 1;
        }
        wake
    }

    /// Fills `batch` with the work of the line whose turn it is. A thread that asks counts as one that looks soon, until
    /// it has taken a long batch or parks.
    pub(super) fn take(&mut self, batch: &mut Batch, now: Instant) -> Turn {
        if std::mem::take(&mut batch.long) {
            self.soon += 1;
        }
        loop {
            if self.closed {
                return Turn::Closed;
            }
            let Some(id) = self.ready.pop() else { return Turn::Idle };
            let Some(line) = self.lines.get_mut(&id) else { continue };
            fill(line, batch, &self.limits, now);
            batch.line = id;
            let batch_ns = line.estimate_ns(batch.rows);
            let left_ns = line.estimate_ns(line.rows);
            if !line.tasks.is_empty() {
                self.ready.push(id, line.urgency);
            }
            if batch.parts.is_empty() && batch.moot.is_empty() {
                continue;
            }
            if batch.rows > 0 && batch_ns > WORTH_WAKING_NS {
                self.soon = self.soon.saturating_sub(1);
                batch.long = true;
            }
            return Turn::Work { wake: self.wake_for(left_ns) };
        }
    }

    /// A batch was computed in so many nanoseconds.
    pub(super) fn measured(&mut self, id: LineId, rows: usize, ns: u64) {
        if let Some(line) = self.lines.get_mut(&id) {
            let (average, sample) =
                if rows < FEW_ROWS { (&mut line.few_ns, ns) } else { (&mut line.row_ns, (ns / rows as u64).max(1)) };
            *average = (*average * 7 + sample) / 8;
        }
    }

    /// A thread found nothing.
    pub(super) fn park(&mut self) {
        self.soon = self.soon.saturating_sub(1);
        self.parked += 1;
    }

    /// A parked thread takes a wake-up; false: it was not meant.
    pub(super) fn unpark(&mut self) -> bool {
        if self.granted > 0 {
            self.granted -= 1;
            return true;
        }
        self.closed
    }

    /// Takes no more work; what waited is given, to be refused.
    pub(super) fn close(&mut self) -> Vec<Task> {
        self.closed = true;
        self.ready.clear();
        self.lines.values_mut().flat_map(|line| line.tasks.drain(..)).collect()
    }
}

/// Takes from the front of a line: this thread's share of what waits, and all of it when that is little.
fn fill(line: &mut Waiting, batch: &mut Batch, limits: &Limits, now: Instant) {
    let widest = line.kernel.columns().max(line.kernel.width()).max(line.kernel.labels()).max(1);
    let share = line.rows.div_ceil(limits.threads).max(limits.split_rows);
    let mut budget = share.min(limits.batch_rows).min((BATCH_VALUES / widest).max(1));
    if line.urgency == Urgency::Later {
        let rows = usize::try_from(LATER_BATCH_NS / line.row_ns.max(1)).unwrap_or(usize::MAX);
        budget = budget.min(rows.max(1));
    }
    batch.kernel = Some(Arc::clone(&line.kernel));
    while let Some(task) = line.tasks.front_mut() {
        if let Some(reason) = task.job.moot(task.segment, now) {
            line.rows -= task.rows();
            batch.moot.extend(line.tasks.pop_front().map(|task| (task, reason)));
            continue;
        }
        let room = budget - batch.rows;
        let rows = if task.rows() <= room {
            task.rows()
        } else if batch.rows == 0 || (room >= limits.split_rows && task.rows() > limits.split_rows) {
            room
        } else {
            break;
        };
        if rows == 0 {
            break;
        }
        batch.parts.push(Part { job: Arc::clone(&task.job), segment: task.segment, row: task.next, rows });
        batch.rows += rows;
        line.rows -= rows;
        task.next += rows;
        if task.rows() == 0 {
            line.tasks.pop_front();
        }
    }
}
