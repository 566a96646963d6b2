//! One thread of the pool: takes a batch, copies its rows together, computes, hands out the results. Its buffers are used
//! again for every batch. A panic of a kernel is that batch's, never the thread's.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use arborgate_contracts::{ErrorCode, ServiceError};
use ndarray::{ArrayView2, ArrayViewMut2};

use super::Shared;
use super::schedule::{Batch, Part};
use crate::job::Computed;
use crate::kernel::{Kernel, Refused};
use crate::metrics::{Metrics, Reason};

#[derive(Default)]
struct Buffers {
    rows: Vec<f64>,
    values: Vec<f64>,
    labels: Vec<u32>,
}

/// Why rows gave nothing.
enum Failure {
    Refused(Refused),
    Panicked,
}

pub(super) fn run(shared: &Shared) {
    let mut batch = Batch::default();
    let mut buffers = Buffers::default();
    let mut took = None;
    while shared.next(&mut batch, took.take()) {
        for (task, reason) in batch.moot.drain(..) {
            task.refuse(&shared.metrics, reason, "the deadline passed while the rows waited");
        }
        let Some(kernel) = batch.kernel.take() else { continue };
        if !batch.parts.is_empty() {
            let ns = timed(&*kernel, &batch.parts, &mut buffers, &shared.metrics);
            took = Some((batch.line, batch.rows, ns));
        }
        batch.parts.clear();
        batch.rows = 0;
    }
}

/// Computes a few rows in the caller's thread; the nanoseconds that it took.
pub(super) fn compute_here(kernel: &dyn Kernel, parts: &[Part], metrics: &Metrics) -> u64 {
    thread_local! {
        static BUFFERS: RefCell<Buffers> = RefCell::default();
    }
    BUFFERS.with_borrow_mut(|buffers| timed(kernel, parts, buffers, metrics))
}

fn timed(kernel: &dyn Kernel, parts: &[Part], buffers: &mut Buffers, metrics: &Metrics) -> u64 {
    let started = Instant::now();
    compute(kernel, parts, buffers, metrics, started);
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Computes parts together. When the model refuses a row among them, each part is computed by itself, so that only the
/// one at fault is refused.
fn compute(kernel: &dyn Kernel, parts: &[Part], buffers: &mut Buffers, metrics: &Metrics, started: Instant) {
    match together(kernel, parts, buffers) {
        Ok(()) => hand_out(kernel, parts, buffers, metrics, started),
        Err(Failure::Refused(why)) => match parts {
            [part] => refuse_rows(part, &why, metrics),
            parts => parts.iter().map(std::slice::from_ref).for_each(|part| {
                compute(kernel, part, buffers, metrics, started);
            }),
        },
        Err(Failure::Panicked) => {
            metrics.panics.inc();
            kernel.panicked();
            tracing::error!(rows = parts.iter().map(|p| p.rows).sum::<usize>(), "a model panicked while computing");
            for part in parts {
                metrics.refused(Reason::Internal);
                part.job.refuse(part.segment, part.rows, ServiceError::internal());
            }
        }
    }
}

fn together(kernel: &dyn Kernel, parts: &[Part], buffers: &mut Buffers) -> Result<(), Failure> {
    let Buffers { rows: gathered, values, labels } = buffers;
    let rows: usize = parts.iter().map(|part| part.rows).sum();
    let input = match parts {
        [part] => part.job.input(part.segment, part.row, part.rows),
        parts => {
            gathered.clear();
            for part in parts {
                gathered.extend_from_slice(part.job.input(part.segment, part.row, part.rows));
            }
            gathered
        }
    };
    values.clear();
    values.resize(rows * kernel.width(), 0.0);
    labels.clear();
    labels.resize(rows * kernel.labels(), 0);
    let shapes = (
        ArrayView2::from_shape((rows, kernel.columns()), input),
        ArrayViewMut2::from_shape((rows, kernel.width()), values),
        ArrayViewMut2::from_shape((rows, kernel.labels()), labels),
    );
    let (Ok(input), Ok(values), Ok(labels)) = shapes else {
        return Err(Failure::Refused(Refused::Call("the rows do not have the model's columns".into())));
    };
    match catch_unwind(AssertUnwindSafe(|| kernel.predict(input, values, labels))) {
        Ok(outcome) => outcome.map_err(Failure::Refused),
        Err(_) => Err(Failure::Panicked),
    }
}

fn hand_out(kernel: &dyn Kernel, parts: &[Part], buffers: &Buffers, metrics: &Metrics, started: Instant) {
    let ended = Instant::now();
    let (mut values, mut labels) = (buffers.values.as_slice(), buffers.labels.as_slice());
    let mut rows = 0;
    for part in parts {
        let (these_values, more_values) = values.split_at(part.rows * kernel.width());
        let (these_labels, more_labels) = labels.split_at(part.rows * kernel.labels());
        (values, labels) = (more_values, more_labels);
        rows += part.rows;
        let waited = started.saturating_duration_since(part.job.arrived());
        metrics.queue_seconds.observe(waited.as_secs_f64());
        part.job.complete(&Computed {
            segment: part.segment,
            row: part.row,
            rows: part.rows,
            values: these_values,
            labels: these_labels,
            started,
            ended,
        });
    }
    metrics.rows.inc_by(rows as u64);
    metrics.batches.inc();
    metrics.batch_rows.observe(rows as f64);
    metrics.compute_seconds.observe(ended.saturating_duration_since(started).as_secs_f64());
}

fn refuse_rows(part: &Part, why: &Refused, metrics: &Metrics) {
    metrics.refused(Reason::Invalid);
    let detail = match why {
        Refused::Row { row, column, problem } => format!("row {}, column {column} {problem}", part.row + row),
        Refused::Call(problem) => problem.clone(),
    };
    part.job.refuse(part.segment, part.rows, ServiceError::new(ErrorCode::Invalid, detail));
}
