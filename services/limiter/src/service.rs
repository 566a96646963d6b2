//! From a request on the bus to a question before a key's actor, and back.

use std::sync::Arc;
use std::time::Instant;

use arborgate_bus::Meta;
use arborgate_contracts::limiter::{Borrow, Decide, Decision, Loan};
use arborgate_contracts::{ErrorCode, ServiceError};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::keys::Keys;
use crate::question::{Awaited, BorrowAsk, DecideAsk, Question};

pub(crate) struct Answers {
    keys: Arc<Keys>,
    tolerance_ms: u64,
}

impl Answers {
    pub(crate) fn new(keys: Arc<Keys>, config: &Config) -> Self {
        let tolerance_ms = u64::try_from(config.clock_tolerance.get().as_millis()).unwrap_or(u64::MAX);
        Self { keys, tolerance_ms }
    }

    pub(crate) async fn decide(self: Arc<Self>, request: Decide, meta: Meta) -> Result<Decision, ServiceError> {
        let ask = DecideAsk::parse(&request, self.tolerance_ms)?;
        let deadline = meta.deadline.instant();
        let (awaited, reply) = Awaited::new(deadline);
        self.keys.put(&request.key, Question::Decide(ask, awaited))?;
        reply_of(reply, deadline).await
    }

    pub(crate) async fn borrow(self: Arc<Self>, request: Borrow, meta: Meta) -> Result<Loan, ServiceError> {
        let ask = BorrowAsk::parse(&request, self.tolerance_ms)?;
        let deadline = meta.deadline.instant();
        let (awaited, reply) = Awaited::new(deadline);
        self.keys.put(&request.key, Question::Borrow(ask, awaited))?;
        reply_of(reply, deadline).await
    }
}

async fn reply_of<R>(reply: oneshot::Receiver<Result<R, ServiceError>>, deadline: Instant) -> Result<R, ServiceError> {
    match tokio::time::timeout_at(deadline.into(), reply).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(_)) => Err(ServiceError::new(ErrorCode::Unavailable, "the limiter lost the request; try again shortly")),
        Err(_) => Err(ServiceError::new(ErrorCode::DeadlineExceeded, "the limiter gave no answer in time")),
    }
}
