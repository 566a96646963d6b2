//! Rows on their way to a worker. At most `in_flight` messages of a version are under way; only when all are taken do
//! rows wait and go together in the next: batches with no timer, of those that ask for the same. A request over the message
//! limit goes in parts, on slots of its own. What got no answer is asked of another worker until its deadline.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arborgate_bus::{Bus, Meta, RequestError};
use arborgate_contracts::wire::{Answer, Asked, BatchHeader, Reply, RequestWriter, segment_size};
use arborgate_contracts::{Deadline, ErrorCode, InstanceId, ServiceError};
use futures_util::future::try_join_all;
use tokio::sync::{Semaphore, oneshot};

use super::rows::Rows;
use super::statistics::Statistics;
use super::workers::Workers;

/// How long a lost bus is waited for: its client may find another server. Longer would only hold the caller up.
const BUS_PATIENCE: Duration = Duration::from_millis(500);
/// Bytes of an answer to what is seldom asked, at most: a row may have a number for each tree, or for each feature and class.
const LARGEST_ANSWER: usize = 32 << 20;

/// How rows travel.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long one worker is waited for.
    pub attempt: Duration,
    /// Rows in one message at most.
    pub message_rows: usize,
    /// Rows that wait for a version at most.
    pub waiting_rows: usize,
    /// Messages under way for a version, if there are not more by the number of workers.
    pub in_flight: usize,
}

struct Pending {
    asked: Asked,
    rows: u32,
    values: Vec<f64>,
    meta: Meta,
    grant: Arc<str>,
    answer: oneshot::Sender<Result<Answer, ServiceError>>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Pending>,
    waiting_rows: usize,
    in_flight: usize,
}

/// The way to one version's workers.
pub struct Lane {
    bus: Bus,
    header: BatchHeader,
    /// What a row takes in a reply.
    reply_row: ReplyRow,
    workers: Workers,
    limits: Limits,
    statistics: Arc<Statistics>,
    state: parking_lot::Mutex<State>,
    parts: Semaphore,
}

/// Bytes that a row takes in a reply, by what is asked.
pub type ReplyRow = Box<dyn Fn(Asked) -> usize + Send + Sync>;

impl Lane {
    /// A way over `bus` to `workers`.
    pub fn new(
        bus: Bus,
        header: BatchHeader,
        reply_row: ReplyRow,
        workers: Workers,
        limits: Limits,
        statistics: Arc<Statistics>,
    ) -> Self {
        let parts = Semaphore::new(limits.in_flight.max(1));
        Self { bus, header, reply_row, workers, limits, statistics, state: parking_lot::Mutex::default(), parts }
    }

    /// Who answers for the version.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Rows that fit into one message, both ways.
    fn part_rows(&self, asked: Asked, grant: &str) -> usize {
        // What stands before the first segment, and room for a refusal's text in a reply.
        const SPARE: usize = 4096;
        let room = self.bus.max_payload().saturating_sub(SPARE + segment_size(grant, 0, 0));
        let row = (self.header.columns as usize * 8).max((self.reply_row)(asked)).max(1);
        (room / row).min(self.limits.message_rows)
    }

    /// What was asked of it.
    pub fn statistics(&self) -> &Arc<Statistics> {
        &self.statistics
    }

    /// Predictions for the rows of one request.
    pub async fn predict(self: &Arc<Self>, rows: Rows, meta: Meta, grant: &Arc<str>) -> Result<Answer, ServiceError> {
        let begun = Instant::now();
        let outcome = self.ask(rows, meta, grant).await;
        match &outcome {
            Ok(answer) => self.statistics.answered(answer, begun.elapsed()),
            Err(_) => self.statistics.failed(begun.elapsed()),
        }
        outcome
    }

    async fn ask(self: &Arc<Self>, rows: Rows, meta: Meta, grant: &Arc<str>) -> Result<Answer, ServiceError> {
        let asked = rows.ask.asked;
        let fits = self.part_rows(asked, grant);
        if fits == 0 {
            let detail =
                format!("a row of {} values, or its answer, is over the bus's message limit", self.header.columns);
            return Err(ServiceError::new(ErrorCode::TooLarge, detail));
        }
        if asked != Asked::DEFAULT {
            let most = LARGEST_ANSWER / (self.reply_row)(asked).max(1);
            if rows.count as usize > most {
                let detail = format!("the answer to {} rows is too large; ask for at most {most} at once", rows.count);
                return Err(ServiceError::new(ErrorCode::TooLarge, detail));
            }
        }
        if rows.count as usize > fits {
            return Box::pin(self.predict_in_parts(rows, fits, meta, grant)).await;
        }
        let (answer, receiver) = oneshot::channel();
        let pending = Pending { asked, rows: rows.count, values: rows.values, meta, grant: Arc::clone(grant), answer };
        if let Some((slot, pending)) = self.enqueue(pending)? {
            // In the caller's own task. Boxed: a request's future is moved, and most of this is for the seldom.
            Box::pin(self.deliver(vec![pending])).await;
            drop(slot);
        }
        receiver.await.unwrap_or_else(|_| Err(ServiceError::internal()))
    }

    /// Takes a slot, or leaves the rows waiting for one.
    fn enqueue(self: &Arc<Self>, pending: Pending) -> Result<Option<(Slot, Pending)>, ServiceError> {
        let most = self.limits.in_flight.max(2 * self.workers.count());
        let mut state = self.state.lock();
        if state.in_flight < most && state.waiting.is_empty() {
            state.in_flight += 1;
            return Ok(Some((Slot(Arc::clone(self)), pending)));
        }
        if state.waiting_rows + pending.rows as usize > self.limits.waiting_rows {
            let mut error = ServiceError::new(
                ErrorCode::Overloaded,
                format!("too many rows wait for model '{}'; try again shortly", self.header.model),
            );
            error.retry_after_ms = Some(1000);
            return Err(error);
        }
        state.waiting_rows += pending.rows as usize;
        state.waiting.push_back(pending);
        Ok(None)
    }

    /// What goes in the next message; without any, the slot is given back.
    fn next(&self) -> Option<Vec<Pending>> {
        let mut state = self.state.lock();
        let mut batch: Vec<Pending> = Vec::new();
        let (mut bytes, mut rows) = (0, 0);
        while let Some(pending) = state.waiting.front() {
            if !pending.answer.is_closed() {
                rows += pending.rows as usize;
                bytes += segment_size(&pending.grant, pending.rows as usize, self.header.columns as usize)
                    .max(pending.rows as usize * (self.reply_row)(pending.asked) + 16);
                let full = rows > self.limits.message_rows || bytes > self.bus.max_payload().saturating_sub(4096);
                if batch.first().is_some_and(|first| full || first.asked != pending.asked) {
                    break;
                }
            }
            state.waiting_rows -= pending.rows as usize;
            batch.extend(state.waiting.pop_front().filter(|pending| !pending.answer.is_closed()));
        }
        if batch.is_empty() {
            state.in_flight -= 1;
            return None;
        }
        Some(batch)
    }

    /// Sends a batch, asks again for what got no answer, and tells each caller.
    async fn deliver(&self, mut batch: Vec<Pending>) {
        let mut tried: Vec<InstanceId> = Vec::new();
        let mut pause = Duration::from_millis(5);
        let mut lost_at = None;
        loop {
            let (asked, outcome) = self.attempt(&batch, &tried).await;
            let lost = matches!(outcome, Err(RequestError::Bus(_)));
            lost_at = lost.then(|| lost_at.unwrap_or_else(Instant::now));
            let hopeless = lost_at.is_some_and(|at| at.elapsed() >= BUS_PATIENCE);
            let failure = match outcome {
                Ok(reply) => {
                    self.statistics.executed();
                    batch = settle(batch, reply);
                    if batch.is_empty() {
                        return;
                    }
                    unavailable()
                }
                Err(error) => self.refusal_of(&error),
            };
            let (over, rest): (Vec<_>, Vec<_>) = batch
                .into_iter()
                .filter(|p| !p.answer.is_closed())
                .partition(|p| hopeless || p.meta.deadline.has_passed() || !may_ask_again(failure.code));
            for pending in over {
                // A caller that has gone needs no answer.
                let _ = pending.answer.send(Err(failure.clone()));
            }
            if rest.is_empty() {
                return;
            }
            batch = rest;
            // Also one that answers may refuse a segment, which then goes to another.
            tried.extend(asked);
            if tried.len() >= self.workers.count() {
                // Everybody was asked: begin again, not at once.
                tried.clear();
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(250));
            }
        }
    }

    fn refusal_of(&self, error: &RequestError) -> ServiceError {
        match error {
            RequestError::Service(error) => error.clone(),
            RequestError::Timeout { .. } => too_late(),
            RequestError::Full { .. } => unavailable(),
            RequestError::NoResponders { .. } => {
                let detail = match self.workers.aside().join("; ") {
                    reasons if reasons.is_empty() => "no worker holds this model; try again shortly".to_owned(),
                    reasons => format!("no worker answers for this version of the model: {reasons}"),
                };
                ServiceError::new(ErrorCode::Unavailable, detail)
            }
            RequestError::TooLarge { .. } => ServiceError::new(ErrorCode::TooLarge, error.to_string()),
            RequestError::Bus(_) => {
                ServiceError::new(ErrorCode::Unavailable, "the workers can not be reached; try again shortly")
            }
        }
    }

    /// One message to one worker; which one, when that is known.
    async fn attempt(
        &self,
        batch: &[Pending],
        tried: &[InstanceId],
    ) -> (Option<InstanceId>, Result<Reply, RequestError>) {
        let columns = self.header.columns as usize;
        let capacity = batch.iter().map(|p| segment_size(&p.grant, p.rows as usize, columns)).sum();
        let asked = batch.first().map_or(Asked::DEFAULT, |first| first.asked);
        let mut writer = RequestWriter::asking(&self.header, asked, capacity);
        for p in batch {
            writer.push(p.meta.deadline, p.meta.trace, &p.grant, p.rows, &p.values);
        }
        // The message is wanted as long as anybody in it waits.
        let latest = batch.iter().map(|p| p.meta.deadline).max().unwrap_or(Deadline::after(Duration::ZERO));
        let trace = batch.iter().find_map(|p| p.meta.trace);
        let meta = Meta { deadline: latest.within(self.limits.attempt), trace };
        let chosen = self.workers.choose(tried);
        let outcome = self.bus.request(&chosen.subject, writer.finish(), meta).await;
        if let (Err(error), Some(instance)) = (&outcome, &chosen.instance)
            && matches!(error, RequestError::Timeout { .. } | RequestError::NoResponders { .. })
        {
            tracing::warn!(worker = %instance, %error, "asking another worker");
            self.workers.suspect(instance);
        }
        (chosen.instance.clone(), outcome.and_then(|reply| read(&reply, batch.len())))
    }

    /// Rows over the message limit: in parts, several at a time, put together in order.
    async fn predict_in_parts(
        &self,
        rows: Rows,
        fits: usize,
        meta: Meta,
        grant: &Arc<str>,
    ) -> Result<Answer, ServiceError> {
        let asked = rows.ask.asked;
        let part = |values: &[f64]| {
            let values = values.to_vec();
            async move {
                let _permit = self.parts.acquire().await.map_err(|_| ServiceError::internal())?;
                let (answer, receiver) = oneshot::channel();
                let rows = (values.len() / self.header.columns as usize) as u32;
                self.deliver(vec![Pending { asked, rows, values, meta, grant: Arc::clone(grant), answer }]).await;
                receiver.await.unwrap_or_else(|_| Err(ServiceError::internal()))
            }
        };
        let parts = rows.values.chunks(fits * self.header.columns as usize).map(part);
        let mut answers = try_join_all(parts).await?.into_iter();
        let mut whole = answers.next().ok_or_else(ServiceError::internal)?;
        for answer in answers {
            whole.rows += answer.rows;
            whole.queued_us = whole.queued_us.max(answer.queued_us);
            whole.computed_us = whole.computed_us.saturating_add(answer.computed_us);
            whole.values.extend(answer.values);
            whole.labels.extend(answer.labels);
        }
        Ok(whole)
    }
}

fn read(reply: &[u8], segments: usize) -> Result<Reply, RequestError> {
    match Reply::read(reply) {
        Ok(reply) if reply.segments.len() == segments => Ok(reply),
        Ok(_) => Err(RequestError::Service(ServiceError::internal())),
        Err(error) => {
            tracing::error!(%error, "a worker's reply can not be read");
            Err(RequestError::Service(ServiceError::internal()))
        }
    }
}

/// Tells each caller what its segment gave; those that a worker could not serve, and another may, come back.
fn settle(batch: Vec<Pending>, reply: Reply) -> Vec<Pending> {
    let mut again = Vec::new();
    for (pending, outcome) in batch.into_iter().zip(reply.segments) {
        match outcome {
            Err(error) if error.code.is_transient() => again.push(pending),
            Ok(answer) if answer.rows != pending.rows => {
                let _ = pending.answer.send(Err(ServiceError::internal()));
            }
            // A caller that has gone needs no answer.
            outcome => drop(pending.answer.send(outcome)),
        }
    }
    again
}

/// The right to have a message under way. Dropped, also by a caller that has gone or a panic, it sends what waits.
struct Slot(Arc<Lane>);

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(batch) = self.0.next() {
            let slot = Self(Arc::clone(&self.0));
            tokio::spawn(async move {
                slot.0.deliver(batch).await;
                drop(slot);
            });
        }
    }
}

fn may_ask_again(code: ErrorCode) -> bool {
    code.is_transient() || code == ErrorCode::DeadlineExceeded
}

fn unavailable() -> ServiceError {
    ServiceError::new(ErrorCode::Overloaded, "the workers are busy; try again shortly")
}

fn too_late() -> ServiceError {
    ServiceError::new(ErrorCode::DeadlineExceeded, "no worker answered in time")
}

#[cfg(test)]
mod tests {
    use arborgate_bus::{Directory, local};
    use arborgate_contracts::Service;

    use super::*;
    use crate::models::ask::{Ask, Purpose};

    #[tokio::test]
    async fn a_lost_bus_is_not_waited_for_until_the_deadline() {
        let bus = Bus::new(local::LocalBus::open(local::Config::default()).unwrap());
        let directory = Directory::start(&bus, Service::Inference).await.unwrap();
        let header = BatchHeader { model: "m".parse().unwrap(), version: "1".parse().unwrap(), columns: 1 };
        let workers = Workers::new(directory, header.model.clone(), header.version.clone(), String::new());
        let limits = Limits { attempt: Duration::from_secs(2), message_rows: 8, waiting_rows: 8, in_flight: 1 };
        let lane = Arc::new(Lane::new(bus.clone(), header, Box::new(|_| 8), workers, limits, Arc::default()));
        bus.close().await;
        let rows = Rows { count: 1, values: vec![1.0], many: false, ask: Ask::of(Purpose::Predict) };
        let meta = Meta::within(Duration::from_secs(60));
        let began = Instant::now();
        let refused = lane.predict(rows, meta, &"user:ann".into()).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unavailable);
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
