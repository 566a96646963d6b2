//! Large work as the edge sees it: a file is taken in and a job made of it, a job is told of, ended, and its result handed
//! out. Workers do it; nothing passes through here but bytes.
//!
//! A job belongs to who made it. Who may see everybody's jobs may end and remove them, and not read their results.

mod events;
mod result;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arborgate_bus::{Bucket, Bus, Objects, Queue, StoreError, to_json};
use arborgate_contracts::bucket::{self, JOB_FILES};
use arborgate_contracts::jobs::{self, Files, JOB_FORMAT, Job, JobMessage, Progress, State, Wish};
use arborgate_contracts::jobs::{fault_key, job_key, progress_key};
use arborgate_contracts::permission::Permission;
use arborgate_contracts::registry::Manifest;
use arborgate_contracts::{ErrorCode, JobId, ServiceError};
use http::StatusCode;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::front::problem::Problem;
use crate::identity::Caller;
use crate::upload::Upload;

pub(crate) use events::Stream;
pub(crate) use result::{Download, Range};

/// After this long without a word of the edge that takes a file in, it is taken for dead, and what it began is removed.
const RECEIVING: Duration = Duration::from_secs(60);
/// How often that edge says that it goes on.
const RENEW_EVERY: Duration = Duration::from_secs(15);
/// How often others may come between reading a record and changing it.
const TRIES: usize = 100;

/// See the module.
pub(crate) struct Jobs {
    kept: Kept,
    queue: Queue,
    config: config::Jobs,
    /// One is let in after another, so that each counts those before it.
    admission: Mutex<()>,
    streams: Arc<Semaphore>,
    stop: CancellationToken,
}

/// Records and files.
#[derive(Clone)]
struct Kept {
    bucket: Bucket,
    files: Objects,
}

/// A job whose file is not there yet; dropped as such, it is removed.
struct Incomplete {
    job: Option<JobId>,
    kept: Kept,
}

impl Drop for Incomplete {
    fn drop(&mut self) {
        if let (Some(job), Ok(runtime)) = (self.job.take(), tokio::runtime::Handle::try_current()) {
            let kept = self.kept.clone();
            runtime.spawn(async move { kept.forget(&job).await });
        }
    }
}

/// A job, and how far it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    /// The record.
    pub job: Job,
    /// Once a worker began.
    pub progress: Option<Progress>,
    /// Changes with either.
    pub revision: u64,
}

/// What became of a job that was to go.
pub(crate) enum Left {
    /// It was not over: it is cancelled.
    Cancelled(Box<Seen>),
    /// It was over: it is removed.
    Removed,
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// So long from now, as [`now_ms`].
fn until(left: Duration) -> u64 {
    now_ms().saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}

fn failed(what: &'static str) -> impl Fn(StoreError) -> Problem {
    move |error| {
        tracing::error!(error = &error as &dyn std::error::Error, "{what}");
        ServiceError::new(ErrorCode::Unavailable, "jobs can not be read or changed now; try again shortly").into()
    }
}

fn absent() -> Problem {
    Problem::new(ErrorCode::NotFound, "there is no such job; GET /v1/jobs lists yours")
}

fn busy(status: StatusCode, detail: String) -> Problem {
    Problem { retry_after_ms: Some(10_000), ..Problem::new(ErrorCode::Overloaded, detail).with_status(status) }
}

impl Kept {
    /// Removes what is kept of a job. What stays is swept by a worker.
    async fn forget(&self, id: &JobId) {
        // Without looking: a record that is being made is there only afterwards.
        for key in [job_key(id), progress_key(id), fault_key(id)] {
            if let Err(error) = self.bucket.delete(&key, None).await {
                tracing::warn!(job = %id, error = &error as &dyn std::error::Error, "a job could not be removed at once");
            }
        }
        for file in [Files(id).input(), Files(id).result()] {
            let _ = self.files.delete(&file).await;
        }
    }
}

impl Jobs {
    /// What a first start made.
    pub(crate) async fn open(bus: &Bus, config: config::Jobs, stop: CancellationToken) -> Result<Self, StoreError> {
        Ok(Self {
            kept: Kept { bucket: bus.bucket(&bucket::JOBS).await?, files: bus.objects(JOB_FILES).await? },
            queue: bus.queue(&jobs::JOBS).await?,
            streams: Arc::new(Semaphore::new(config.event_streams)),
            admission: Mutex::default(),
            config,
            stop,
        })
    }

    /// Makes a job of a file on its way in. It is a job when all of the file is there, and not before.
    pub(crate) async fn create(
        &self,
        caller: &Caller,
        manifest: &Manifest,
        wish: Wish,
        upload: Upload,
    ) -> Result<Seen, Problem> {
        let (job, mut incomplete) = self.admit(caller, manifest, wish).await?;
        let size = self.receive(&job.id, upload).await?;
        if size == 0 {
            return Err(Problem::new(ErrorCode::BadRequest, "the body is empty; send a file of rows"));
        }
        let expires_ms = now_ms().saturating_add(job.retention_ms);
        let queued = |job: Job| Job { state: State::Queued, bytes: size, expires_ms, ..job };
        let changed = self.change(&job.id, |job| job.state == State::Receiving, queued).await;
        let Some((job, revision)) = changed? else {
            let detail = "the file took too long to arrive, and was dropped";
            return Err(Problem::new(ErrorCode::BadRequest, detail).with_status(StatusCode::REQUEST_TIMEOUT));
        };
        incomplete.job = None;
        let message = to_json(&JobMessage { job: job.id.clone() }).map_err(failed("a job can not be written"))?;
        if let Err(error) = self.queue.publish(&(&job.id).into(), message).await {
            // Workers find by themselves what is to be done, a little later.
            tracing::warn!(job = %job.id, error = &error as &dyn std::error::Error, "a job could not be queued at once");
        }
        tracing::info!(job = %job.id, model = %job.model, version = %job.version, bytes = size, "a job was made");
        Ok(Seen { job, progress: None, revision })
    }

    /// The record of a job whose file is on its way in, unless there are too many.
    async fn admit(&self, caller: &Caller, manifest: &Manifest, wish: Wish) -> Result<(Job, Incomplete), Problem> {
        let retention_ms = u64::try_from(self.config.retention.as_millis()).unwrap_or(u64::MAX);
        let created_ms = now_ms();
        let job = Job {
            format: JOB_FORMAT,
            id: JobId::of_number(uuid_v7(created_ms)),
            owner: caller.principal.to_string(),
            model: manifest.model.clone(),
            version: manifest.version.clone(),
            artifact: manifest.digest.clone(),
            wish,
            bytes: 0,
            state: State::Receiving,
            reason: None,
            created_ms,
            finished_ms: None,
            expires_ms: until(RECEIVING),
            retention_ms,
            rows: None,
            result: None,
        };
        // Also when the client goes away on the way, and this with it.
        let incomplete = Incomplete { job: Some(job.id.clone()), kept: self.kept.clone() };
        let _one = self.admission.lock().await;
        let record = to_json(&job).map_err(failed("a job can not be written"))?;
        self.kept.bucket.create(&job_key(&job.id), record).await.map_err(failed("a job can not be made"))?;
        // Counted once it is there itself: of two at two edges at least one sees the other.
        let (mut own, mut kept) = (0, 0);
        self.all().await?.iter().filter(|seen| seen.job.id != job.id).for_each(|seen| {
            kept += 1;
            own += usize::from(seen.job.owner == job.owner && !seen.job.state.is_final());
        });
        if own >= self.config.at_once {
            let detail = format!("{own} of your jobs are not over, and no more may be; wait for one, or cancel it");
            return Err(busy(StatusCode::TOO_MANY_REQUESTS, detail));
        }
        if kept >= self.config.most {
            let detail = "there are too many jobs; remove some that are over";
            return Err(busy(StatusCode::SERVICE_UNAVAILABLE, detail.to_owned()));
        }
        Ok((job, incomplete))
    }

    /// Takes the file in, saying meanwhile that it goes on; its size.
    async fn receive(&self, id: &JobId, upload: Upload) -> Result<u64, Problem> {
        let name = Files(id).input();
        let mut storing = std::pin::pin!(upload.store(&self.kept.files, &name));
        let mut renew = interval_at(Instant::now() + RENEW_EVERY, RENEW_EVERY);
        loop {
            tokio::select! {
                stored = &mut storing => return stored.map(|stored| stored.size),
                _ = renew.tick() => {}
            }
            let alive = |job: Job| Job { expires_ms: until(RECEIVING), ..job };
            // What fails now is tried again before it is too late.
            let _ = self.change(id, |job| job.state == State::Receiving, alive).await;
        }
    }

    /// Changes a record by compare-and-set, as long as it is as `is_right` has it.
    async fn change(
        &self,
        id: &JobId,
        is_right: impl Fn(&Job) -> bool,
        change: impl Fn(Job) -> Job,
    ) -> Result<Option<(Job, u64)>, Problem> {
        let key = job_key(id);
        for _ in 0..TRIES {
            let found = self.kept.bucket.get_json::<Job>(&key).await.map_err(failed("a job can not be read"))?;
            let Some((job, revision)) = found.filter(|(job, _)| is_right(job)) else { return Ok(None) };
            let changed = change(job);
            let record = to_json(&changed).map_err(failed("a job can not be written"))?;
            match self.kept.bucket.update(&key, record, revision).await {
                Ok(revision) => return Ok(Some((changed, revision))),
                Err(StoreError::Conflict { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => return Err(failed("a job can not be changed")(error)),
            }
        }
        Err(ServiceError::new(ErrorCode::Unavailable, "the job is being changed by others; try again").into())
    }

    /// A job by its id, whoever asks.
    async fn read(&self, id: &JobId) -> Result<Option<Seen>, StoreError> {
        let Some((job, of_job)) = self.kept.bucket.get_json::<Job>(&job_key(id)).await? else { return Ok(None) };
        let progress = self.kept.bucket.get_json::<Progress>(&progress_key(id)).await?;
        let revision = progress.as_ref().map_or(of_job, |(_, of_progress)| of_job.max(*of_progress));
        let is_told = job.state != State::Receiving && now_ms() < job.expires_ms;
        Ok(is_told.then_some(Seen { job, progress: progress.map(|(progress, _)| progress), revision }))
    }

    /// A job of the caller's; one of another is as one that is not there.
    pub(crate) async fn get(&self, caller: &Caller, id: &str) -> Result<Seen, Problem> {
        let id = id.parse::<JobId>().map_err(|_| absent())?;
        let seen = self.read(&id).await.map_err(failed("a job can not be read"))?;
        seen.filter(|seen| may_see(caller, &seen.job)).ok_or_else(absent)
    }

    /// Those that the caller may see, the last made first.
    pub(crate) async fn list(&self, caller: &Caller) -> Result<Vec<Seen>, Problem> {
        let now = now_ms();
        let mut all = self.all().await?;
        all.retain(|seen| {
            let is_told = seen.job.state != State::Receiving && now < seen.job.expires_ms;
            is_told && may_see(caller, &seen.job)
        });
        all.sort_by(|a, b| (b.job.created_ms, &b.job.id).cmp(&(a.job.created_ms, &a.job.id)));
        Ok(all)
    }

    async fn all(&self) -> Result<Vec<Seen>, Problem> {
        let entries = self.kept.bucket.list(None).await.map_err(failed("jobs can not be read"))?;
        let mut all: Vec<Seen> = Vec::new();
        // By key: of each job first its record, then its progress.
        for entry in entries {
            match entry.key.tokens().unwrap_or_default().as_slice() {
                [_, kind] if kind == "job" => {
                    let job = entry.json().map_err(failed("a job's record can not be read"))?;
                    all.push(Seen { job, progress: None, revision: entry.revision });
                }
                [id, kind] if kind == "progress" => {
                    if let Some(last) = all.last_mut().filter(|last| last.job.id.as_str() == id.as_str()) {
                        last.progress = entry.json().ok();
                        last.revision = last.revision.max(entry.revision);
                    }
                }
                _ => {}
            }
        }
        Ok(all)
    }

    /// Cancels a job, or removes one that is over.
    pub(crate) async fn remove(&self, caller: &Caller, id: &str) -> Result<Left, Problem> {
        let Seen { job, progress, .. } = self.get(caller, id).await?;
        let over = |job: Job| job.finished(State::Cancelled, None, now_ms());
        match self.change(&job.id, |job| !job.state.is_final(), over).await? {
            Some((job, revision)) => {
                tracing::info!(job = %job.id, by = %caller.principal, "a job was cancelled");
                Ok(Left::Cancelled(Box::new(Seen { job, progress, revision })))
            }
            None => {
                self.kept.forget(&job.id).await;
                Ok(Left::Removed)
            }
        }
    }
}

fn may_see(caller: &Caller, job: &Job) -> bool {
    job.owner == caller.principal.to_string() || caller.permissions.contains(Permission::AdminJobs)
}

/// RFC 9562 section 5.7: ids in the order in which jobs are made, which nobody can guess.
fn uuid_v7(now_ms: u64) -> u128 {
    let random = rand::random::<u128>() & ((1 << 74) - 1);
    let (high, low) = (random >> 62, random & ((1 << 62) - 1));
    (u128::from(now_ms) << 80) | (0x7 << 76) | ((high & 0xfff) << 64) | (0x2 << 62) | low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_version_seven_and_in_order() {
        let ids: Vec<String> =
            (0..200).map(|ms| JobId::of_number(uuid_v7(1_764_000_000_000 + ms)).to_string()).collect();
        assert!(ids.is_sorted());
        for id in &ids {
            assert_eq!(id.as_bytes()[12], b'7', "{id}");
            assert!(b"89ab".contains(&id.as_bytes()[16]), "{id}");
        }
        assert_ne!(uuid_v7(1), uuid_v7(1));
    }
}
