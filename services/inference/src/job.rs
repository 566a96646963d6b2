//! One message's rows on their way through the pool: who waits for them, what has been computed, what was refused. It
//! knows no thread and no queue.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arborgate_contracts::ServiceError;
use arborgate_contracts::wire::{ReplyWriter, Segment};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::metrics::Reason;

/// A message being answered.
pub(crate) struct Job {
    segments: Vec<Segment>,
    columns: usize,
    width: usize,
    labels: usize,
    arrived: Instant,
    gone: AtomicBool,
    done: Notify,
    progress: Mutex<Progress>,
}

struct Progress {
    /// Of all admitted segments, one after another.
    values: Vec<f64>,
    labels: Vec<u32>,
    segments: Vec<SegmentProgress>,
    /// Rows that are neither computed nor refused.
    open_rows: usize,
}

#[derive(Default)]
struct SegmentProgress {
    /// Where its rows begin among all admitted ones.
    offset: usize,
    started: Option<Instant>,
    ended: Option<Instant>,
    refusal: Option<ServiceError>,
}

/// Some rows of one segment, computed.
pub(crate) struct Computed<'a> {
    pub(crate) segment: usize,
    /// The first of the rows, counted in the segment.
    pub(crate) row: usize,
    pub(crate) rows: usize,
    pub(crate) values: &'a [f64],
    pub(crate) labels: &'a [u32],
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
}

impl Job {
    /// `refusals` has for each segment why it is not even queued, if so; the others have [`Segment::rows`] rows of
    /// `columns` values.
    pub(crate) fn new(
        segments: Vec<Segment>,
        refusals: Vec<Option<ServiceError>>,
        (columns, width, labels): (usize, usize, usize),
        arrived: Instant,
    ) -> Self {
        let mut admitted = 0;
        let states = segments.iter().zip(refusals).map(|(segment, refusal)| {
            let offset = admitted;
            if refusal.is_none() {
                admitted += segment.rows as usize;
            }
            SegmentProgress { offset, refusal, ..SegmentProgress::default() }
        });
        let states: Vec<_> = states.collect();
        let progress = Progress {
            values: vec![0.0; admitted * width],
            labels: vec![0; admitted * labels],
            segments: states,
            open_rows: admitted,
        };
        Self {
            segments,
            columns,
            width,
            labels,
            arrived,
            gone: AtomicBool::new(false),
            done: Notify::new(),
            progress: Mutex::new(progress),
        }
    }

    /// Segments that wait to be computed, with their rows.
    pub(crate) fn admitted(&self) -> Vec<(usize, usize)> {
        let progress = self.progress.lock();
        let segments = self.segments.iter().zip(&progress.segments).enumerate();
        segments.filter(|(_, (_, state))| state.refusal.is_none()).map(|(i, (s, _))| (i, s.rows as usize)).collect()
    }

    /// Why the rows of a segment need not be computed any more.
    pub(crate) fn moot(&self, segment: usize, now: Instant) -> Option<Reason> {
        if self.gone.load(Ordering::Relaxed) {
            return Some(Reason::Gone);
        }
        self.segments.get(segment).filter(|s| s.deadline.instant() <= now).map(|_| Reason::Deadline)
    }

    /// Input of some rows of a segment, row after row.
    pub(crate) fn input(&self, segment: usize, row: usize, rows: usize) -> &[f64] {
        let range = row * self.columns..(row + rows) * self.columns;
        self.segments.get(segment).and_then(|s| s.values.get(range)).unwrap_or_default()
    }

    pub(crate) fn arrived(&self) -> Instant {
        self.arrived
    }

    /// Takes what was computed. The last rows of all wake the caller.
    pub(crate) fn complete(&self, part: &Computed<'_>) {
        let mut progress = self.progress.lock();
        let Progress { values, labels, segments, .. } = &mut *progress;
        if let Some(state) = segments.get_mut(part.segment) {
            state.started = Some(state.started.map_or(part.started, |started| started.min(part.started)));
            state.ended = Some(state.ended.map_or(part.ended, |ended| ended.max(part.ended)));
            let at = state.offset + part.row;
            put(values, at * self.width, part.values);
            put(labels, at * self.labels, part.labels);
        }
        self.settle(&mut progress, part.rows);
    }

    /// Refuses a segment of which `rows` rows were not computed. The first refusal of a segment stands.
    pub(crate) fn refuse(&self, segment: usize, rows: usize, error: ServiceError) {
        let mut progress = self.progress.lock();
        if let Some(state) = progress.segments.get_mut(segment) {
            state.refusal.get_or_insert(error);
        }
        self.settle(&mut progress, rows);
    }

    fn settle(&self, progress: &mut Progress, rows: usize) {
        progress.open_rows = progress.open_rows.saturating_sub(rows);
        if progress.open_rows == 0 {
            self.done.notify_one();
        }
    }

    /// Waits until every row is computed or refused.
    pub(crate) async fn finished(&self) {
        // A permit is kept when the end came before this.
        self.done.notified().await;
    }

    /// The reply, when [`Job::finished`], and `seen` for each segment: the microseconds that it waited and was computed,
    /// unless it was refused.
    pub(crate) fn reply(&self, mut seen: impl FnMut(usize, Option<(u32, u32)>)) -> Bytes {
        let progress = self.progress.lock();
        let size = progress.values.len() * 8 + progress.labels.len() * 4 + progress.segments.len() * 32;
        let mut writer = ReplyWriter::new(self.width as u32, self.labels as u32, size);
        for (i, (segment, state)) in self.segments.iter().zip(&progress.segments).enumerate() {
            let times = match (&state.refusal, state.started, state.ended) {
                (None, Some(started), Some(ended)) => Some((micros(self.arrived, started), micros(started, ended))),
                _ => None,
            };
            match times {
                Some((queued_us, computed_us)) => {
                    let rows = segment.rows as usize;
                    let values = slice(&progress.values, state.offset * self.width, rows * self.width);
                    let labels = slice(&progress.labels, state.offset * self.labels, rows * self.labels);
                    writer.answer(queued_us, computed_us, segment.rows, values, labels);
                }
                None => match &state.refusal {
                    Some(error) => writer.refuse(error),
                    None => writer.refuse(&ServiceError::internal()),
                },
            }
            seen(i, times);
        }
        writer.finish()
    }

    /// The values and labels of the only segment, when [`Job::finished`], for who needs no message. They are gone then.
    pub(crate) fn take(&self) -> Result<(Vec<f64>, Vec<u32>), ServiceError> {
        let mut progress = self.progress.lock();
        match progress.segments.first_mut().and_then(|state| state.refusal.take()) {
            Some(refusal) => Err(refusal),
            None => Ok((std::mem::take(&mut progress.values), std::mem::take(&mut progress.labels))),
        }
    }

    /// Marks the job as wanted by nobody when the guard is dropped: the handler's future is, when its caller goes away.
    pub(crate) fn abandon_on_drop(&self) -> AbandonOnDrop<'_> {
        AbandonOnDrop(self)
    }
}

/// See [`Job::abandon_on_drop`].
pub(crate) struct AbandonOnDrop<'a>(&'a Job);

impl Drop for AbandonOnDrop<'_> {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Relaxed);
    }
}

fn put<T: Copy>(into: &mut [T], at: usize, from: &[T]) {
    if let Some(into) = into.get_mut(at..at + from.len()) {
        into.copy_from_slice(from);
    }
}

fn slice<T>(of: &[T], at: usize, len: usize) -> &[T] {
    of.get(at..at + len).unwrap_or_default()
}

fn micros(from: Instant, to: Instant) -> u32 {
    u32::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use arborgate_contracts::wire::Reply;
    use arborgate_contracts::{Deadline, ErrorCode};
    use std::time::Duration;

    use super::*;

    fn segment(values: &[f64]) -> Segment {
        let deadline = Deadline::after(Duration::from_secs(60));
        Segment { deadline, trace: None, grant: "g".into(), rows: values.len() as u32, values: values.into() }
    }

    #[tokio::test]
    async fn parts_in_any_order_give_the_rows_in_order() {
        let refusal = Some(ServiceError::new(ErrorCode::Forbidden, "no"));
        let segments = vec![segment(&[1.0, 2.0]), segment(&[9.0]), segment(&[3.0, 4.0, 5.0])];
        let job = Job::new(segments, vec![None, refusal, None], (1, 1, 1), Instant::now());
        assert_eq!(job.admitted(), [(0, 2), (2, 3)]);
        assert_eq!(job.input(2, 1, 2), [4.0, 5.0]);
        let now = Instant::now();
        let part = |segment, row, values: &'static [f64], labels| Computed {
            segment,
            row,
            rows: values.len(),
            values,
            labels,
            started: now,
            ended: now,
        };
        job.complete(&part(2, 1, &[40.0, 50.0], &[4, 5]));
        job.complete(&part(0, 0, &[10.0, 20.0], &[1, 2]));
        job.complete(&part(2, 0, &[30.0], &[3]));
        job.finished().await;
        let reply = Reply::read(&job.reply(|_, _| ())).unwrap();
        assert_eq!(reply.segments[0].as_ref().unwrap().values, [10.0, 20.0]);
        assert_eq!(reply.segments[1].as_ref().unwrap_err().code, ErrorCode::Forbidden);
        assert_eq!(reply.segments[2].as_ref().unwrap().values, [30.0, 40.0, 50.0]);
        assert_eq!(reply.segments[2].as_ref().unwrap().labels, [3, 4, 5]);
    }

    #[tokio::test]
    async fn a_segment_with_a_refused_part_is_refused_whole() {
        let job = Job::new(vec![segment(&[1.0, 2.0])], vec![None], (1, 1, 0), Instant::now());
        let now = Instant::now();
        let values = [1.0];
        job.complete(&Computed { segment: 0, row: 0, rows: 1, values: &values, labels: &[], started: now, ended: now });
        job.refuse(0, 1, ServiceError::new(ErrorCode::DeadlineExceeded, "late"));
        job.finished().await;
        let reply = Reply::read(&job.reply(|_, times| assert!(times.is_none()))).unwrap();
        assert_eq!(reply.segments[0].as_ref().unwrap_err().code, ErrorCode::DeadlineExceeded);
    }

    #[test]
    fn what_nobody_wants_is_moot() {
        let mut late = segment(&[1.0]);
        late.deadline = Deadline::after(Duration::ZERO);
        let job = Job::new(vec![segment(&[1.0]), late], vec![None, None], (1, 1, 0), Instant::now());
        assert_eq!(job.moot(0, Instant::now()), None);
        assert_eq!(job.moot(1, Instant::now()), Some(Reason::Deadline));
        drop(job.abandon_on_drop());
        assert_eq!(job.moot(0, Instant::now()), Some(Reason::Gone));
    }
}
