//! The way of a prediction message: read, checked, queued, answered. The one handler of all predictions, on the subject of
//! each version and on the worker's own. No mailbox is passed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arborgate_bus::{Handler, Incoming};
use arborgate_contracts::registry::manifest_key;
use arborgate_contracts::wire::{Asked, BatchHeader, PredictRequest, Segment, WireError};
use arborgate_contracts::{ErrorCode, ModelName, ServiceError, TraceContext, Version};
use arborgate_runtime::telemetry;
use async_trait::async_trait;
use bytes::Bytes;
use tracing::Span;

use crate::job::Job;
use crate::kernel::Kernel;
use crate::metrics::{Metrics, Reason};
use crate::model::{Call, Calls};
use crate::pool::Urgency;
use crate::table::{Loaded, Table, There};

/// Bytes of a reply beside its rows: the head, and for each segment its head or a short refusal.
const REPLY_HEAD: usize = 15;
const SEGMENT_HEAD: usize = 512;
/// How often a model that rests is called.
const CALL_EVERY: Duration = Duration::from_millis(250);

pub(crate) struct Predict {
    pub(crate) table: Arc<Table>,
    pub(crate) calls: Calls,
    pub(crate) metrics: Metrics,
    /// Of the bus.
    pub(crate) max_payload: usize,
}

#[async_trait]
impl Handler for Predict {
    async fn handle(&self, request: Incoming) -> Result<Bytes, ServiceError> {
        let arrived = Instant::now();
        let PredictRequest { header, asked, segments } =
            PredictRequest::read(&request.payload).map_err(|error| self.unreadable(&error))?;
        let loaded = match self.table.get(&header.model, &header.version, arrived) {
            Some(There::Loaded(loaded)) => loaded,
            Some(There::Resting) => Box::pin(self.wake(&header, &segments)).await?,
            None => return Err(self.not_held(&header)),
        };
        let other;
        let line = if asked == Asked::DEFAULT {
            loaded.ways.line()
        } else {
            // Boxed: the future of what is asked all the time stays small.
            other = Box::pin(loaded.ways.other(asked, Urgency::Now)).await?;
            &*other
        };
        let kernel = line.kernel();
        if kernel.width() + kernel.labels() == 0 {
            self.metrics.refused(Reason::Invalid);
            return Err(ServiceError::new(ErrorCode::Invalid, "this model has nothing of what is asked"));
        }
        let refusals = self.refusals(&segments, header.columns as usize, kernel);
        let spans = spans(&segments, request.meta.trace, &header.model, &header.version);
        let shape = (kernel.columns(), kernel.width(), kernel.labels());
        let waits = refusals.iter().any(Option::is_none);
        let job = Arc::new(Job::new(segments, refusals, shape, arrived));
        if waits {
            let abandon = job.abandon_on_drop();
            line.push(&job);
            job.finished().await;
            drop(abandon);
        }
        Ok(job.reply(|segment, times| {
            if let Some(Some(span)) = spans.get(segment) {
                record(span, times);
            }
        }))
    }
}

impl Predict {
    fn unreadable(&self, error: &WireError) -> ServiceError {
        self.metrics.refused(Reason::Unreadable);
        ServiceError::new(ErrorCode::BadRequest, error.to_string())
    }

    fn not_held(&self, BatchHeader { model, version, .. }: &BatchHeader) -> ServiceError {
        self.metrics.refused(Reason::NotHeld);
        let detail = format!("this worker does not hold {model} version {version}; ask another");
        ServiceError::new(ErrorCode::Unavailable, detail)
    }

    /// Has a model that rests loaded, and waits for it as long as anybody in the message does.
    async fn wake(&self, header: &BatchHeader, segments: &[Segment]) -> Result<Arc<Loaded>, ServiceError> {
        let BatchHeader { model, version, .. } = header;
        let latest = segments.iter().map(|segment| segment.deadline.instant()).max().unwrap_or_else(Instant::now);
        let mut changes = self.table.changes();
        loop {
            changes.mark_unchanged();
            match self.table.get(model, version, Instant::now()) {
                Some(There::Loaded(loaded)) => return Ok(loaded),
                Some(There::Resting) => {}
                None => return Err(self.not_held(header)),
            }
            if let Some(why) = self.table.aside(model, version) {
                let detail = format!("{model} version {version} can not be loaded: {why}");
                return Err(ServiceError::new(ErrorCode::Unavailable, detail));
            }
            // A call that finds no room is made again.
            let _ = self.calls.try_send((manifest_key(model, version), Call::Wake));
            let until = latest.min(Instant::now() + CALL_EVERY);
            if tokio::time::timeout_at(until.into(), changes.changed()).await.is_err() && Instant::now() >= latest {
                self.metrics.refused(Reason::Deadline);
                let detail = format!("{model} version {version} was not loaded in time");
                return Err(ServiceError::new(ErrorCode::DeadlineExceeded, detail));
            }
        }
    }

    /// For each segment why it is not even queued.
    fn refusals(&self, segments: &[Segment], columns: usize, kernel: &dyn Kernel) -> Vec<Option<ServiceError>> {
        let mut room = self.max_payload.saturating_sub(REPLY_HEAD + SEGMENT_HEAD.saturating_mul(segments.len()));
        let mut refusal = |segment: &Segment| {
            let (reason, detail) = self.fault(segment, columns, kernel, &mut room)?;
            self.metrics.refused(reason);
            Some(ServiceError::new(reason.code(), detail))
        };
        segments.iter().map(&mut refusal).collect()
    }

    fn fault(
        &self,
        segment: &Segment,
        columns: usize,
        kernel: &dyn Kernel,
        room: &mut usize,
    ) -> Option<(Reason, String)> {
        if segment.grant.is_empty() {
            return Some((Reason::Forbidden, "the rows come without a grant".into()));
        }
        if columns != kernel.columns() {
            let detail = format!("rows have {columns} values; the model takes {}", kernel.columns());
            return Some((Reason::Invalid, detail));
        }
        if segment.rows == 0 {
            return Some((Reason::Invalid, "there are no rows to predict".into()));
        }
        if segment.deadline.has_passed() {
            return Some((Reason::Deadline, "the deadline passed on the way here".into()));
        }
        let row = kernel.width() * 8 + kernel.labels() * 4;
        let answer = row.saturating_mul(segment.rows as usize);
        if answer > *room {
            let alone = self.max_payload.saturating_sub(REPLY_HEAD + SEGMENT_HEAD);
            if answer > alone {
                let detail =
                    format!("the answer does not fit a message; ask for at most {} rows at once", alone / row.max(1));
                return Some((Reason::TooLarge, detail));
            }
            return Some((Reason::Overloaded, "the answers to these rows do not fit one message together".into()));
        }
        *room -= answer;
        None
    }
}

/// A span for each segment whose caller, or whose message, is traced; empty where nothing is exported.
fn spans(
    segments: &[Segment],
    message: Option<TraceContext>,
    model: &ModelName,
    version: &Version,
) -> Vec<Option<Span>> {
    if !telemetry::is_exporting() {
        return Vec::new();
    }
    let span = |segment: &Segment| {
        let trace = segment.trace.or(message)?;
        let span = tracing::info_span!(
            "inference.predict",
            otel.kind = "server",
            %model,
            %version,
            rows = segment.rows,
            queued_us = tracing::field::Empty,
            computed_us = tracing::field::Empty,
            refused = tracing::field::Empty,
        );
        telemetry::set_parent(&span, &trace.to_string());
        Some(span)
    };
    segments.iter().map(span).collect()
}

fn record(span: &Span, times: Option<(u32, u32)>) {
    match times {
        Some((queued_us, computed_us)) => {
            span.record("queued_us", queued_us);
            span.record("computed_us", computed_us);
        }
        None => {
            span.record("refused", true);
        }
    }
}
