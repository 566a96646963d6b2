//! Large work: a file of rows that a model answers, and what is known of it. In bucket `jobs`, a [`Job`] at [`job_key`] and
//! its [`Progress`] at [`progress_key`]; files in the object store [`crate::bucket::JOB_FILES`]; messages in the queues
//! [`JOBS`], one for each job, and [`CHUNKS`], one for some rows of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{JobId, ModelName, RequestId, Version};
use crate::queue::QueueSpec;
use crate::subject::Key;

/// [`Job::format`] that this binary writes.
pub const JOB_FORMAT: u32 = 1;

/// Of each job that is to be done, its id: [`JobMessage`].
pub const JOBS: QueueSpec = QueueSpec {
    name: "jobs",
    max_messages: 100_000,
    max_message: 1 << 10,
    ack_wait: Duration::from_secs(10),
    max_deliver: 10,
};
/// Rows of jobs that are to be predicted: [`ChunkMessage`].
pub const CHUNKS: QueueSpec = QueueSpec {
    name: "job-chunks",
    max_messages: 100_000,
    max_message: 1 << 10,
    ack_wait: Duration::from_secs(10),
    max_deliver: 10,
};

/// In queue [`JOBS`], by the job's id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobMessage {
    /// Which.
    pub job: JobId,
}

/// In queue [`CHUNKS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkMessage {
    /// Of which job.
    pub job: JobId,
    /// Which of its chunks, from 0.
    pub chunk: u32,
    /// The number of its first row, from 0.
    pub first: u64,
    /// How often it was put back because no worker that took it held the model.
    pub round: u32,
}

impl ChunkMessage {
    /// Its id in the queue.
    pub fn id(&self) -> RequestId {
        RequestId::of_chunk(&self.job, self.chunk, self.round)
    }
}

/// Where a job's record is kept.
pub fn job_key(id: &JobId) -> Key {
    Key::of(&[id.as_str(), "job"])
}

/// Where its progress is kept.
pub fn progress_key(id: &JobId) -> Key {
    Key::of(&[id.as_str(), "progress"])
}

/// Where the first row that the model does not take is kept, as a [`RowFault`].
pub fn fault_key(id: &JobId) -> Key {
    Key::of(&[id.as_str(), "fault"])
}

/// Below which all keys of a job are.
pub fn keys_of(id: &JobId) -> Key {
    Key::of(&[id.as_str()])
}

/// Names of a job's files in the object store.
#[derive(Debug, Clone, Copy)]
pub struct Files<'j>(pub &'j JobId);

impl Files<'_> {
    /// As it was sent.
    pub fn input(self) -> String {
        format!("{}/input", self.0)
    }

    /// What is downloaded.
    pub fn result(self) -> String {
        format!("{}/result", self.0)
    }

    /// Rows of a chunk.
    pub fn chunk(self, chunk: u32) -> String {
        format!("{}/chunk/{chunk:08}", self.0)
    }

    /// The answers to a chunk.
    pub fn piece(self, chunk: u32) -> String {
        format!("{}/piece/{chunk:08}", self.0)
    }

    /// The job of a file.
    pub fn owner(file: &str) -> Option<JobId> {
        file.split('/').next()?.parse().ok()
    }
}

/// What becomes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its file is on its way in. Nobody is told of it.
    Receiving,
    /// It waits for a worker.
    Queued,
    /// Its rows are read and predicted.
    Running,
    /// Its result is there.
    Succeeded,
    /// It can not be done; [`Job::reason`] says why.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

impl State {
    /// Whether nothing becomes of it any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// What is answered to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Of a classifier the predicted class.
    Label,
    /// Of a classifier the probability of each class; else the predicted values.
    Proba,
    /// Margins: what the trees sum to.
    Raw,
    /// What each feature contributed to each margin, and the base.
    Shap,
}

/// Of what kind a file of rows is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// Text, separated by commas, with a header.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// A stream of Apache Arrow IPC; of the input only.
    Arrow,
    /// numpy's own, of one array.
    Npy,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Of each row.
    pub kind: Kind,
    /// What the file is.
    pub input: FileKind,
    /// What the result is.
    pub output: FileKind,
    /// Columns are taken in their order, whatever their names.
    pub by_order: bool,
    /// Columns that are no features are left out.
    pub ignore_extra: bool,
}

/// What a finished job has to download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Bytes.
    pub size: u64,
    /// SHA-256, lower-case hex.
    pub digest: String,
}

/// A job's record, changed by compare-and-set. A final state is never left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// [`JOB_FORMAT`].
    pub format: u32,
    /// Which.
    pub id: JobId,
    /// Who asked, as [`crate::auth::Principal`] prints.
    pub owner: String,
    /// Of which model.
    pub model: ModelName,
    /// The version, chosen when the job was made.
    pub version: Version,
    /// SHA-256 of that version's artifact: another one under its name does not answer.
    pub artifact: String,
    /// What is wanted.
    pub wish: Wish,
    /// Bytes of the input; 0 until it is there.
    pub bytes: u64,
    /// What becomes of it.
    pub state: State,
    /// Why it failed, for who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// Milliseconds since 1970, once the state is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_ms: Option<u64>,
    /// Milliseconds since 1970: from then on nobody is told of it.
    pub expires_ms: u64,
    /// How long it is kept once it is finished.
    pub retention_ms: u64,
    /// Rows, once all were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Of a job that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Outcome>,
}

impl Job {
    /// The job in a final state.
    #[must_use]
    pub fn finished(mut self, state: State, reason: Option<String>, now_ms: u64) -> Self {
        self.state = state;
        self.reason = reason;
        self.finished_ms = Some(now_ms);
        self.expires_ms = now_ms.saturating_add(self.retention_ms);
        self
    }
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// It is missing.
    Missing,
    /// It is a category that the model does not know.
    Unknown,
    /// It is too large for the model's floats.
    TooLarge,
}

/// A row that the model does not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowFault {
    /// Its number in the file, from 0.
    pub row: u64,
    /// Which feature.
    pub feature: u32,
    /// What is wrong with it.
    pub problem: Problem,
}

/// Which chunks of a job are answered: changed by compare-and-set, so that each counts once however often it is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Rows of a chunk, but for the last one: whoever goes on with the job divides it alike.
    pub chunk_rows: u32,
    /// Rows of the chunks that are answered.
    pub rows: u64,
    /// How many rows there will be in all, where the file says so, or as far as it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
    /// Chunks that are answered: the first of each run, and the one after its last.
    pub done: Vec<(u32, u32)>,
}

impl Progress {
    /// Whether a chunk is answered.
    pub fn has(&self, chunk: u32) -> bool {
        let after = self.done.partition_point(|(first, _)| *first <= chunk);
        after.checked_sub(1).and_then(|at| self.done.get(at)).is_some_and(|(_, end)| chunk < *end)
    }

    /// How many are.
    pub fn count(&self) -> u32 {
        self.done.iter().map(|(first, end)| end - first).sum()
    }

    /// Counts a chunk; false: it was counted before.
    pub fn add(&mut self, chunk: u32, rows: u64) -> bool {
        if self.has(chunk) {
            return false;
        }
        let at = self.done.partition_point(|(first, _)| *first < chunk);
        self.done.insert(at, (chunk, chunk.saturating_add(1)));
        self.done = self.done.iter().fold(Vec::new(), |mut runs: Vec<(u32, u32)>, run| {
            match runs.last_mut() {
                Some(last) if last.1 == run.0 => last.1 = run.1,
                _ => runs.push(*run),
            }
            runs
        });
        self.rows += rows;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chunk_counts_once_in_any_order() {
        let mut progress = Progress::default();
        for (i, chunk) in [3, 0, 1, 5, 4, 2, 0, 5].into_iter().enumerate() {
            assert_eq!(progress.has(chunk), i >= 6);
            assert_eq!(progress.add(chunk, 10), i < 6);
        }
        assert_eq!(progress, Progress { rows: 60, done: vec![(0, 6)], ..Progress::default() });
        assert_eq!(progress.count(), 6);
        assert!(!progress.has(6));
        progress.add(u32::MAX - 1, 1);
        assert!(progress.has(u32::MAX - 1) && !progress.has(7));
    }

    #[test]
    fn a_file_says_whose_it_is() {
        let id = JobId::of_number(7);
        let files = Files(&id);
        for name in [files.input(), files.result(), files.chunk(3), files.piece(u32::MAX)] {
            assert_eq!(Files::owner(&name), Some(id.clone()), "{name}");
        }
        assert_eq!(Files::owner("../x"), None);
        assert_eq!(Files::owner(""), None);
    }
}
