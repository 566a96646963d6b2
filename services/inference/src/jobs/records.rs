//! What is known of jobs, changed by compare-and-set; their files and messages. A state that fails for a while is asked
//! again: a job that has come far is not begun anew for it.

use std::time::Duration;

use arborgate_bus::{Bucket, Bus, ObjectStream, Objects, Queue, StoreError, to_json};
use arborgate_contracts::bucket::{self, JOB_FILES, MODELS};
use arborgate_contracts::jobs::{self, Job, Progress, RowFault, State, fault_key, job_key, progress_key};
use arborgate_contracts::registry::{Manifest, manifest_key};
use arborgate_contracts::rollout::{Rollout, rollout_key};
use arborgate_contracts::{JobId, Key, ModelName, Version};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::{Ended, now_ms};

/// How long a state that fails is asked again.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(250);
/// How often others may come between reading a record and changing it.
const TRIES: usize = 1000;
/// Bytes of a file between the steps.
const LARGEST: u64 = 1 << 30;

#[derive(Clone)]
pub(super) struct Records {
    pub(super) bucket: Bucket,
    models: Bucket,
    pub(super) files: Objects,
    pub(super) jobs: Queue,
    pub(super) chunks: Queue,
}

/// Whether what failed is worth to be asked again.
fn is_passing(error: &StoreError, until: Instant) -> bool {
    let may_pass = matches!(error, StoreError::Backend { .. } | StoreError::Full | StoreError::QueueFull { .. });
    let again = may_pass && Instant::now() < until && !error.is_closed();
    if again {
        tracing::debug!(error = error as &dyn std::error::Error, "the state of jobs is asked again");
    }
    again
}

/// Asks until it is done, fails for good, or failed too long.
macro_rules! patiently {
    ($ask:expr) => {{
        let until = Instant::now() + PATIENCE;
        loop {
            match $ask.await {
                Err(error) if is_passing(&error, until) => sleep(PAUSE).await,
                outcome => break outcome,
            }
        }
    }};
}

pub(super) fn once(bytes: Bytes) -> ObjectStream {
    Box::pin(futures_util::stream::iter([Ok(bytes)]))
}

impl Records {
    pub(super) async fn open(bus: &Bus) -> Result<Self, StoreError> {
        Ok(Self {
            bucket: bus.bucket(&bucket::JOBS).await?,
            models: bus.bucket(&MODELS).await?,
            files: bus.objects(JOB_FILES).await?,
            jobs: bus.queue(&jobs::JOBS).await?,
            chunks: bus.queue(&jobs::CHUNKS).await?,
        })
    }

    async fn read<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<(T, u64)>, StoreError> {
        patiently!(self.bucket.get_json(key))
    }

    /// Changes a record by compare-and-set; `change` gives none where nothing is to be changed.
    async fn change<T: DeserializeOwned + Serialize>(
        &self,
        key: &Key,
        mut change: impl FnMut(T) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        for _ in 0..TRIES {
            let Some((record, revision)) = self.read::<T>(key).await? else { return Ok(None) };
            let Some(changed) = change(record) else { return Ok(None) };
            let json = to_json(&changed)?;
            match patiently!(self.bucket.update(key, json.clone(), revision)) {
                Ok(_) => return Ok(Some(changed)),
                // What was read may have been stale, or others are quicker.
                Err(StoreError::Conflict { .. }) => sleep(Duration::from_millis(rand::random_range(1..20))).await,
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict { key: key.to_string() })
    }

    pub(super) async fn job(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        Ok(self.read(&job_key(id)).await?.map(|(job, _)| job))
    }

    /// Changes a job that is not over; none: it is, or is gone.
    pub(super) async fn go_on(
        &self,
        id: &JobId,
        mut change: impl FnMut(Job) -> Job,
    ) -> Result<Option<Job>, StoreError> {
        self.change(&job_key(id), |job: Job| (!job.state.is_final()).then(|| change(job))).await
    }

    /// The job can not be done.
    pub(super) async fn fail(&self, id: &JobId, reason: &str) -> Result<(), StoreError> {
        let over = |job: Job| job.finished(State::Failed, Some(reason.to_owned()), now_ms());
        if self.go_on(id, over).await?.is_some() {
            tracing::info!(job = %id, "a job failed by its file or its model");
        }
        Ok(())
    }

    pub(super) async fn progress(&self, id: &JobId) -> Result<Option<Progress>, StoreError> {
        Ok(self.read(&progress_key(id)).await?.map(|(progress, _)| progress))
    }

    /// The progress that is there, or now begins.
    pub(super) async fn begin(&self, id: &JobId, chunk_rows: u32) -> Result<Progress, StoreError> {
        let fresh = Progress { chunk_rows, ..Progress::default() };
        let json = to_json(&fresh)?;
        loop {
            if let Some(progress) = self.progress(id).await? {
                return Ok(progress);
            }
            match patiently!(self.bucket.create(&progress_key(id), json.clone())) {
                Ok(_) => return Ok(fresh),
                Err(StoreError::Conflict { .. }) => sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Counts a chunk, once.
    pub(super) async fn count(&self, id: &JobId, chunk: u32, rows: u64) -> Result<(), StoreError> {
        let add = |mut progress: Progress| progress.add(chunk, rows).then_some(progress);
        self.change(&progress_key(id), add).await.map(drop)
    }

    /// Says how many rows there will be.
    pub(super) async fn expect(&self, id: &JobId, rows: u64) -> Result<(), StoreError> {
        let set = |mut progress: Progress| (progress.expected.replace(rows) != Some(rows)).then_some(progress);
        self.change(&progress_key(id), set).await.map(drop)
    }

    pub(super) async fn fault(&self, id: &JobId) -> Result<Option<RowFault>, StoreError> {
        Ok(self.read(&fault_key(id)).await?.map(|(fault, _)| fault))
    }

    /// Notes a row that is not taken; of several the first of the file.
    pub(super) async fn note_fault(&self, id: &JobId, fault: &RowFault) -> Result<(), StoreError> {
        let key = fault_key(id);
        let json = to_json(fault)?;
        match patiently!(self.bucket.create(&key, json.clone())) {
            Err(StoreError::Conflict { .. }) => {
                let earlier = |there: RowFault| (fault.row < there.row).then(|| fault.clone());
                self.change(&key, earlier).await.map(drop)
            }
            created => created.map(drop),
        }
    }

    /// The manifest of a job's version, unless it was removed, is of other bytes now, or nobody may hold it.
    pub(super) async fn manifest(&self, job: &Job) -> Result<Manifest, Ended> {
        let key = manifest_key(&job.model, &job.version);
        let found = patiently!(self.models.get_json::<Manifest>(&key))?;
        let manifest = match found {
            Some((manifest, _)) if manifest.digest == job.artifact => manifest,
            _ => return Err(removed(&job.model, &job.version)),
        };
        let key = rollout_key(&job.model);
        let rollout = patiently!(self.models.get_json::<Rollout>(&key))?;
        if rollout.is_some_and(|(rollout, _)| rollout.unloaded.contains_key(&job.version)) {
            let Job { model, version, .. } = job;
            return Err(Ended::Fault(format!("{model} version {version} was unloaded before the job was done")));
        }
        Ok(manifest)
    }

    pub(super) async fn put(&self, name: &str, bytes: &Bytes) -> Result<(), StoreError> {
        patiently!(self.files.put(name, once(bytes.clone()))).map(drop)
    }

    /// A file between the steps; none: it is not there.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        match patiently!(self.files.get_all(name, LARGEST)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::NoObject { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn publish(&self, chunk: &jobs::ChunkMessage) -> Result<(), StoreError> {
        let (id, message) = (chunk.id(), to_json(chunk)?);
        patiently!(self.chunks.publish(&id, message.clone())).map(drop)
    }
}

/// What becomes of a job whose model goes.
pub(super) fn removed(model: &ModelName, version: &Version) -> Ended {
    Ended::Fault(format!("{model} version {version} was removed before the job was done"))
}
