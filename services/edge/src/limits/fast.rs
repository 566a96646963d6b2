//! High limits: permits are borrowed from the limiter in advance and spent here. Another loan is asked for in the
//! background before one is spent; the limiter out of reach, what is borrowed is spent and then requests are refused.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arborgate_bus::{Client, Meta};
use arborgate_contracts::RequestId;
use arborgate_contracts::limiter::{Borrow, Returned};
use quick_cache::sync::Cache;

use super::{Prepared, Verdict, key, undecided};
use crate::front::problem::Problem;
use crate::front::request_id;

/// A loan is asked for within this.
const PATIENCE: Duration = Duration::from_secs(2);
/// Loans that ended and whose return was not told yet, at most: the oldest are left to the limiter's own reckoning.
const UNTOLD: usize = 32;
const _: () = assert!(UNTOLD <= Borrow::MOST_RETURNED);

struct Loan {
    id: RequestId,
    granted: u32,
    spent: u32,
    until: Instant,
}

#[derive(Default)]
struct State {
    loans: VecDeque<Loan>,
    returned: VecDeque<Returned>,
    /// How many permits the next loan asks for: what the last one's life needed.
    want: u32,
    remaining: u32,
    /// Nothing is lent before this.
    refused_until: Option<Instant>,
}

struct Account {
    prepared: Arc<Prepared>,
    key: String,
    state: parking_lot::Mutex<State>,
    /// One question for a loan at a time.
    asking: tokio::sync::Mutex<()>,
    asked: AtomicBool,
}

pub(super) struct Fast {
    limiter: Client,
    accounts: Cache<(usize, Arc<str>), Arc<Account>>,
}

enum Taken {
    Permit { low: bool, remaining: u32 },
    Refused { reset: Duration },
    Empty,
}

impl State {
    /// With the next loan that is asked for.
    fn give_back(&mut self, returned: Returned) {
        if self.returned.len() >= UNTOLD {
            self.returned.pop_front();
        }
        self.returned.push_back(returned);
    }

    fn take(&mut self, now: Instant) -> Taken {
        while let Some(loan) = self.loans.front_mut() {
            if now < loan.until && loan.spent < loan.granted {
                loan.spent += 1;
                let left: u32 = self.loans.iter().map(|l| l.granted - l.spent).sum();
                let low = left < self.want / 4
                    || self.loans.iter().all(|l| l.until.duration_since(now) < Duration::from_millis(200));
                return Taken::Permit { low, remaining: self.remaining.saturating_add(left) };
            }
            // A loan spent before its end was too small, one that ended with half of it was too large.
            self.want = if loan.spent == loan.granted { self.want.saturating_mul(2) } else { loan.spent };
            if let Some(loan) = self.loans.pop_front() {
                self.give_back(Returned { id: loan.id, spent: loan.spent });
            }
        }
        match self.refused_until {
            Some(until) if now < until => Taken::Refused { reset: until - now },
            _ => Taken::Empty,
        }
    }
}

impl Fast {
    pub(super) fn new(limiter: Client, remember: usize) -> Self {
        Self { limiter, accounts: Cache::new(remember) }
    }

    pub(super) async fn take(
        &self,
        index: usize,
        prepared: &Arc<Prepared>,
        who: &Arc<str>,
        meta: Meta,
    ) -> Result<Verdict, Problem> {
        let account = self.account(index, prepared, who);
        loop {
            let taken = account.state.lock().take(Instant::now());
            match taken {
                Taken::Permit { low, remaining } => {
                    if low && !account.asked.swap(true, Ordering::AcqRel) {
                        let (limiter, account) = (self.limiter.clone(), Arc::clone(&account));
                        tokio::spawn(async move {
                            // A failure is told by the next request that finds nothing to spend.
                            let _ = borrow(&limiter, &account, Meta::within(PATIENCE)).await;
                            account.asked.store(false, Ordering::Release);
                        });
                    }
                    let reset_ms = prepared.limit.window_ms;
                    return Ok(Verdict { allowed: true, remaining, reset_ms });
                }
                Taken::Refused { reset } => {
                    let reset_ms = u32::try_from(reset.as_millis()).unwrap_or(u32::MAX).max(1);
                    return Ok(Verdict { allowed: false, remaining: 0, reset_ms });
                }
                Taken::Empty => Box::pin(borrow(&self.limiter, &account, meta)).await?,
            }
        }
    }

    fn account(&self, index: usize, prepared: &Arc<Prepared>, who: &Arc<str>) -> Arc<Account> {
        let slot = (index, Arc::clone(who));
        if let Some(account) = self.accounts.get(&slot) {
            return account;
        }
        let fresh = Arc::new(Account {
            prepared: Arc::clone(prepared),
            key: key(&prepared.policy, who),
            state: parking_lot::Mutex::new(State { want: first_want(prepared.limit.permits), ..State::default() }),
            asking: tokio::sync::Mutex::default(),
            asked: AtomicBool::new(false),
        });
        // Two that come at once share the one that stays.
        match self.accounts.get_or_insert_with(&slot, || Ok::<_, std::convert::Infallible>(Arc::clone(&fresh))) {
            Ok(account) => account,
            Err(never) => match never {},
        }
    }
}

/// A hundredth of the limit to begin with.
fn first_want(permits: u32) -> u32 {
    (permits / 100).max(1)
}

/// Asks for a loan, unless another got one meanwhile.
async fn borrow(limiter: &Client, account: &Account, meta: Meta) -> Result<(), Problem> {
    let _turn = account.asking.lock().await;
    let most = account.prepared.limit.permits;
    let (want, returned) = {
        let mut state = account.state.lock();
        let now = Instant::now();
        let left: u32 = state.loans.iter().filter(|l| now < l.until).map(|l| l.granted - l.spent).sum();
        state.want = state.want.clamp(first_want(most), most);
        let refused = state.refused_until.is_some_and(|until| now < until);
        if refused || left > state.want / 2 {
            return Ok(());
        }
        (state.want, std::mem::take(&mut state.returned))
    };
    let id = request_id::fresh();
    let sent = Instant::now();
    let question = Borrow {
        key: account.key.clone(),
        limit: account.prepared.limit,
        id: id.clone(),
        want,
        returned: returned.into(),
    };
    let loan = match limiter.call(&question, Some(&account.key), meta).await {
        Ok(loan) => loan,
        Err(error) => {
            let mut state = account.state.lock();
            // It may have been lent all the same: nothing of it is spent.
            for returned in question.returned.into_iter().chain([Returned { id, spent: 0 }]) {
                state.give_back(returned);
            }
            drop(state);
            return Err(undecided(error));
        }
    };
    let mut state = account.state.lock();
    state.remaining = loan.remaining;
    if loan.granted > 0 {
        let until = sent + Duration::from_millis(loan.valid_ms.into());
        state.loans.push_back(Loan { id, granted: loan.granted, spent: 0, until });
        state.refused_until = None;
    } else {
        state.refused_until = Some(Instant::now() + Duration::from_millis(loan.reset_ms.max(1).into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use arborgate_bus::{Bus, Directory, Serving, local, serve};
    use arborgate_contracts::limiter::Loan as Lent;
    use arborgate_contracts::{ErrorCode, InstanceId, Service, ServiceError};

    use super::*;
    use crate::limits::policy::Policy;

    const FAILURES: usize = 3 * Borrow::MOST_RETURNED;

    /// A limiter that fails so often, then lends, while it is held; and what it was asked last.
    async fn after_failures(bus: &Bus, failing: usize) -> ([Serving; 2], Arc<parking_lot::Mutex<Option<Borrow>>>) {
        let (asked, last) = (AtomicUsize::new(0), Arc::new(parking_lot::Mutex::default()));
        let noted = Arc::clone(&last);
        let answer = move |borrow: Borrow, _: Meta| {
            let fails = asked.fetch_add(1, Ordering::SeqCst) < failing;
            let granted = borrow.want;
            *noted.lock() = Some(borrow);
            std::future::ready(if fails {
                Err(ServiceError::new(ErrorCode::Unavailable, "not now"))
            } else {
                Ok(Lent { granted, valid_ms: 60_000, remaining: 1, reset_ms: 0 })
            })
        };
        let instance: InstanceId = "one".parse().unwrap();
        (serve(bus, &instance, 16, answer).await.unwrap(), last)
    }

    fn prepared() -> Arc<Prepared> {
        let policy: Policy = serde_json::from_value(serde_json::json!({
            "name": "many", "operations": ["*"], "by": "principal", "permits": 100_000, "window": "60s"
        }))
        .unwrap();
        let limit = policy.limit();
        Arc::new(Prepared { policy, limit, header: http::HeaderValue::from_static("") })
    }

    #[tokio::test]
    async fn however_long_the_limiter_was_away_the_next_loan_is_one_it_can_give() {
        let bus = Bus::new(local::LocalBus::open(local::Config::default()).unwrap());
        let (_serving, last) = after_failures(&bus, FAILURES).await;
        let directory = Directory::start(&bus, Service::Limiter).await.unwrap();
        let fast = Fast::new(Client::new(bus, directory), 16);
        let (prepared, who) = (prepared(), Arc::from("ann"));
        for _ in 0..FAILURES {
            let refused = fast.take(0, &prepared, &who, Meta::within(PATIENCE)).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::Unavailable);
        }
        assert!(fast.take(0, &prepared, &who, Meta::within(PATIENCE)).await.unwrap().allowed);
        let asked = last.lock().take().unwrap();
        assert!((1..=Borrow::MOST_RETURNED).contains(&asked.returned.len()), "{}", asked.returned.len());
    }
}
