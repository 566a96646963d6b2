//! The pool with kernels of its own: which rows go where, and what happens to those that do not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use arborgate_contracts::wire::{Reply, Segment};
use arborgate_contracts::{Deadline, ErrorCode, ServiceError};
use ndarray::{ArrayView2, ArrayViewMut2};
use prometheus_client::registry::Registry;
use proptest::prelude::*;

use super::*;
use crate::kernel::Refused;

/// Two columns in; their sum and their difference out, and the call's number of rows nowhere. Panics over 13, refuses 14.
#[derive(Default)]
struct Sums {
    calls: AtomicUsize,
}

impl Kernel for Sums {
    fn columns(&self) -> usize {
        2
    }
    fn width(&self) -> usize {
        2
    }
    fn labels(&self) -> usize {
        1
    }
    fn predict(
        &self,
        rows: ArrayView2<'_, f64>,
        mut values: ArrayViewMut2<'_, f64>,
        mut labels: ArrayViewMut2<'_, u32>,
    ) -> Result<(), Refused> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        for (i, row) in rows.outer_iter().enumerate() {
            assert!(row[0] != 13.0, "unlucky");
            if row[0] == 14.0 {
                return Err(Refused::Row { row: i, column: 0, problem: "is fourteen".into() });
            }
            values[[i, 0]] = row[0] + row[1];
            values[[i, 1]] = row[0] - row[1];
            labels[[i, 0]] = row[0] as u32;
        }
        Ok(())
    }
}

/// Says that it began, then waits until it may go on.
struct Gated {
    began: mpsc::SyncSender<()>,
    go: Mutex<mpsc::Receiver<()>>,
    rows: AtomicUsize,
}

impl Kernel for Gated {
    fn columns(&self) -> usize {
        1
    }
    fn width(&self) -> usize {
        1
    }
    fn labels(&self) -> usize {
        0
    }
    fn predict(
        &self,
        rows: ArrayView2<'_, f64>,
        mut values: ArrayViewMut2<'_, f64>,
        _: ArrayViewMut2<'_, u32>,
    ) -> Result<(), Refused> {
        self.began.send(()).unwrap();
        self.go.lock().unwrap().recv_timeout(Duration::from_secs(30)).unwrap();
        self.rows.fetch_add(rows.nrows(), Ordering::Relaxed);
        values.assign(&rows);
        Ok(())
    }
}

struct Gate {
    kernel: Arc<Gated>,
    began: mpsc::Receiver<()>,
    go: mpsc::SyncSender<()>,
}

impl Gate {
    fn new() -> Self {
        let (began_in, began) = mpsc::sync_channel(64);
        let (go, go_out) = mpsc::sync_channel(64);
        let kernel = Arc::new(Gated { began: began_in, go: Mutex::new(go_out), rows: AtomicUsize::new(0) });
        Self { kernel, began, go }
    }

    fn wait(&self) {
        self.began.recv_timeout(Duration::from_secs(30)).unwrap();
    }

    fn open(&self, times: usize) {
        for _ in 0..times {
            self.go.send(()).unwrap();
        }
    }
}

/// What a row takes, so that rows are computed where they come from, or by the pool's threads.
const CHEAP: u64 = 1;
const DEAR: u64 = 1_000_000;

fn pool(config: &Config) -> Pool {
    Pool::start(config, Metrics::register(&mut Registry::default())).unwrap()
}

fn small() -> Config {
    Config { threads: 2, queue_rows: 100, batch_rows: 8, split_rows: 4, ..Config::default() }
}

fn segment(columns: usize, values: &[f64]) -> Segment {
    let rows = (values.len() / columns) as u32;
    Segment {
        deadline: Deadline::after(Duration::from_secs(60)),
        trace: None,
        grant: "g".into(),
        rows,
        values: values.into(),
    }
}

fn job(line: &Line, segments: Vec<Segment>) -> Arc<Job> {
    let kernel = line.kernel();
    let refusals = segments.iter().map(|_| None::<ServiceError>).collect();
    let shape = (kernel.columns(), kernel.width(), kernel.labels());
    Arc::new(Job::new(segments, refusals, shape, Instant::now()))
}

async fn reply(job: &Job) -> Reply {
    tokio::time::timeout(Duration::from_secs(30), job.finished()).await.unwrap();
    reply_now(job)
}

fn reply_now(job: &Job) -> Reply {
    Reply::read(&job.reply(|_, _| ())).unwrap()
}

fn codes(reply: &Reply) -> Vec<Option<ErrorCode>> {
    reply.segments.iter().map(|s| s.as_ref().err().map(|e| e.code)).collect()
}

#[tokio::test]
async fn many_callers_each_get_their_own_rows() {
    let pool = pool(&Config { queue_rows: 100_000, ..small() });
    let line = Arc::new(pool.lines().open(Arc::new(Sums::default()), DEAR, Urgency::Now));
    let callers: Vec<_> = (0..200_u32)
        .map(|caller| {
            let line = Arc::clone(&line);
            tokio::spawn(async move {
                for turn in 0..20 {
                    let rows = (caller + turn) % 11 + 1;
                    let base = f64::from(caller * 1_000 + 20);
                    let values: Vec<f64> = (0..rows).flat_map(|r| [base + f64::from(r), f64::from(turn)]).collect();
                    let job = job(&line, vec![segment(2, &values)]);
                    line.push(&job);
                    let reply = reply(&job).await;
                    let answer = reply.segments[0].as_ref().unwrap();
                    let turn = f64::from(turn);
                    let expected: Vec<f64> =
                        (0..rows).flat_map(|r| [base + f64::from(r) + turn, base + f64::from(r) - turn]).collect();
                    assert_eq!(answer.values, expected);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test]
async fn a_full_line_refuses_only_what_does_not_fit() {
    let pool = pool(&Config { threads: 1, queue_rows: 5, ..small() });
    let gate = Gate::new();
    let line = pool.lines().open(gate.kernel.clone(), DEAR, Urgency::Now);
    let under_way = job(&line, vec![segment(1, &[1.0])]);
    line.push(&under_way);
    gate.wait();
    let waiting = job(&line, vec![segment(1, &[2.0; 3]), segment(1, &[3.0; 3]), segment(1, &[4.0; 2])]);
    line.push(&waiting);
    let never = job(&line, vec![segment(1, &[5.0; 6])]);
    line.push(&never);
    let refused = reply(&never).await;
    assert_eq!(codes(&refused), [Some(ErrorCode::TooLarge)]);
    assert!(refused.segments[0].as_ref().unwrap_err().detail.contains("6 rows"));
    gate.open(8);
    assert_eq!(codes(&reply(&under_way).await), [None]);
    assert_eq!(codes(&reply(&waiting).await), [None, Some(ErrorCode::Overloaded), None]);
}

#[tokio::test]
async fn what_nobody_wants_any_more_is_not_computed() {
    let pool = pool(&Config { threads: 1, ..small() });
    let gate = Gate::new();
    let line = pool.lines().open(gate.kernel.clone(), DEAR, Urgency::Now);
    let under_way = job(&line, vec![segment(1, &[1.0])]);
    line.push(&under_way);
    gate.wait();
    let mut late = segment(1, &[2.0, 2.0]);
    late.deadline = Deadline::after(Duration::ZERO);
    let mixed = job(&line, vec![late, segment(1, &[3.0])]);
    line.push(&mixed);
    let gone = job(&line, vec![segment(1, &[4.0; 4])]);
    line.push(&gone);
    drop(gone.abandon_on_drop());
    gate.open(8);
    assert_eq!(codes(&reply(&mixed).await), [Some(ErrorCode::DeadlineExceeded), None]);
    reply(&gone).await;
    assert_eq!(gate.kernel.rows.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_panic_is_its_batchs_own_and_the_thread_goes_on() {
    for cost in [CHEAP, DEAR] {
        let pool = pool(&Config { threads: 1, ..small() });
        let line = pool.lines().open(Arc::new(Sums::default()), cost, Urgency::Now);
        for _ in 0..3 {
            let unlucky = job(&line, vec![segment(2, &[13.0, 0.0])]);
            line.push(&unlucky);
            assert_eq!(codes(&reply(&unlucky).await), [Some(ErrorCode::Internal)]);
            let lucky = job(&line, vec![segment(2, &[12.0, 0.0])]);
            line.push(&lucky);
            assert_eq!(codes(&reply(&lucky).await), [None]);
        }
        assert_eq!(pool.shared.metrics.panics.get(), 3);
    }
}

#[tokio::test]
async fn a_row_that_is_not_taken_is_refused_alone() {
    // Four rows before it and a part of eight: it is row 9 of its segment in whatever part it is.
    let mut values = vec![1.0; 24];
    values[18] = 14.0;
    for cost in [CHEAP, DEAR] {
        let pool = pool(&Config { threads: 1, ..small() });
        let line = pool.lines().open(Arc::new(Sums::default()), cost, Urgency::Now);
        let job = job(&line, vec![segment(2, &[1.0, 1.0]), segment(2, &values), segment(2, &[2.0, 2.0])]);
        line.push(&job);
        let reply = reply(&job).await;
        assert_eq!(codes(&reply), [None, Some(ErrorCode::Invalid), None]);
        assert_eq!(reply.segments[1].as_ref().unwrap_err().detail, "row 9, column 0 is fourteen");
    }
}

#[tokio::test]
async fn cheap_rows_are_computed_where_they_come_from() {
    let pool = pool(&small());
    let line = pool.lines().open(Arc::new(Sums::default()), CHEAP, Urgency::Now);
    let job = job(&line, vec![segment(2, &[1.0, 2.0])]);
    line.push(&job);
    // It is there without any waiting.
    assert!(futures_util::FutureExt::now_or_never(job.finished()).is_some());
    assert_eq!(reply_now(&job).segments[0].as_ref().unwrap().values, [3.0, -1.0]);
}

#[tokio::test]
async fn cheap_rows_wait_for_no_thread_and_are_refused_at_the_end() {
    let pool = pool(&Config { threads: 1, ..small() });
    let gate = Gate::new();
    let line = pool.lines().open(gate.kernel.clone(), DEAR, Urgency::Now);
    let under_way = job(&line, vec![segment(1, &[1.0])]);
    line.push(&under_way);
    gate.wait();
    let cheap = pool.lines().open(Arc::new(Sums::default()), CHEAP, Urgency::Now);
    let beside = job(&cheap, vec![segment(2, &[1.0, 2.0])]);
    cheap.push(&beside);
    assert_eq!(codes(&reply(&beside).await), [None], "a busy pool keeps nobody waiting");
    let threads = pool.close();
    let late = job(&cheap, vec![segment(2, &[1.0, 2.0])]);
    cheap.push(&late);
    assert_eq!(codes(&reply(&late).await), [Some(ErrorCode::Unavailable)]);
    gate.open(1);
    assert_eq!(codes(&reply(&under_way).await), [None]);
    for thread in threads {
        thread.join().unwrap();
    }
}

#[tokio::test]
async fn large_work_goes_to_all_threads_and_comes_back_in_order() {
    let pool = pool(&Config { threads: 2, queue_rows: 10_000, ..small() });
    let gate = Gate::new();
    let line = pool.lines().open(gate.kernel.clone(), 1_000_000, Urgency::Now);
    let values: Vec<f64> = (0..64).map(f64::from).collect();
    let job = job(&line, vec![segment(1, &values)]);
    line.push(&job);
    // Both threads are inside the kernel at once.
    gate.wait();
    gate.wait();
    gate.open(62);
    let reply = reply(&job).await;
    assert_eq!(reply.segments[0].as_ref().unwrap().values, values);
}

#[tokio::test]
async fn lines_take_turns() {
    let pool = pool(&Config { threads: 1, queue_rows: 10_000, ..small() });
    let (busy, other) = (Gate::new(), Gate::new());
    let busy_line = pool.lines().open(busy.kernel.clone(), DEAR, Urgency::Now);
    let other_line = pool.lines().open(other.kernel.clone(), DEAR, Urgency::Now);
    let much = job(&busy_line, vec![segment(1, &[0.0; 800])]);
    busy_line.push(&much);
    busy.wait();
    let little = job(&other_line, vec![segment(1, &[7.0])]);
    other_line.push(&little);
    // The batch under way, and at most one more of the busy line, come before the other line's.
    busy.open(2);
    other.open(1);
    assert_eq!(codes(&reply(&little).await), [None]);
    assert!(busy.kernel.rows.load(Ordering::Relaxed) <= 16);
    drop(busy_line);
    busy.open(1);
}

#[tokio::test]
async fn the_end_refuses_what_waits_and_answers_what_is_under_way() {
    let pool = pool(&Config { threads: 1, ..small() });
    let gate = Gate::new();
    let line = pool.lines().open(gate.kernel.clone(), DEAR, Urgency::Now);
    let under_way = job(&line, vec![segment(1, &[1.0])]);
    line.push(&under_way);
    gate.wait();
    let waiting = job(&line, vec![segment(1, &[2.0])]);
    line.push(&waiting);
    let threads = pool.close();
    let late = job(&line, vec![segment(1, &[3.0])]);
    line.push(&late);
    assert_eq!(codes(&reply(&waiting).await), [Some(ErrorCode::Unavailable)]);
    assert_eq!(codes(&reply(&late).await), [Some(ErrorCode::Unavailable)]);
    gate.open(1);
    assert_eq!(codes(&reply(&under_way).await), [None]);
    for thread in threads {
        thread.join().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the limits, the threads and the sizes of segments: the same answers.
    #[test]
    fn results_do_not_depend_on_how_rows_are_taken(
        threads in 1_usize..4,
        split in 1_usize..9,
        more in 0_usize..20,
        cost in prop_oneof![Just(CHEAP), Just(DEAR)],
        sizes in proptest::collection::vec(proptest::collection::vec(1_u32..40, 1..6), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let config =
                Config { threads, split_rows: split, batch_rows: split + more, queue_rows: 100_000, ..Config::default() };
            let pool = pool(&config);
            let line = pool.lines().open(Arc::new(Sums::default()), cost, Urgency::Now);
            let mut next = 20_u32;
            let jobs: Vec<_> = sizes
                .iter()
                .map(|sizes| {
                    let segments = sizes.iter().map(|rows| {
                        let values: Vec<f64> = (0..*rows).flat_map(|r| [f64::from(next + r), 1.0]).collect();
                        next += rows;
                        segment(2, &values)
                    });
                    let job = job(&line, segments.collect());
                    line.push(&job);
                    job
                })
                .collect();
            let mut next = 20_u32;
            for (job, sizes) in jobs.iter().zip(&sizes) {
                let reply = reply(job).await;
                for (segment, rows) in reply.segments.iter().zip(sizes) {
                    let expected: Vec<u32> = (next..next + rows).collect();
                    assert_eq!(segment.as_ref().unwrap().labels, expected);
                    next += rows;
                }
            }
            for thread in pool.close() {
                thread.join().unwrap();
            }
        });
    }
}
