//! How far a job is, as server-sent events (HTML Living Standard section 9.2): one whenever that changes, the last one when
//! the job is over. A client that was cut off says with `Last-Event-ID` what it saw.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arborgate_contracts::{ErrorCode, JobId};
use bytes::Bytes;
use futures_util::stream::unfold;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Jobs, Seen};
use crate::api::Shared;
use crate::front::problem::Problem;
use crate::identity::Caller;

/// How often it is looked whether something changed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Nothing is said no longer than this, so that what stands between sees that the stream lives.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// After this a stream ends, and its client asks again: with what it may then.
const LONGEST: Duration = Duration::from_secs(600);
/// What clients wait for before they ask again, in milliseconds.
const RETRY_MS: u32 = 2000;

/// The events of one job.
pub(crate) struct Stream {
    shared: Arc<Shared>,
    id: JobId,
    /// The event that the client has seen.
    last: Option<u64>,
    render: fn(&Seen) -> String,
    until: Instant,
    said: Instant,
    begun: bool,
    ended: bool,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Jobs {
    /// Begins to tell of a job that the caller may see. `render` gives its JSON, in one line.
    pub(crate) async fn watch(
        &self,
        shared: &Arc<Shared>,
        caller: &Caller,
        id: &str,
        last: Option<&str>,
        render: fn(&Seen) -> String,
    ) -> Result<Stream, Problem> {
        let seen = self.get(caller, id).await?;
        let permit = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            let detail = "too many follow jobs through this server; ask for GET /v1/jobs/{id} now and then";
            Problem { retry_after_ms: Some(5000), ..Problem::new(ErrorCode::Overloaded, detail) }
        })?;
        Ok(Stream {
            shared: Arc::clone(shared),
            id: seen.job.id,
            last: last.and_then(|text| text.trim().parse().ok()),
            render,
            until: Instant::now() + LONGEST,
            said: Instant::now(),
            begun: false,
            ended: false,
            stop: self.stop.clone(),
            _permit: permit,
        })
    }
}

impl Stream {
    /// The bytes of the events.
    pub(crate) fn bytes(self) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send {
        unfold(self, |mut stream| async move {
            let next = stream.next().await?;
            Some((Ok(Bytes::from(next)), stream))
        })
    }

    async fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        if !std::mem::replace(&mut self.begun, true) {
            self.said = Instant::now();
            return Some(format!("retry: {RETRY_MS}\n\n"));
        }
        loop {
            if self.stop.is_cancelled() || Instant::now() >= self.until {
                return None;
            }
            if let Some(event) = self.look().await {
                self.said = Instant::now();
                return Some(event);
            }
            if self.said.elapsed() >= ALIVE_EVERY {
                self.said = Instant::now();
                return Some(": alive\n\n".to_owned());
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = self.stop.cancelled() => return None,
            }
        }
    }

    /// What is new.
    async fn look(&mut self) -> Option<String> {
        let seen = match self.shared.jobs.read(&self.id).await {
            Ok(Some(seen)) => seen,
            Ok(None) => {
                self.ended = true;
                return Some("event: removed\ndata: {}\n\n".to_owned());
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "a job can not be followed just now");
                return None;
            }
        };
        let is_over = seen.job.state.is_final();
        if !is_over && self.last == Some(seen.revision) {
            return None;
        }
        self.last = Some(seen.revision);
        self.ended = is_over;
        let name = if is_over { "end" } else { "progress" };
        Some(format!("id: {}\nevent: {name}\ndata: {}\n\n", seen.revision, (self.render)(&seen)))
    }
}
