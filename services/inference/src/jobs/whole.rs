//! One job, from its file to its result. Whoever goes on with a job that another left begins with its file anew, and leaves
//! out what is answered already.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Seek;
use std::sync::Arc;
use std::time::Duration;

use arborgate_bus::{Delivery, StoreError};
use arborgate_contracts::JobId;
use arborgate_contracts::jobs::{ChunkMessage, Files, Job, JobMessage, Outcome, Problem, Progress, RowFault, State};
use arborgate_contracts::registry::Manifest;
use arborgate_forest::{Model, PredictError};
use arborgate_scoring::Shown;
use arborgate_tables::Columns;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use super::reading::{self, Chunk, Opened, Order};
use super::{Ended, Shared, now_ms, settle, sweep, writing};
use crate::artifact::Announced;
use crate::error::LoadError;

/// Chunks of a job that are stored and not yet answered, at most.
const WINDOW: usize = 64;
/// Bytes of a chunk, and of the answers to it, about.
const CHUNK: usize = 4 << 20;
/// Rows of a chunk, at least and at most.
const ROWS: (usize, usize) = (64, 1 << 16);
/// How often it is looked at what was answered.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often chunks that are not answered are put into the queue again, in which they should be.
const REMIND_EVERY: Duration = Duration::from_secs(30);
/// How often it is said how many rows there will be.
const EXPECT_EVERY: Duration = Duration::from_secs(1);

/// Works on a message of the queue.
pub(super) async fn work(shared: &Shared, taken: Delivery) {
    let Ok(JobMessage { job }) = serde_json::from_slice(&taken.payload) else {
        tracing::error!("a message of a job can not be read; it is dropped");
        return drop(taken.ack().await);
    };
    let outcome = if taken.exhausted {
        Err(Ended::Fault("it could not be done, after many tries".to_owned()))
    } else {
        taken.held(run(shared, &job)).await
    };
    match &outcome {
        Ok(()) => shared.metrics.job("succeeded"),
        Err(Ended::Fault(_)) => shared.metrics.job("failed"),
        Err(Ended::Moot) => {}
        Err(Ended::Store(_) | Ended::Io { .. } | Ended::Panicked) => shared.metrics.job("put_off"),
    }
    let noted = match &outcome {
        Err(Ended::Fault(reason)) => shared.records.fail(&job, reason).await,
        _ => Ok(()),
    };
    if let Err(error) = noted {
        return settle(taken, &job, Err(error.into())).await;
    }
    if let Ok(()) | Err(Ended::Moot | Ended::Fault(_)) = &outcome
        && let Err(error) = sweep::clear(&shared.records, &job).await
    {
        tracing::warn!(%job, error = &error as &dyn std::error::Error, "files of a job stay until they are swept");
    }
    settle(taken, &job, outcome).await;
}

async fn run(shared: &Shared, id: &JobId) -> Result<(), Ended> {
    let records = &shared.records;
    let begun = |job: Job| if job.state == State::Queued { Job { state: State::Running, ..job } } else { job };
    let job = records.go_on(id, begun).await?.filter(|job| job.state == State::Running).ok_or(Ended::Moot)?;
    let manifest = records.manifest(&job).await?;
    let Plan { model, features, columns, width } = plan(shared, &job, &manifest).await?;
    writing::check(job.wish.output, &columns)?;
    let rows = (CHUNK / (8 * width.max(1))).clamp(ROWS.0, ROWS.1);
    let progress = records.begin(id, u32::try_from(rows).unwrap_or(u32::MAX)).await?;
    let file = fetch(shared, id).await?;
    let order = Order { file, wish: job.wish.clone(), model, features, chunk_rows: progress.chunk_rows };
    let opened = tokio::task::spawn_blocking(move || reading::open(order)).await.map_err(|_| Ended::Panicked)?;
    let (chunks, rows) = Division::new(shared, id, progress).go(opened.map_err(Ended::Fault)?).await?;
    records.expect(id, rows).await?;
    let written = writing::write(records, id, chunks, job.wish.output, columns, scratch(shared)?).await?;
    let result = Outcome { size: written.size, digest: written.digest };
    let done = |job: Job| {
        let job = job.finished(State::Succeeded, None, now_ms());
        Job { rows: Some(rows), result: Some(result.clone()), ..job }
    };
    records.go_on(id, done).await?.map(drop).ok_or(Ended::Moot)
}

/// What is to be done with the rows.
struct Plan {
    model: Arc<Model>,
    features: Option<Vec<String>>,
    columns: Columns,
    /// Numbers that a row, or its answer, has.
    width: usize,
}

/// Features and classes are called as the registry has them.
async fn plan(shared: &Shared, job: &Job, manifest: &Manifest) -> Result<Plan, Ended> {
    let loading = shared.models.loader.load(Announced::from(manifest)).await;
    let artifact = loading.map_err(|error| match error {
        LoadError::Fetch(StoreError::NoObject { .. }) => super::records::removed(&job.model, &job.version),
        LoadError::Fetch(source) => Ended::Store(source),
        LoadError::Panicked => Ended::Panicked,
        error @ (LoadError::Slow(_) | LoadError::Serve(_)) => {
            Ended::Io { what: "reading the model", source: std::io::Error::other(error) }
        }
        other => Ended::Fault(format!("the model can not be read: {other}")),
    })?;
    let model = artifact.model;
    let why = |why: &str| Ended::Fault(format!("{} version {} {why}", job.model, job.version));
    arborgate_scoring::check(&model, job.wish.kind)
        .map_err(|said| why(&format!("{said}; its values are kind=proba")))?;
    let own = Shown::of(&model);
    let shown = Shown {
        features: manifest.features.iter().map(|feature| feature.name.clone()).collect(),
        classes: manifest.classes.iter().map(|of| of.iter().map(|class| class.label.clone()).collect()).collect(),
    };
    let columns = arborgate_scoring::columns(&model, job.wish.kind, &shown);
    let width = model.n_features().max(columns.count());
    let features = (shown.features != own.features).then_some(shown.features);
    Ok(Plan { model: Arc::new(model), features, columns, width })
}

fn scratch(shared: &Shared) -> Result<File, Ended> {
    let made = match &shared.scratch {
        Some(folder) => tempfile::tempfile_in(folder),
        None => tempfile::tempfile(),
    };
    made.map_err(|source| Ended::Io { what: "making a file to work in", source })
}

/// The job's file on this machine, without a name: gone with the process.
async fn fetch(shared: &Shared, id: &JobId) -> Result<File, Ended> {
    let failed = |source| Ended::Io { what: "fetching a job's file", source };
    let mut object = match shared.records.files.get(&Files(id).input()).await {
        Err(StoreError::NoObject { .. }) => return Err(Ended::Fault("its file is gone; send it again".to_owned())),
        found => found?,
    };
    let mut file = tokio::fs::File::from_std(scratch(shared)?);
    tokio::io::copy(&mut object.reader, &mut file).await.map_err(failed)?;
    let mut file = file.into_std().await;
    file.rewind().map_err(failed)?;
    Ok(file)
}

/// The chunks of a job on their way to be answered.
struct Division<'s> {
    shared: &'s Shared,
    id: &'s JobId,
    progress: Progress,
    /// Stored and not answered.
    under_way: BTreeMap<u32, ChunkMessage>,
    chunks: u32,
    rows: u64,
    expected: Option<u64>,
    said: Instant,
}

impl<'s> Division<'s> {
    fn new(shared: &'s Shared, id: &'s JobId, progress: Progress) -> Self {
        let under_way = BTreeMap::new();
        Self { shared, id, progress, under_way, chunks: 0, rows: 0, expected: None, said: Instant::now() }
    }

    /// Until all is answered: how many chunks and rows there were.
    async fn go(mut self, opened: Opened) -> Result<(u32, u64), Ended> {
        let names = opened.names.clone();
        let (sender, mut receiver) = mpsc::channel(1);
        let mut reading = Some(tokio::task::spawn_blocking(move || opened.read(&sender)));
        let mut wrong = None;
        let mut look = interval(LOOK_EVERY);
        let mut remind = interval_at(Instant::now() + REMIND_EVERY, REMIND_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while reading.is_some() || !self.under_way.is_empty() {
            let may_read = reading.is_some() && self.under_way.len() < WINDOW;
            tokio::select! {
                chunk = receiver.recv(), if may_read => match chunk {
                    Some(Ok(chunk)) => self.store(chunk).await?,
                    // Rows before it may be at fault as well: then that is told.
                    Some(Err(why)) => (wrong, reading) = (Some(why), None),
                    None => if let Some(ended) = reading.take() {
                        ended.await.map_err(|_| Ended::Panicked)?;
                    },
                },
                _ = look.tick() => {
                    if let Some(fault) = self.look().await? {
                        return Err(told(&fault, &names));
                    }
                }
                _ = remind.tick() => for message in self.under_way.values() {
                    self.shared.records.publish(message).await?;
                },
            }
        }
        wrong.map_or(Ok((self.chunks, self.rows)), |why| Err(Ended::Fault(why)))
    }

    async fn store(&mut self, chunk: Chunk) -> Result<(), Ended> {
        let Chunk { number, first, rows, bytes, expected } = chunk;
        self.chunks = number.saturating_add(1);
        self.rows += rows;
        self.expected = expected.map(|expected| expected.max(self.rows));
        if self.progress.has(number) {
            return Ok(());
        }
        let records = &self.shared.records;
        records.put(&Files(self.id).chunk(number), &bytes).await?;
        let message = ChunkMessage { job: self.id.clone(), chunk: number, first, round: 0 };
        records.publish(&message).await?;
        self.under_way.insert(number, message);
        Ok(())
    }

    /// Sees what was answered, whether the job goes on, and whether a row is at fault.
    async fn look(&mut self) -> Result<Option<RowFault>, Ended> {
        let (records, id) = (&self.shared.records, self.id);
        records.job(id).await?.filter(|job| job.state == State::Running).ok_or(Ended::Moot)?;
        self.progress = records.progress(id).await?.ok_or(Ended::Moot)?;
        let done: Vec<u32> = self.under_way.keys().copied().filter(|chunk| self.progress.has(*chunk)).collect();
        for chunk in done {
            self.under_way.remove(&chunk);
            // What stays is removed with the job's other files.
            let _ = records.files.delete(&Files(id).chunk(chunk)).await;
        }
        if let Some(expected) = self.expected.filter(|_| self.said.elapsed() >= EXPECT_EVERY) {
            records.expect(id, expected).await?;
            self.said = Instant::now();
        }
        let Some(fault) = records.fault(id).await? else { return Ok(None) };
        let at = fault.row.checked_div(self.progress.chunk_rows.into()).unwrap_or(0);
        // The rows before it may have one that is told instead.
        let is_first = self.under_way.keys().next().is_none_or(|chunk| u64::from(*chunk) >= at);
        Ok(is_first.then_some(fault))
    }
}

/// As `arborgate score` says it.
fn told(fault: &RowFault, names: &[String]) -> Ended {
    let (row, feature) = (0, fault.feature as usize);
    let error = match fault.problem {
        Problem::Missing => PredictError::Missing { row, feature },
        Problem::Unknown => PredictError::Unknown { row, feature },
        Problem::TooLarge => PredictError::TooLarge { row, feature },
    };
    Ended::Fault(arborgate_scoring::fault(error, fault.row, names).to_string())
}
