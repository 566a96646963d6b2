//! Jobs of a worker on a bus of its own: what becomes of one whose model, file or worker is not what it was.

use std::time::Duration;

use arborgate_bus::{Bucket, to_json};
use arborgate_contracts::JobId;
use arborgate_contracts::bucket::{JOB_FILES, JOBS};
use arborgate_contracts::jobs::{self, FileKind, Files, JOB_FORMAT, Job, JobMessage, Kind, State, Wish, job_key};
use bytes::Bytes;

use crate::support::{IRIS, System, digest, name, version};

struct Stage {
    system: System,
    bucket: Bucket,
}

impl Stage {
    async fn new() -> Self {
        let system = System::new().await;
        let bucket = system.bus.bucket(&JOBS).await.unwrap();
        Self { system, bucket }
    }

    /// A job in a state, with a file, and in the queue as often as `messages` says.
    async fn put(&self, number: u128, artifact: &str, state: State, file: Option<&'static str>) -> JobId {
        let id = JobId::of_number(number);
        let wish = Wish {
            kind: Kind::Proba,
            input: FileKind::Csv,
            output: FileKind::Csv,
            by_order: true,
            ignore_extra: false,
        };
        let job = Job {
            format: JOB_FORMAT,
            id: id.clone(),
            owner: "user:ann".to_owned(),
            model: name("iris"),
            version: version("1"),
            artifact: artifact.to_owned(),
            wish,
            bytes: 1,
            state,
            reason: None,
            created_ms: 1,
            finished_ms: None,
            expires_ms: u64::MAX,
            retention_ms: u64::MAX / 2,
            rows: None,
            result: None,
        };
        self.bucket.put(&job_key(&id), to_json(&job).unwrap()).await.unwrap();
        if let Some(text) = file {
            let files = self.system.bus.objects(JOB_FILES).await.unwrap();
            let content = futures_util::stream::iter([Ok(Bytes::from_static(text.as_bytes()))]);
            files.put(&Files(&id).input(), Box::pin(content)).await.unwrap();
        }
        id
    }

    async fn queue(&self, id: &JobId) {
        let queue = self.system.bus.queue(&jobs::JOBS).await.unwrap();
        let message = to_json(&JobMessage { job: id.clone() }).unwrap();
        queue.publish(&id.into(), message).await.unwrap();
    }

    async fn see(&self, id: &JobId) -> Job {
        self.bucket.get_json::<Job>(&job_key(id)).await.unwrap().unwrap().0
    }

    async fn over(&self, id: &JobId) -> Job {
        for _ in 0..3000 {
            let job = self.see(id).await;
            if job.state.is_final() {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?} is not over", self.see(id).await);
    }

    /// Names of the files that are there.
    async fn files(&self) -> Vec<String> {
        let files = self.system.bus.objects(JOB_FILES).await.unwrap();
        files.list().await.unwrap().into_iter().map(|file| file.name).collect()
    }
}

const ROWS: &str = "a,b,c,d\n1,2,3,4\n5,6,7,8\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_model_was_removed_or_replaced_fails_with_that_reason() {
    let stage = Stage::new().await;
    let absent = stage.put(1, &digest(b"gone"), State::Queued, Some(ROWS)).await;
    stage.queue(&absent).await;
    let worker = stage.system.worker("w1").await;
    let job = stage.over(&absent).await;
    assert_eq!(job.state, State::Failed);
    assert_eq!(job.reason.unwrap(), "iris version 1 was removed before the job was done");
    stage.settled(&[]).await;
    worker.running.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_queued_or_somebody_ended_is_seen_to() {
    let stage = Stage::new().await;
    stage.system.add("iris", "1", IRIS).await;
    let artifact = digest(IRIS);
    // The edge died before it queued the job; another was cancelled while it waited; of a third the file is gone; of a
    // fourth it is on its way.
    let unqueued = stage.put(1, &artifact, State::Queued, Some(ROWS)).await;
    let cancelled = stage.put(2, &artifact, State::Cancelled, Some(ROWS)).await;
    let lost = stage.put(3, &artifact, State::Queued, None).await;
    let receiving = stage.put(4, &artifact, State::Receiving, None).await;
    for id in [&cancelled, &lost, &receiving] {
        stage.queue(id).await;
    }
    let worker = stage.system.worker("w1").await;
    let done = stage.over(&unqueued).await;
    assert_eq!((done.state, done.rows), (State::Succeeded, Some(2)), "{done:?}");
    assert_eq!(stage.over(&lost).await.reason.unwrap(), "its file is gone; send it again");
    stage.settled(&[Files(&unqueued).result()]).await;
    assert_eq!(stage.see(&cancelled).await.state, State::Cancelled);
    assert_eq!(stage.see(&receiving).await.state, State::Receiving);
    assert_eq!(worker.metric("inference_job_rows_total"), 2.0);
    for outcome in ["succeeded", "failed"] {
        assert_eq!(worker.metric(&format!("inference_jobs_total{{outcome=\"{outcome}\"}}")), 1.0, "{outcome}");
    }
    worker.running.drain(Duration::from_secs(5)).await;
}

impl Stage {
    /// Waits until no other files are left, and no message.
    async fn settled(&self, files: &[String]) {
        let queue = self.system.bus.queue(&jobs::JOBS).await.unwrap();
        for _ in 0..3000 {
            if self.files().await == files && queue.length().await.unwrap() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?} is left", self.files().await);
    }
}
