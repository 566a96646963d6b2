//! What an actor promises: order, bounds, restarts, draining.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arborgate_actor::{Actor, Address, AskError, Next, Options, TellError, spawn, totals};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

enum Say {
    Note(u32),
    Count(oneshot::Sender<usize>),
    Hold(Arc<Semaphore>),
    Never(oneshot::Sender<()>),
    Panic,
    Stop,
}

/// Notes numbers in `log`, and its own beginnings and ends as strings.
struct Scribe {
    log: mpsc::UnboundedSender<String>,
    notes: usize,
    kept: Vec<oneshot::Sender<()>>,
    fails_to_start: Arc<AtomicUsize>,
}

impl Actor for Scribe {
    type Message = Say;
    const NAME: &'static str = "scribe";

    async fn started(&mut self) {
        let fails = self.fails_to_start.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        assert!(!fails, "told to");
        self.log.send("started".to_owned()).unwrap();
    }

    async fn handle(&mut self, message: Say) -> Next {
        match message {
            Say::Note(n) => {
                self.notes += 1;
                self.log.send(n.to_string()).unwrap();
            }
            Say::Count(reply) => drop(reply.send(self.notes)),
            Say::Hold(permit) => {
                self.log.send("held".to_owned()).unwrap();
                drop(permit.acquire().await);
            }
            Say::Never(reply) => self.kept.push(reply),
            Say::Panic => panic!("told to"),
            Say::Stop => return Next::Stop,
        }
        Next::Continue
    }

    async fn stopped(&mut self) {
        self.log.send("stopped".to_owned()).unwrap();
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        let _ = self.log.send("dropped".to_owned());
    }
}

struct Stage {
    address: Address<Say>,
    log: mpsc::UnboundedReceiver<String>,
}

fn stage(options: Options, failing_starts: usize) -> Stage {
    let (log, seen) = mpsc::unbounded_channel();
    let fails_to_start = Arc::new(AtomicUsize::new(failing_starts));
    let address = spawn(options, move || Scribe {
        log: log.clone(),
        notes: 0,
        kept: Vec::new(),
        fails_to_start: Arc::clone(&fails_to_start),
    });
    Stage { address, log: seen }
}

impl Stage {
    async fn expect(&mut self, line: &str) {
        let heard = tokio::time::timeout(Duration::from_secs(20), self.log.recv()).await.expect("a line in time");
        assert_eq!(heard.as_deref(), Some(line));
    }

    /// Until the actor is held in a handler.
    async fn hold(&mut self) -> Arc<Semaphore> {
        let permit = Arc::new(Semaphore::new(0));
        self.address.try_tell(Say::Hold(Arc::clone(&permit))).unwrap();
        self.expect("held").await;
        permit
    }

    async fn count(&self) -> Result<usize, AskError> {
        self.address.ask(soon(), Say::Count).await
    }

    async fn until_gone(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.address.is_alive() {
            assert!(Instant::now() < end, "still alive");
            tokio::task::yield_now().await;
        }
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[tokio::test]
async fn messages_are_handled_in_order() {
    let mut stage = stage(Options::default(), 0);
    stage.expect("started").await;
    for n in 0..100 {
        stage.address.try_tell(Say::Note(n)).unwrap();
    }
    assert_eq!(stage.count().await, Ok(100));
    for n in 0..100 {
        stage.expect(&n.to_string()).await;
    }
}

#[tokio::test]
async fn a_full_mailbox_refuses_at_once_and_is_counted() {
    let mut stage = stage(Options { capacity: 2, ..Options::default() }, 0);
    stage.expect("started").await;
    let permit = stage.hold().await;
    let before = totals().full;
    assert_eq!(stage.address.try_tell(Say::Note(1)), Ok(()));
    assert_eq!(stage.address.try_tell(Say::Note(2)), Ok(()));
    assert_eq!(stage.address.try_tell(Say::Note(3)), Err(TellError::Full));
    assert_eq!(stage.count().await, Err(AskError::Full));
    assert!(totals().full >= before + 2);
    permit.add_permits(1);
    stage.expect("1").await;
    stage.expect("2").await;
    assert_eq!(stage.count().await, Ok(2));
}

#[tokio::test]
async fn a_question_has_a_deadline() {
    let mut stage = stage(Options::default(), 0);
    stage.expect("started").await;
    let briefly = Instant::now() + Duration::from_millis(20);
    assert_eq!(stage.address.ask(briefly, Say::Never).await, Err(AskError::Timeout));
    // One whose deadline is over is not even put.
    assert_eq!(stage.address.ask(Instant::now(), |_: oneshot::Sender<()>| Say::Note(1)).await, Err(AskError::Timeout));
    assert_eq!(stage.count().await, Ok(0));
}

#[tokio::test]
async fn a_panic_loses_the_message_and_the_state_and_nothing_that_waits() {
    let mut stage = stage(Options { restarts: 2, ..Options::default() }, 0);
    stage.expect("started").await;
    stage.address.try_tell(Say::Note(7)).unwrap();
    stage.expect("7").await;
    let permit = stage.hold().await;
    let before = totals();
    stage.address.try_tell(Say::Panic).unwrap();
    stage.address.try_tell(Say::Note(8)).unwrap();
    permit.add_permits(1);
    for line in ["dropped", "started", "8"] {
        stage.expect(line).await;
    }
    assert_eq!(stage.count().await, Ok(1), "the state is new");
    assert!(totals().panics > before.panics);
}

#[tokio::test]
async fn messages_from_before_the_start_outlive_a_panic() {
    let mut stage = stage(Options::default(), 0);
    // Nothing has run yet: this runtime has one thread.
    stage.address.try_tell(Say::Note(1)).unwrap();
    stage.address.try_tell(Say::Panic).unwrap();
    stage.address.try_tell(Say::Note(2)).unwrap();
    for line in ["started", "1", "dropped", "started", "2"] {
        stage.expect(line).await;
    }
}

#[tokio::test]
async fn too_many_panics_end_the_actor_and_who_waits_learns_it() {
    let mut stage = stage(Options { restarts: 2, ..Options::default() }, 0);
    stage.expect("started").await;
    let permit = stage.hold().await;
    let before = totals();
    for _ in 0..3 {
        stage.address.try_tell(Say::Panic).unwrap();
    }
    let address = stage.address.clone();
    let waiting = tokio::spawn(async move { address.ask(soon(), Say::Count).await });
    tokio::task::yield_now().await;
    permit.add_permits(1);
    assert_eq!(waiting.await.unwrap(), Err(AskError::Gone));
    stage.until_gone().await;
    assert_eq!(stage.address.try_tell(Say::Note(1)), Err(TellError::Gone));
    assert_eq!(stage.count().await, Err(AskError::Gone));
    assert!(totals().gone > before.gone);
    for line in ["dropped", "started", "dropped", "started", "dropped"] {
        stage.expect(line).await;
    }
    assert!(stage.log.try_recv().is_err(), "an actor that is gone by panics is not told that it stopped");
}

#[tokio::test]
async fn panics_that_are_long_over_do_not_count() {
    let mut stage = stage(Options { restarts: 1, within: Duration::ZERO, ..Options::default() }, 0);
    for _ in 0..5 {
        stage.address.try_tell(Say::Panic).unwrap();
    }
    assert_eq!(stage.count().await, Ok(0));
    stage.expect("started").await;
}

#[tokio::test]
async fn a_start_that_panics_is_tried_again_within_the_limit() {
    let mut lucky = stage(Options { restarts: 2, ..Options::default() }, 2);
    assert_eq!(lucky.count().await, Ok(0));
    for line in ["dropped", "dropped", "started"] {
        lucky.expect(line).await;
    }
    let unlucky = stage(Options { restarts: 2, ..Options::default() }, 3);
    assert_eq!(unlucky.count().await, Err(AskError::Gone));
    unlucky.until_gone().await;
}

#[tokio::test]
async fn an_actor_may_end_itself() {
    let mut stage = stage(Options::default(), 0);
    stage.address.try_tell(Say::Stop).unwrap();
    stage.address.try_tell(Say::Note(1)).unwrap();
    for line in ["started", "stopped", "dropped"] {
        stage.expect(line).await;
    }
    stage.until_gone().await;
}

#[tokio::test]
async fn draining_handles_what_waits_and_takes_nothing_new() {
    let mut stage = stage(Options { capacity: 8, ..Options::default() }, 0);
    stage.expect("started").await;
    let permit = stage.hold().await;
    for n in 0..8 {
        stage.address.try_tell(Say::Note(n)).unwrap();
    }
    let address = stage.address.clone();
    let draining = tokio::spawn(async move { address.drain(Duration::from_secs(20)).await });
    while stage.address.is_alive() {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.address.try_tell(Say::Note(99)), Err(TellError::Gone));
    permit.add_permits(1);
    draining.await.unwrap();
    for n in 0..8 {
        stage.expect(&n.to_string()).await;
    }
    stage.expect("stopped").await;
    // Draining what has ended returns.
    stage.address.drain(Duration::from_secs(20)).await;
}

#[tokio::test]
async fn draining_ends_after_its_grace() {
    let mut stage = stage(Options::default(), 0);
    stage.expect("started").await;
    let _permit = stage.hold().await;
    stage.address.try_tell(Say::Note(1)).unwrap();
    stage.address.drain(Duration::from_millis(10)).await;
    for line in ["stopped", "dropped"] {
        stage.expect(line).await;
    }
}

#[tokio::test]
async fn dropping_the_last_address_ends_the_actor() {
    let mut stage = stage(Options::default(), 0);
    let another = stage.address.clone();
    another.try_tell(Say::Note(1)).unwrap();
    drop(std::mem::replace(&mut stage.address, another));
    for line in ["started", "1"] {
        stage.expect(line).await;
    }
    let Stage { address, mut log } = stage;
    address.try_tell(Say::Note(2)).unwrap();
    drop(address);
    let mut lines = Vec::new();
    while let Some(line) = log.recv().await {
        lines.push(line);
    }
    assert_eq!(lines, ["2", "stopped", "dropped"]);
}

struct Idle(Arc<Notify>);

impl Actor for Idle {
    type Message = ();
    const NAME: &'static str = "idle";

    async fn handle(&mut self, (): ()) -> Next {
        self.0.notify_one();
        Next::Continue
    }
}

#[tokio::test]
async fn thousands_of_actors_live_side_by_side() {
    let heard = Arc::new(Notify::new());
    let addresses: Vec<_> = (0..5_000)
        .map(|_| {
            let heard = Arc::clone(&heard);
            spawn(Options::default(), move || Idle(Arc::clone(&heard)))
        })
        .collect();
    for address in addresses.iter().rev() {
        address.try_tell(()).unwrap();
        heard.notified().await;
    }
}
