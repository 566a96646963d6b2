//! A question on its way: checked, with its deadline and where its answer goes.

use std::time::Instant;

use arborgate_contracts::limiter::{Borrow, Decide, Decision, Limit, Loan};
use arborgate_contracts::{ErrorCode, Fault, RequestId, ServiceError};
use aws_lc_rs::digest;
use tokio::sync::oneshot;

use crate::log::{Log, MAX_DECIDED, Rule};
use crate::metrics::Metrics;

/// Longer than a hashed key is.
const LONGEST_KEY: usize = 128;
const LONGEST_WINDOW_MS: u32 = 86_400_000;
/// How much of what clocks may differ by a request waits out at the end of a window. What is more, callers are told.
const WAITED_OUT_MS: u64 = 250;

/// An answer that is awaited.
pub(crate) struct Awaited<R> {
    deadline: Instant,
    sender: oneshot::Sender<Result<R, ServiceError>>,
    /// What the last attempt found; sent when it holds.
    reply: Option<R>,
}

impl<R> Awaited<R> {
    pub(crate) fn new(deadline: Instant) -> (Self, oneshot::Receiver<Result<R, ServiceError>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { deadline, sender, reply: None }, receiver)
    }
}

pub(crate) struct DecideAsk {
    rule: Rule,
    id: u64,
    max_wait: u64,
    /// By how much the window of `rule` is longer than callers are told.
    untold: u64,
}

pub(crate) struct BorrowAsk {
    rule: Rule,
    id: u64,
    want: u32,
    returned: Vec<(u64, u32)>,
}

pub(crate) enum Question {
    Decide(DecideAsk, Awaited<Decision>),
    Borrow(BorrowAsk, Awaited<Loan>),
}

impl Question {
    pub(crate) fn deadline(&self) -> Instant {
        match self {
            Self::Decide(_, awaited) => awaited.deadline,
            Self::Borrow(_, awaited) => awaited.deadline,
        }
    }

    /// Whether its deadline is to come and its asker is there.
    pub(crate) fn is_wanted(&self) -> bool {
        let gone = match self {
            Self::Decide(_, awaited) => awaited.sender.is_closed(),
            Self::Borrow(_, awaited) => awaited.sender.is_closed(),
        };
        !gone && Instant::now() < self.deadline()
    }

    /// Asks the log and keeps the answer.
    pub(crate) fn apply(&mut self, log: &mut Log, now: u64) -> Applied {
        match self {
            Self::Decide(ask, awaited) => {
                let answer = log.decide(now, ask.rule, ask.id, ask.max_wait);
                awaited.reply = Some(ask.as_told(answer.reply));
                Applied { changed: answer.changed, refused: !answer.reply.allowed }
            }
            Self::Borrow(ask, awaited) => {
                let answer = log.borrow(now, ask.rule, ask.id, ask.want, &ask.returned);
                awaited.reply = Some(answer.reply);
                Applied { changed: answer.changed, refused: answer.reply.granted < ask.want }
            }
        }
    }

    /// Sends the answer that was kept.
    pub(crate) fn answer(self, metrics: &Metrics) {
        match self {
            Self::Decide(_, Awaited { sender, reply: Some(reply), .. }) => {
                metrics.decided(&reply);
                // Nobody may be waiting any more.
                let _ = sender.send(Ok(reply));
            }
            Self::Borrow(_, Awaited { sender, reply: Some(reply), .. }) => {
                metrics.lent(&reply);
                let _ = sender.send(Ok(reply));
            }
            unanswered => unanswered.fail(ServiceError::internal()),
        }
    }

    pub(crate) fn fail(self, error: ServiceError) {
        match self {
            Self::Decide(_, awaited) => drop(awaited.sender.send(Err(error))),
            Self::Borrow(_, awaited) => drop(awaited.sender.send(Err(error))),
        }
    }
}

/// What a question did to a log.
pub(crate) struct Applied {
    pub(crate) changed: bool,
    /// It did not get what it asked for; with newer state it might.
    pub(crate) refused: bool,
}

impl DecideAsk {
    pub(crate) fn parse(request: &Decide, tolerance_ms: u64) -> Result<Self, ServiceError> {
        let mut faults = check(&request.key, request.limit);
        if request.limit.permits > MAX_DECIDED {
            faults.push(Fault {
                pointer: "/limit/permits".to_owned(),
                detail: format!("a limit that is decided request by request is at most {MAX_DECIDED}: borrow instead"),
            });
        }
        refuse(faults)?;
        let rule = rule(request.limit, tolerance_ms);
        // Who comes at the end of the limit's own window waits for the log's, which is longer, and is not refused.
        let untold = tolerance_ms.min(WAITED_OUT_MS);
        let max_wait = u64::from(request.max_wait_ms).max(untold);
        Ok(Self { rule, id: fingerprint(&request.id), max_wait, untold })
    }

    /// A caller is told the end of the limit's own window.
    fn as_told(&self, decision: Decision) -> Decision {
        let reset_ms = u64::from(decision.reset_ms).saturating_sub(self.untold);
        Decision { reset_ms: u32::try_from(reset_ms).unwrap_or(u32::MAX), ..decision }
    }
}

impl BorrowAsk {
    pub(crate) fn parse(request: &Borrow, tolerance_ms: u64) -> Result<Self, ServiceError> {
        let mut faults = check(&request.key, request.limit);
        if request.returned.len() > Borrow::MOST_RETURNED {
            faults.push(Fault {
                pointer: "/returned".to_owned(),
                detail: format!("at most {} loans are returned at a time", Borrow::MOST_RETURNED),
            });
        }
        refuse(faults)?;
        let returned = request.returned.iter().map(|r| (fingerprint(&r.id), r.spent)).collect();
        let rule = rule(request.limit, tolerance_ms);
        Ok(Self { rule, id: fingerprint(&request.id), want: request.want, returned })
    }
}

fn rule(limit: Limit, tolerance_ms: u64) -> Rule {
    Rule { permits: u64::from(limit.permits), window_ms: u64::from(limit.window_ms) + tolerance_ms }
}

fn check(key: &str, limit: Limit) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |pointer: &str, detail: String| faults.push(Fault { pointer: pointer.to_owned(), detail });
    if key.is_empty() || key.len() > LONGEST_KEY || !key.bytes().all(|b| b.is_ascii_graphic()) {
        fault("/key", format!("a key is 1 to {LONGEST_KEY} visible ASCII characters"));
    }
    if limit.permits == 0 {
        fault("/limit/permits", "a limit is at least 1".to_owned());
    }
    if limit.window_ms == 0 || limit.window_ms > LONGEST_WINDOW_MS {
        fault("/limit/window_ms", format!("a window is 1 to {LONGEST_WINDOW_MS} ms"));
    }
    faults
}

fn refuse(faults: Vec<Fault>) -> Result<(), ServiceError> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(ServiceError::new(ErrorCode::Invalid, "the limiter can not answer such a question").with_faults(faults))
}

/// Stands for an id in a log: the first 64 bits of its SHA-256.
fn fingerprint(id: &RequestId) -> u64 {
    let hash = digest::digest(&digest::SHA256, id.as_str().as_bytes());
    hash.as_ref().first_chunk::<8>().map_or(0, |head| u64::from_le_bytes(*head))
}
