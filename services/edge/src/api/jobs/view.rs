//! A job as the document shows it.

use arborgate_contracts::jobs::{FileKind, Kind, State as JobState};
use jiff::Timestamp;
use poem_openapi::{Enum, Object};
use serde::Serialize;

use crate::jobs::Seen;

/// What is answered to a row.
#[derive(Enum, Serialize, Clone, Copy, Default)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(super) enum JobKindName {
    /// Of a classifier the predicted class.
    Label,
    /// Of a classifier the probability of each class; else the predicted values.
    #[default]
    Proba,
    /// Margins: what the trees sum to.
    Raw,
    /// What each feature contributed to each margin, and the base.
    Shap,
}

/// What a result is.
#[derive(Enum, Serialize, Clone, Copy)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(super) enum JobOutputName {
    /// Text, with a header.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// numpy's own, of one array.
    Npy,
}

/// What becomes of a job.
#[derive(Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(super) enum JobStateName {
    /// It waits for a worker.
    Queued,
    /// Its rows are read and predicted.
    Running,
    /// Its result is there.
    Succeeded,
    /// It can not be done; `reason` says why.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

/// A job.
#[derive(Object, Serialize)]
pub(super) struct JobView {
    /// Its id.
    id: String,
    /// The model.
    model: String,
    /// The version, chosen when the job was made.
    version: String,
    /// What is answered to a row.
    kind: JobKindName,
    /// What the result is.
    output: JobOutputName,
    /// What becomes of it.
    state: JobStateName,
    /// Why it failed, with the row and the column where there is one.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Bytes of its file.
    bytes: u64,
    /// Rows that are answered.
    rows_done: u64,
    /// Rows in all, once that is known; while a CSV is read an estimate.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_total: Option<u64>,
    /// Bytes of the result.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    result_bytes: Option<u64>,
    /// SHA-256 of the result, lower-case hex.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    result_digest: Option<String>,
    /// Who made it.
    owner: String,
    /// RFC 3339.
    created_at: String,
    /// RFC 3339; once it is over.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    /// RFC 3339: from then on it is not there.
    expires_at: String,
}

pub(super) fn time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.unwrap_or(Timestamp::MAX).to_string()
}

impl JobView {
    pub(super) fn of(Seen { job, progress, .. }: &Seen) -> Self {
        let expected = progress.as_ref().and_then(|progress| progress.expected);
        Self {
            id: job.id.to_string(),
            model: job.model.to_string(),
            version: job.version.to_string(),
            kind: match job.wish.kind {
                Kind::Label => JobKindName::Label,
                Kind::Proba => JobKindName::Proba,
                Kind::Raw => JobKindName::Raw,
                Kind::Shap => JobKindName::Shap,
            },
            output: match job.wish.output {
                FileKind::Parquet => JobOutputName::Parquet,
                FileKind::Npy => JobOutputName::Npy,
                FileKind::Csv | FileKind::Arrow => JobOutputName::Csv,
            },
            state: match job.state {
                JobState::Receiving | JobState::Queued => JobStateName::Queued,
                JobState::Running => JobStateName::Running,
                JobState::Succeeded => JobStateName::Succeeded,
                JobState::Failed => JobStateName::Failed,
                JobState::Cancelled => JobStateName::Cancelled,
            },
            reason: job.reason.clone(),
            bytes: job.bytes,
            rows_done: progress.as_ref().map_or(0, |progress| progress.rows),
            rows_total: job.rows.or(expected),
            result_bytes: job.result.as_ref().map(|result| result.size),
            result_digest: job.result.as_ref().map(|result| result.digest.clone()),
            owner: job.owner.clone(),
            created_at: time(job.created_ms),
            finished_at: job.finished_ms.map(time),
            expires_at: time(job.expires_ms),
        }
    }

    pub(super) fn line(seen: &Seen) -> String {
        // Texts and numbers always have a JSON, in which a line never ends.
        serde_json::to_string(&Self::of(seen)).unwrap_or_default()
    }
}
