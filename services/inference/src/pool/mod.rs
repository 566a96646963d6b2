//! The compute pool: a thread a processor for all model versions. Each version has a [`Line`] in which rows wait, bounded;
//! threads take turns over the lines that have work. Nothing here is async, and what async tasks compute themselves is
//! cheaper than handing it over.
//!
//! Results depend neither on the number of threads nor on which rows were taken together.

mod ready;
mod schedule;
mod worker;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::config::Config;
use crate::job::Job;
use crate::kernel::Kernel;
use crate::metrics::{Metrics, Reason};
pub(crate) use ready::Urgency;
use schedule::{Batch, Full, Limits, LineId, Part, Schedule, Turn};

/// How often a thread without work lets others run before it sleeps: those that were about to bring more do so, and
/// need not wake it. Measured with callers that come back at once: at 2 to 16 of them it halves the cost of a handover.
const YIELDS: usize = 2;

/// The threads. Dropped, it ends them without waiting.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    schedule: Mutex<Schedule>,
    wake: Condvar,
    metrics: Metrics,
}

impl Pool {
    pub(crate) fn start(config: &Config, metrics: Metrics) -> std::io::Result<Self> {
        let limits = Limits {
            queue_rows: config.queue_rows,
            batch_rows: config.batch_rows,
            split_rows: config.split_rows,
            threads: config.thread_count(),
        };
        let schedule = Mutex::new(Schedule::new(limits));
        let shared = Arc::new(Shared { schedule, wake: Condvar::new(), metrics });
        let mut pool = Self { shared, threads: Vec::with_capacity(config.thread_count()) };
        for number in 0..config.thread_count() {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new().name(format!("predict-{number}"));
            pool.threads.push(thread.spawn(move || worker::run(&shared))?);
        }
        Ok(pool)
    }

    /// Where versions get their lines.
    pub(crate) fn lines(&self) -> Lines {
        Lines(Arc::clone(&self.shared))
    }

    /// Takes no more work, refuses what waits, and gives the threads to be joined.
    pub(crate) fn close(mut self) -> Vec<JoinHandle<()>> {
        self.shared.close();
        std::mem::take(&mut self.threads)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    /// A panic inside the lock would be a defect of the few lines here; the state stays what it was.
    fn lock(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let waiting = self.lock().close();
        self.wake.notify_all();
        for task in waiting {
            task.refuse(&self.metrics, Reason::Closing, "the worker is stopping; ask another");
        }
    }

    /// The next batch into `batch`, waiting for it; false when the pool ends. `took` is what the last one took.
    fn next(&self, batch: &mut Batch, took: Option<(LineId, usize, u64)>) -> bool {
        let mut schedule = self.lock();
        if let Some((line, rows, ns)) = took {
            schedule.measured(line, rows, ns);
        }
        let mut yields = YIELDS;
        loop {
            match schedule.take(batch, Instant::now()) {
                Turn::Work { wake } => {
                    drop(schedule);
                    if wake {
                        self.wake.notify_one();
                    }
                    return true;
                }
                Turn::Closed => return false,
                Turn::Idle if yields > 0 => {
                    yields -= 1;
                    drop(schedule);
                    std::thread::yield_now();
                    schedule = self.lock();
                    continue;
                }
                Turn::Idle => schedule.park(),
            }
            while !schedule.unpark() {
                schedule = self.wake.wait(schedule).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// See [`Pool::lines`]. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lines(Arc<Shared>);

impl Lines {
    /// A line for a version. `trial_ns` is what one row took: what its work will cost is estimated from it.
    pub(crate) fn open(&self, kernel: Arc<dyn Kernel>, trial_ns: u64, urgency: Urgency) -> Line {
        let id = self.0.lock().open(Arc::clone(&kernel), trial_ns, urgency);
        Line { id, kernel, shared: Arc::clone(&self.0) }
    }
}

/// Where the rows of one version wait. Dropped, what waits is forgotten: its callers hold the line as long as they wait.
pub(crate) struct Line {
    id: LineId,
    kernel: Arc<dyn Kernel>,
    shared: Arc<Shared>,
}

impl Line {
    pub(crate) fn kernel(&self) -> &dyn Kernel {
        &*self.kernel
    }

    /// Queues what the job admits, or computes it here when that costs less; what does not fit is refused in it.
    pub(crate) fn push(&self, job: &Arc<Job>) {
        let segments = job.admitted();
        let rows = segments.iter().map(|(_, rows)| rows).sum();
        let mut full = Vec::new();
        let wake = {
            let mut schedule = self.shared.lock();
            if schedule.at_once(self.id, rows) {
                drop(schedule);
                return self.compute(job, &segments, rows);
            }
            schedule.push(self.id, job, segments, &mut full)
        };
        if wake {
            self.shared.wake.notify_one();
        }
        for (task, why) in full {
            match why {
                Full::Now => {
                    let detail = "too many rows wait for this model; try again shortly";
                    task.refuse(&self.shared.metrics, Reason::Overloaded, detail);
                }
                Full::Always { limit } => {
                    let detail = format!("{} rows at once; a worker takes at most {limit}", task.rows());
                    task.refuse(&self.shared.metrics, Reason::TooLarge, &detail);
                }
                Full::Closed => {
                    task.refuse(&self.shared.metrics, Reason::Closing, "the worker is stopping; ask another");
                }
            }
        }
    }

    fn compute(&self, job: &Arc<Job>, segments: &[(usize, usize)], rows: usize) {
        let part =
            |(segment, rows): &(usize, usize)| Part { job: Arc::clone(job), segment: *segment, row: 0, rows: *rows };
        let parts: Vec<Part> = segments.iter().map(part).collect();
        let ns = worker::compute_here(&*self.kernel, &parts, &self.shared.metrics);
        self.shared.lock().measured(self.id, rows, ns);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let forgotten = self.shared.lock().drop_line(self.id);
        drop(forgotten);
    }
}

#[cfg(test)]
mod tests;
