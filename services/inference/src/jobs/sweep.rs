//! Removes what is over, and what those who died left behind; reminds the queue of jobs that are to be done. Every worker
//! does it, and again: it finds by itself what is to be done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arborgate_bus::{StoreError, to_json};
use arborgate_contracts::JobId;
use arborgate_contracts::jobs::{Files, Job, JobMessage, State, keys_of};
use tokio::time::{MissedTickBehavior, interval};

use super::records::Records;
use super::{Shared, now_ms};

/// For how long after its end the files of a job stay: somebody may be downloading.
const GRACE_MS: u64 = 10 * 60 * 1000;

/// Sweeps until it is dropped.
pub(super) async fn run(shared: Arc<Shared>, every: Duration) {
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match sweep(&shared.records, now_ms()).await {
            Err(error) if error.is_closed() => return,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "jobs could not be swept; it is tried again");
            }
            Ok(()) => {}
        }
    }
}

async fn sweep(records: &Records, now_ms: u64) -> Result<(), StoreError> {
    // Files first: a job's record is there before its first file.
    let files = records.files.list().await?;
    let mut jobs = BTreeMap::new();
    let mut others = Vec::new();
    for entry in records.bucket.list(None).await? {
        let tokens = entry.key.tokens().unwrap_or_default();
        match tokens.as_slice() {
            [id, kind] if kind == "job" => match (id.parse::<JobId>(), entry.json::<Job>()) {
                (Ok(id), Ok(job)) => drop(jobs.insert(id, job)),
                _ => tracing::error!(key = %entry.key, "a job's record can not be read; it is left"),
            },
            [id, _] => others.extend(id.parse::<JobId>().ok().map(|id| (id, entry.key.clone()))),
            _ => {}
        }
    }
    for file in files {
        let Some(id) = Files::owner(&file.name) else { continue };
        if !jobs.get(&id).is_some_and(|job| needs(job, &file.name, now_ms)) {
            records.files.delete(&file.name).await?;
        }
    }
    for (id, job) in &jobs {
        if is_over(job, now_ms) {
            tracing::info!(job = %id, "a job has expired");
            for entry in records.bucket.list(Some(&keys_of(id))).await? {
                records.bucket.delete(&entry.key, None).await?;
            }
        } else if matches!(job.state, State::Queued | State::Running) {
            // It is there unless who should have put it there died; then nothing is changed.
            records.jobs.publish(&id.into(), to_json(&JobMessage { job: id.clone() })?).await?;
        }
    }
    for (id, key) in others {
        if !jobs.contains_key(&id) {
            records.bucket.delete(&key, None).await?;
        }
    }
    Ok(())
}

/// Whether nobody is told of it any more, nor still reads of it.
fn is_over(job: &Job, now_ms: u64) -> bool {
    let grace = if job.state == State::Succeeded { GRACE_MS } else { 0 };
    now_ms >= job.expires_ms.saturating_add(grace)
}

/// Whether a file of a job is still of use.
fn needs(job: &Job, file: &str, now_ms: u64) -> bool {
    match job.state {
        State::Receiving | State::Queued | State::Running => !is_over(job, now_ms),
        State::Succeeded => file == Files(&job.id).result() && !is_over(job, now_ms),
        State::Failed | State::Cancelled => false,
    }
}

/// Removes the files of a job that is over, but for its result.
pub(super) async fn clear(records: &Records, id: &JobId) -> Result<(), StoreError> {
    let job = records.job(id).await?;
    for file in records.files.list().await? {
        let is_its = Files::owner(&file.name).as_ref() == Some(id);
        if is_its && !job.as_ref().is_some_and(|job| needs(job, &file.name, now_ms())) {
            records.files.delete(&file.name).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arborgate_bus::Bus;
    use arborgate_bus::local::{Config, LocalBus};
    use arborgate_contracts::bucket::{JOB_FILES, JOBS, MODELS};
    use arborgate_contracts::jobs::{FileKind, JOB_FORMAT, Kind, Progress, Wish, job_key, progress_key};
    use arborgate_contracts::queue;
    use bytes::Bytes;

    use super::*;

    const NOW: u64 = 1_000_000_000;

    async fn records() -> Records {
        let bus = Bus::new(LocalBus::open(Config::default()).unwrap());
        for spec in [&JOBS, &MODELS] {
            bus.create_bucket(spec).await.unwrap();
        }
        for spec in queue::ALL {
            bus.create_queue(spec).await.unwrap();
        }
        bus.create_objects(JOB_FILES).await.unwrap();
        Records::open(&bus).await.unwrap()
    }

    /// A job with every file that it can have, and its progress.
    async fn put(records: &Records, number: u128, state: State, expires_ms: u64) -> JobId {
        let id = JobId::of_number(number);
        let wish = Wish {
            kind: Kind::Proba,
            input: FileKind::Csv,
            output: FileKind::Csv,
            by_order: false,
            ignore_extra: false,
        };
        let job = Job {
            format: JOB_FORMAT,
            id: id.clone(),
            owner: "user:ann".to_owned(),
            model: "iris".parse().unwrap(),
            version: "1".parse().unwrap(),
            artifact: String::new(),
            wish,
            bytes: 1,
            state,
            reason: None,
            created_ms: 1,
            finished_ms: None,
            expires_ms,
            retention_ms: 1,
            rows: None,
            result: None,
        };
        records.bucket.put(&job_key(&id), to_json(&job).unwrap()).await.unwrap();
        records.bucket.put(&progress_key(&id), to_json(&Progress::default()).unwrap()).await.unwrap();
        let files = Files(&id);
        for name in [files.input(), files.result(), files.chunk(0), files.piece(0)] {
            records.put(&name, &Bytes::from_static(b"x")).await.unwrap();
        }
        id
    }

    async fn left(records: &Records, id: &JobId) -> (usize, usize) {
        let files = records.files.list().await.unwrap();
        let files = files.iter().filter(|file| Files::owner(&file.name).as_ref() == Some(id)).count();
        (files, records.bucket.list(Some(&keys_of(id))).await.unwrap().len())
    }

    #[tokio::test]
    async fn what_is_over_is_removed_and_what_is_to_be_done_is_queued() {
        let records = records().await;
        let later = NOW + GRACE_MS;
        let running = put(&records, 1, State::Running, later).await;
        let succeeded = put(&records, 2, State::Succeeded, later).await;
        let failed = put(&records, 3, State::Failed, later).await;
        let cut_off = put(&records, 4, State::Receiving, NOW).await;
        let downloading = put(&records, 5, State::Succeeded, NOW).await;
        let expired = put(&records, 6, State::Succeeded, NOW - GRACE_MS).await;
        let gone = put(&records, 7, State::Running, later).await;
        records.bucket.delete(&job_key(&gone), None).await.unwrap();
        for _ in 0..2 {
            sweep(&records, NOW).await.unwrap();
            assert_eq!(left(&records, &running).await, (4, 2));
            assert_eq!(left(&records, &succeeded).await, (1, 2));
            assert_eq!(left(&records, &failed).await, (0, 2));
            assert_eq!(left(&records, &cut_off).await, (0, 0));
            assert_eq!(left(&records, &downloading).await, (1, 2));
            assert_eq!(left(&records, &expired).await, (0, 0));
            assert_eq!(left(&records, &gone).await, (0, 0));
            assert_eq!(records.jobs.length().await.unwrap(), 1);
        }
        clear(&records, &running).await.unwrap();
        assert_eq!(left(&records, &running).await, (0, 2), "by the clock of today it has expired");
    }
}
