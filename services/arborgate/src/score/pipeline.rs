//! One thread reads ahead, some predict, the caller's writes. Blocks are numbered by a queue of their answers, so that they
//! are written in the file's order and the first fault of the file is the one that is told. Every queue is bounded.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use arborgate_tables::{Answers, Block, Blocks, Error, Writer};

use super::answer::Work;
use super::report::Report;

/// What predicts, and by how many.
pub(super) struct Run<'r> {
    pub(super) work: &'r Work,
    /// What a message calls the columns.
    pub(super) names: &'r [String],
    pub(super) threads: NonZeroUsize,
    /// Set when the work shall end.
    pub(super) stop: &'r AtomicBool,
}

/// Why the work ended before its end.
#[derive(Debug)]
pub(super) enum Failed {
    /// The input is at fault, or the model does not take it.
    Reading(Error),
    /// The output.
    Writing(Error),
    /// It was told to stop, or a thread died.
    Broken,
}

/// A block, and where its answer goes.
struct Job {
    block: Block,
    answer: SyncSender<Result<Answers, Error>>,
}

/// What the writer waits for.
struct Next {
    answer: Receiver<Result<Answers, Error>>,
    /// Rows of the file, as far as is known.
    expected: Option<u64>,
}

impl Run<'_> {
    /// Writes the answer to every row.
    pub(super) fn go(&self, blocks: Blocks, writer: &mut Writer, report: &mut Report) -> Result<(), Failed> {
        thread::scope(|scope| {
            // a block waits while each thread has one
            let (jobs, waiting) = sync_channel::<Job>(self.threads.get());
            let (order, next) = sync_channel::<Result<Next, Error>>(2 * self.threads.get());
            let waiting = Arc::new(Mutex::new(waiting));
            let predictor = |_| {
                let waiting = Arc::clone(&waiting);
                scope.spawn(move || self.predict(&waiting))
            };
            let predictors: Vec<_> = (0..self.threads.get()).map(predictor).collect();
            // without any of them the reader does not wait for ever
            drop(waiting);
            let reader = scope.spawn(move || self.read(blocks, &jobs, &order));
            let written = self.write(&next, writer, report);
            // whoever waits for it then ends
            drop(next);
            let reading = ended(reader);
            let predicting: Option<Vec<Duration>> = predictors.into_iter().map(ended).collect();
            written?;
            report.reading = reading.ok_or(Failed::Broken)?;
            report.predicting = predicting.ok_or(Failed::Broken)?.into_iter().sum();
            if self.stop.load(Ordering::Relaxed) { Err(Failed::Broken) } else { Ok(()) }
        })
    }

    /// How long it took, without waiting.
    fn read(&self, mut blocks: Blocks, jobs: &SyncSender<Job>, order: &SyncSender<Result<Next, Error>>) -> Duration {
        let mut took = Duration::ZERO;
        while !self.stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            let block = blocks.next();
            took += began.elapsed();
            let sent = match block {
                None => break,
                Some(Err(error)) => order.send(Err(error)).is_ok(),
                Some(Ok(block)) => {
                    let (answer, receiver) = sync_channel(1);
                    let next = Next { answer: receiver, expected: blocks.expected() };
                    order.send(Ok(next)).is_ok() && jobs.send(Job { block, answer }).is_ok()
                }
            };
            if !sent {
                break;
            }
        }
        took
    }

    /// How long it took, without waiting.
    fn predict(&self, waiting: &Mutex<Receiver<Job>>) -> Duration {
        let mut took = Duration::ZERO;
        loop {
            let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Job { block, answer }) = job else { return took };
            if self.stop.load(Ordering::Relaxed) {
                continue;
            }
            let began = Instant::now();
            let found =
                self.work.answer(&block).map_err(|error| arborgate_scoring::fault(error, block.first, self.names));
            took += began.elapsed();
            // nobody waits after a fault
            let _ = answer.send(found);
        }
    }

    fn write(
        &self,
        next: &Receiver<Result<Next, Error>>,
        writer: &mut Writer,
        report: &mut Report,
    ) -> Result<(), Failed> {
        // it closes when all was read
        for next in next {
            let Next { answer, expected } = next.map_err(Failed::Reading)?;
            let answers = answer.recv().map_err(|_| Failed::Broken)?.map_err(Failed::Reading)?;
            report.writing(|| writer.write(&answers)).map_err(Failed::Writing)?;
            report.progress(answers.rows() as u64, expected);
            if self.stop.load(Ordering::Relaxed) {
                return Err(Failed::Broken);
            }
        }
        Ok(())
    }
}

/// None: it panicked.
fn ended<T>(thread: ScopedJoinHandle<'_, T>) -> Option<T> {
    thread.join().ok()
}
