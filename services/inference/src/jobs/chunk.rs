//! The rows of one chunk: predicted by the pool, behind what somebody waits for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arborgate_bus::Delivery;
use arborgate_contracts::jobs::{ChunkMessage, Files, Job, Kind, Problem, RowFault};
use arborgate_contracts::registry::manifest_key;
use arborgate_contracts::wire::{Asked, Segment};
use arborgate_contracts::{Deadline, ErrorCode};
use arborgate_forest::{Compiled, Output, PredictError};
use arborgate_tables::Answers;
use ndarray::{Array2, ArrayView2};

use super::{Ended, Models, Shared, grid, settle};
use crate::job;
use crate::model::Call;
use crate::pool::{Line, Urgency};
use crate::table::{Loaded, There};

/// How long a model that this worker does not hold is waited for, before another worker is to try.
const WAIT: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Rows that are explained together: each may take long.
const EXPLAINED: usize = 256;

/// Works on a message of the queue.
pub(super) async fn work(shared: &Shared, taken: Delivery) {
    let Ok(message) = serde_json::from_slice::<ChunkMessage>(&taken.payload) else {
        tracing::error!("a message of a job's rows can not be read; it is dropped");
        return drop(taken.ack().await);
    };
    let outcome = if taken.exhausted {
        Err(Ended::Fault("a part of the rows could not be predicted, after many tries".to_owned()))
    } else {
        taken.held(answer(shared, &message)).await
    };
    if let Err(Ended::Fault(reason)) = &outcome
        && let Err(error) = shared.records.fail(&message.job, reason).await
    {
        return settle(taken, &message.job, Err(error.into())).await;
    }
    settle(taken, &message.job, outcome).await;
}

async fn answer(shared: &Shared, message: &ChunkMessage) -> Result<(), Ended> {
    let ChunkMessage { job: id, chunk, first, .. } = message;
    let records = &shared.records;
    let job = records.job(id).await?.filter(|job| !job.state.is_final()).ok_or(Ended::Moot)?;
    let progress = records.progress(id).await?.ok_or(Ended::Moot)?;
    if progress.has(*chunk) {
        return Ok(());
    }
    let Some(loaded) = held(shared, &job).await? else {
        // Another worker may hold it.
        records.publish(&ChunkMessage { round: message.round.wrapping_add(1), ..message.clone() }).await?;
        return Ok(());
    };
    // Not there: it was answered meanwhile, or the job is over. Whoever goes on with the job sees to it.
    let Some(bytes) = records.get(&Files(id).chunk(*chunk)).await? else { return Err(Ended::Moot) };
    let (columns, values) = grid::numbers(bytes).map_err(|error| Ended::Fault(error.to_string()))?;
    let rows = values.len().checked_div(columns).unwrap_or(0) as u64;
    match predict(shared, &loaded, job.wish.kind, columns, values, *first).await? {
        Ok(answers) => {
            records.put(&Files(id).piece(*chunk), &grid::of_answers(&answers)).await?;
            records.count(id, *chunk, rows).await?;
            shared.metrics.job_rows.inc_by(rows);
        }
        Err(fault) => records.note_fault(id, &fault).await?,
    }
    Ok(())
}

/// The job's model as this worker holds it; none: it does not, though the version is there.
async fn held(shared: &Shared, job: &Job) -> Result<Option<Arc<Loaded>>, Ended> {
    let until = Instant::now() + WAIT;
    loop {
        let Models { table, calls, .. } = &shared.models;
        match table.get(&job.model, &job.version, Instant::now()) {
            Some(There::Loaded(_)) => {
                if let Some(loaded) = table.get_same(&job.model, &job.version, &job.artifact) {
                    return Ok(Some(loaded));
                }
            }
            // A call that finds no room is made again.
            Some(There::Resting) => drop(calls.try_send((manifest_key(&job.model, &job.version), Call::Wake))),
            None => {}
        }
        shared.records.manifest(job).await?;
        if Instant::now() >= until {
            return Ok(None);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn asked(kind: Kind) -> Asked {
    match kind {
        Kind::Label => Asked::LABELS,
        Kind::Proba => Asked::VALUES,
        Kind::Raw => Asked::MARGINS,
        Kind::Shap => Asked::CONTRIBUTIONS,
    }
}

/// The answers to all rows, or the first row that the model does not take.
async fn predict(
    shared: &Shared,
    loaded: &Loaded,
    kind: Kind,
    columns: usize,
    values: Vec<f64>,
    first: u64,
) -> Result<Result<Answers, RowFault>, Ended> {
    let line = loaded.ways.other(asked(kind), Urgency::Later).await;
    let line = line.map_err(|error| match error.code {
        ErrorCode::Invalid => Ended::Fault(error.detail),
        _ => Ended::Io { what: "making a model ready", source: std::io::Error::other(error) },
    })?;
    if columns != line.kernel().columns() {
        return Err(Ended::Fault(grid::Unreadable.to_string()));
    }
    let slice = if kind == Kind::Shap { EXPLAINED } else { shared.slice };
    let (mut numbers, mut places) = (Vec::new(), Vec::new());
    for (i, rows) in values.chunks(slice.max(1) * columns.max(1)).enumerate() {
        match slice_answer(&line, columns, rows).await? {
            Some((more, labels)) => {
                numbers.extend(more);
                places.extend(labels);
            }
            None => {
                let begin = first + (i * slice.max(1)) as u64;
                return fault(Arc::clone(loaded.ways.compiled()), columns, rows.to_vec(), begin).await.map(Err);
            }
        }
    }
    let count = values.len().checked_div(columns).unwrap_or(0);
    let shaped = match kind {
        Kind::Label => Array2::from_shape_vec((count, line.kernel().labels()), places).map(Answers::Places),
        _ => Array2::from_shape_vec((count, line.kernel().width()), numbers).map(Answers::Numbers),
    };
    shaped.map(Ok).map_err(|_| Ended::Panicked)
}

/// Values and labels of some rows; none: the model does not take one of them.
async fn slice_answer(line: &Line, columns: usize, rows: &[f64]) -> Result<Option<(Vec<f64>, Vec<u32>)>, Ended> {
    let count = rows.len().checked_div(columns).unwrap_or(0);
    loop {
        let segment = Segment {
            deadline: Deadline::after(Deadline::LONGEST),
            trace: None,
            grant: "job".into(),
            rows: u32::try_from(count).unwrap_or(u32::MAX),
            values: rows.to_vec(),
        };
        let kernel = line.kernel();
        let shape = (kernel.columns(), kernel.width(), kernel.labels());
        let asked = Arc::new(job::Job::new(vec![segment], vec![None], shape, Instant::now()));
        let abandon = asked.abandon_on_drop();
        line.push(&asked);
        asked.finished().await;
        drop(abandon);
        match asked.take() {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) if error.code == ErrorCode::Invalid => return Ok(None),
            // The rows of other jobs are before these.
            Err(error) if error.code == ErrorCode::Overloaded => tokio::time::sleep(LOOK_EVERY).await,
            Err(error) => {
                return Err(Ended::Io { what: "predicting rows of a job", source: std::io::Error::other(error) });
            }
        }
    }
}

/// Which row is not taken: the pool's refusal is for a person only.
async fn fault(compiled: Arc<Compiled>, columns: usize, rows: Vec<f64>, first: u64) -> Result<RowFault, Ended> {
    let finding = tokio::task::spawn_blocking(move || find(&compiled, columns, &rows));
    let error = finding.await.map_err(|_| Ended::Panicked)?;
    let (row, feature, problem) = match error {
        Some(PredictError::Missing { row, feature }) => (row, feature, Problem::Missing),
        Some(PredictError::Unknown { row, feature }) => (row, feature, Problem::Unknown),
        Some(PredictError::TooLarge { row, feature }) => (row, feature, Problem::TooLarge),
        Some(other) => return Err(Ended::Fault(other.to_string())),
        None => return Err(Ended::Fault("the model does not take some of the rows".to_owned())),
    };
    Ok(RowFault { row: first + row as u64, feature: u32::try_from(feature).unwrap_or(u32::MAX), problem })
}

fn find(compiled: &Compiled, columns: usize, rows: &[f64]) -> Option<PredictError> {
    let rows = ArrayView2::from_shape((rows.len().checked_div(columns)?, columns), rows).ok()?;
    let mut values = Array2::zeros((rows.nrows(), compiled.values_width()));
    let mut labels = Array2::zeros((rows.nrows(), compiled.labels_width()));
    compiled.predict(rows, &mut Output { values: values.view_mut(), labels: labels.view_mut() }).err()
}
