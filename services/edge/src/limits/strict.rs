//! Low limits: every decision is the limiter's. Out of reach, it refuses with 503.

use std::time::Duration;

use arborgate_bus::{Client, Meta};
use arborgate_contracts::limiter::Decide;

use super::policy::Mode;
use super::{Prepared, Verdict, key, undecided};
use crate::front::problem::Problem;
use crate::front::request_id;

pub(super) struct Strict {
    limiter: Client,
}

impl Strict {
    pub(super) fn new(limiter: Client) -> Self {
        Self { limiter }
    }

    pub(super) async fn decide(&self, prepared: &Prepared, who: &str, meta: Meta) -> Result<Verdict, Problem> {
        let max_wait = if prepared.policy.mode == Mode::Throttle { *prepared.policy.max_wait } else { Duration::ZERO };
        let question = Decide {
            key: key(&prepared.policy, who),
            limit: prepared.limit,
            // Never the caller's own: a question asked twice counts once.
            id: request_id::fresh(),
            max_wait_ms: u32::try_from(max_wait.as_millis()).unwrap_or(u32::MAX),
        };
        let decision = self.limiter.call(&question, Some(&question.key), meta).await.map_err(undecided)?;
        if decision.allowed && decision.wait_ms > 0 {
            tokio::time::sleep(Duration::from_millis(decision.wait_ms.into())).await;
        }
        Ok(Verdict { allowed: decision.allowed, remaining: decision.remaining, reset_ms: decision.reset_ms })
    }
}
