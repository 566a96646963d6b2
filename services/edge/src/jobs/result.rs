//! A result on its way out: streamed, whole or from a byte on, so that a download that broke goes on (RFC 9110 section 14).

use arborgate_bus::StoreError;
use arborgate_contracts::jobs::{FileKind, Files, Outcome, State};
use arborgate_contracts::{ErrorCode, ServiceError};
use http::StatusCode;
use poem::Body;
use tokio::io::AsyncReadExt;

use super::{Jobs, Seen, absent, failed};
use crate::front::problem::Problem;
use crate::identity::Caller;

/// Some bytes of a result.
pub(crate) struct Download {
    /// The bytes.
    pub body: Body,
    /// Which they are, of how many; whole if none were asked.
    pub part: Option<(u64, u64)>,
    /// Of the whole.
    pub size: u64,
    /// SHA-256 of the whole, lower-case hex.
    pub digest: String,
    /// What it is.
    pub kind: FileKind,
    /// A name for it.
    pub name: String,
}

/// What `Range` asks for: one range of bytes. Any other is as none (section 14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// From a byte on, up to another.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

impl Range {
    /// Reads `bytes=…`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
        match (first, last) {
            ("", last) => number(last).map(Self::Last),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// The first byte, and the one after the last; none: there are none such.
    fn of(self, size: u64) -> Option<(u64, u64)> {
        let (from, to) = match self {
            Self::From(from, to) => (from, to.map_or(size, |last| last.saturating_add(1).min(size))),
            Self::Last(count) => (size.saturating_sub(count), size),
        };
        (from < to).then_some((from, to))
    }
}

fn unsatisfiable(size: u64) -> Problem {
    let detail = format!("Range: the result has {size} bytes");
    Problem::new(ErrorCode::BadRequest, detail).with_status(StatusCode::RANGE_NOT_SATISFIABLE)
}

impl Jobs {
    /// Opens the result of a job of the caller's own.
    pub(crate) async fn result(&self, caller: &Caller, id: &str, range: Option<Range>) -> Result<Download, Problem> {
        let Seen { job, .. } = self.get(caller, id).await?;
        if job.owner != caller.principal.to_string() {
            return Err(absent());
        }
        let Some(Outcome { size, digest }) = job.result.filter(|_| job.state == State::Succeeded) else {
            let detail = match job.state {
                State::Failed => "the job failed and has no result; GET /v1/jobs/{id} says why",
                State::Cancelled => "the job was cancelled and has no result",
                _ => "the job is not over; GET /v1/jobs/{id}/events says when it is",
            };
            return Err(Problem::new(ErrorCode::Conflict, detail));
        };
        let part = match range {
            Some(range) => Some(range.of(size).ok_or_else(|| unsatisfiable(size))?),
            None => None,
        };
        let object = self.kept.files.get(&Files(&job.id).result()).await.map_err(|error| match error {
            StoreError::NoObject { .. } => absent(),
            other => failed("a result can not be read")(other),
        })?;
        let (from, to) = part.unwrap_or((0, size));
        let mut reader = object.reader;
        let skipped = tokio::io::copy(&mut (&mut reader).take(from), &mut tokio::io::sink()).await;
        skipped.map_err(|error| {
            tracing::error!(job = %job.id, error = &error as &dyn std::error::Error, "a result can not be read");
            Problem::from(ServiceError::internal())
        })?;
        let extension = match job.wish.output {
            FileKind::Csv => "csv",
            FileKind::Parquet => "parquet",
            FileKind::Arrow => "arrows",
            FileKind::Npy => "npy",
        };
        let name = format!("{}-{}.{extension}", job.model, job.id);
        let body = Body::from_async_read(reader.take(to - from));
        Ok(Download { body, part, size, digest, kind: job.wish.output, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_of_bytes_is_read() {
        let part = |text: &str| Range::read(text).map(|range| range.of(10));
        assert_eq!(part("bytes=0-"), Some(Some((0, 10))));
        assert_eq!(part("bytes=3-5"), Some(Some((3, 6))));
        assert_eq!(part("bytes=9-99999999999999999"), Some(Some((9, 10))));
        assert_eq!(part("bytes=-4"), Some(Some((6, 10))));
        assert_eq!(part("bytes=-40"), Some(Some((0, 10))));
        for beyond in ["bytes=10-", "bytes=11-12", "bytes=-0", "bytes=18446744073709551615-"] {
            assert_eq!(part(beyond), Some(None), "{beyond}");
        }
        for none in ["", "bytes", "bytes=", "bytes=-", "bytes=5-3", "bytes=0-1,3-4", "rows=0-", "bytes=+1-", "bytes=a-"]
        {
            assert_eq!(part(none), None, "{none}");
        }
    }
}
