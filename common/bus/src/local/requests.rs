//! Request and reply: the handler's future runs in the caller's task, admitted by its own capacity. No channel, no task
//! and no timer for a request that is answered at once.

use std::collections::HashMap;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use arborgate_contracts::{ServiceError, Subject};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::RwLock;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;

use crate::error::{BusError, RequestError};
use crate::transport::{Handler, Incoming, Meta, Serving, ServingGuard};

/// Answers requests.
const LIVE: u8 = 0;
/// Answers those under way, and takes no more.
const DRAINING: u8 = 1;
/// Answers none; those under way fail.
const STOPPED: u8 = 2;
/// As stopped, with the whole bus.
const CLOSED: u8 = 3;

/// One who serves a subject.
struct Member {
    handler: Arc<dyn Handler>,
    capacity: usize,
    under_way: AtomicUsize,
    phase: AtomicU8,
    /// The phase became [`STOPPED`] or [`CLOSED`].
    ended: Notify,
    /// Nothing is under way, and nothing comes.
    idle: Notify,
}

/// Room for one request at a member; given back when dropped.
struct Admitted(Arc<Member>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.leave();
    }
}

enum Admission {
    Full,
    Gone,
}

impl Member {
    fn admit(self: &Arc<Self>) -> Result<Admitted, Admission> {
        let room = |n: usize| (n < self.capacity).then_some(n + 1);
        if self.under_way.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room).is_err() {
            return Err(Admission::Full);
        }
        let admitted = Admitted(Arc::clone(self));
        // After the count: whoever drains either sees this request, or is seen here.
        if self.phase() == LIVE { Ok(admitted) } else { Err(Admission::Gone) }
    }

    fn leave(&self) {
        if self.under_way.fetch_sub(1, Ordering::SeqCst) == 1 && self.phase() != LIVE {
            self.idle.notify_waiters();
        }
    }

    fn phase(&self) -> u8 {
        self.phase.load(Ordering::SeqCst)
    }

    /// Later phases are never left.
    fn enter(&self, phase: u8) {
        if self.phase.fetch_max(phase, Ordering::SeqCst) < phase && phase >= STOPPED {
            self.ended.notify_waiters();
            self.idle.notify_waiters();
        }
    }

    async fn until_idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.under_way.load(Ordering::SeqCst) == 0 || self.phase() >= STOPPED {
                return;
            }
            idle.await;
        }
    }
}

/// Who serves a subject now; replaced whole when one comes or goes.
struct Route {
    members: Vec<Arc<Member>>,
    turn: AtomicUsize,
}

impl Route {
    fn new(members: Vec<Arc<Member>>) -> Arc<Self> {
        Arc::new(Self { members, turn: AtomicUsize::new(0) })
    }
}

#[derive(Default)]
struct Table {
    routes: HashMap<Subject, Arc<Route>>,
    /// All that were not stopped, those that drain as well.
    members: Vec<Arc<Member>>,
    closed: bool,
}

impl Table {
    fn take_out(&mut self, subject: &Subject, member: &Arc<Member>) {
        let Some(route) = self.routes.get(subject) else { return };
        let left: Vec<_> = route.members.iter().filter(|m| !Arc::ptr_eq(m, member)).cloned().collect();
        if left.is_empty() {
            self.routes.remove(subject);
        } else {
            self.routes.insert(subject.clone(), Route::new(left));
        }
    }
}

pub(super) struct Requests {
    table: RwLock<Table>,
    max_payload: usize,
    full: Counter,
}

impl Requests {
    pub(super) fn new(max_payload: usize, full: Counter) -> Self {
        Self { table: RwLock::default(), max_payload, full }
    }

    pub(super) fn serve(
        self: &Arc<Self>,
        subject: &Subject,
        capacity: usize,
        handler: Arc<dyn Handler>,
    ) -> Result<Serving, BusError> {
        let member = Arc::new(Member {
            handler,
            capacity,
            under_way: AtomicUsize::new(0),
            phase: AtomicU8::new(LIVE),
            ended: Notify::new(),
            idle: Notify::new(),
        });
        let mut table = self.table.write();
        if table.closed {
            return Err(BusError::Closed);
        }
        let mut members = table.routes.get(subject).map(|route| route.members.clone()).unwrap_or_default();
        members.push(Arc::clone(&member));
        table.routes.insert(subject.clone(), Route::new(members));
        table.members.push(Arc::clone(&member));
        drop(table);
        Ok(Serving::new(Arc::new(Guard { requests: Arc::clone(self), subject: subject.clone(), member })))
    }

    pub(super) async fn request(&self, subject: &Subject, payload: Bytes, meta: Meta) -> Result<Bytes, RequestError> {
        self.check_size(&payload)?;
        let admitted = self.admit(subject, meta)?;
        let member = &*admitted.0;
        let incoming = Incoming { payload, meta };
        let mut work = pin!(AssertUnwindSafe(async { member.handler.handle(incoming).await }).catch_unwind());
        let outcome = match poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                let ended = member.ended.notified();
                match member.phase() {
                    STOPPED => return Err(stopped(subject)),
                    CLOSED => return Err(BusError::Closed.into()),
                    _ => {}
                }
                tokio::select! {
                    biased;
                    outcome = &mut work => outcome,
                    () = ended => {
                        return Err(if member.phase() == CLOSED { BusError::Closed.into() } else { stopped(subject) });
                    }
                    () = tokio::time::sleep_until(meta.deadline.instant().into()) => return Err(timeout(subject)),
                }
            }
        };
        let reply = outcome.unwrap_or_else(|_| {
            tracing::error!(%subject, "a handler panicked");
            Err(ServiceError::internal())
        })?;
        self.check_size(&reply)?;
        Ok(reply)
    }

    fn check_size(&self, payload: &Bytes) -> Result<(), RequestError> {
        let (size, limit) = (payload.len(), self.max_payload);
        if size > limit { Err(RequestError::TooLarge { size, limit }) } else { Ok(()) }
    }

    /// The next in turn that has room.
    fn admit(&self, subject: &Subject, meta: Meta) -> Result<Admitted, RequestError> {
        let route = {
            let table = self.table.read();
            match table.routes.get(subject) {
                _ if table.closed => return Err(BusError::Closed.into()),
                None => return Err(RequestError::NoResponders { subject: subject.to_string() }),
                Some(route) => Arc::clone(route),
            }
        };
        if meta.deadline.has_passed() {
            return Err(timeout(subject));
        }
        let first = if route.members.len() > 1 { route.turn.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let mut full = false;
        for i in 0..route.members.len() {
            let Some(member) = route.members.get(first.wrapping_add(i) % route.members.len()) else { break };
            match member.admit() {
                Ok(admitted) => return Ok(admitted),
                Err(Admission::Full) => full = true,
                Err(Admission::Gone) => {}
            }
        }
        if full {
            self.full.inc();
            return Err(RequestError::Full { subject: subject.to_string() });
        }
        Err(RequestError::NoResponders { subject: subject.to_string() })
    }

    /// Requests under way fail, and none is taken any more.
    pub(super) fn close(&self) {
        let members = {
            let mut table = self.table.write();
            table.closed = true;
            table.routes.clear();
            std::mem::take(&mut table.members)
        };
        for member in members {
            member.enter(CLOSED);
        }
    }
}

fn timeout(subject: &Subject) -> RequestError {
    RequestError::Timeout { subject: subject.to_string() }
}

/// Not [`RequestError::NoResponders`]: the work was begun.
fn stopped(subject: &Subject) -> RequestError {
    BusError::transport("waiting for a reply")(format!("{subject} was stopped while it worked").into()).into()
}

struct Guard {
    requests: Arc<Requests>,
    subject: Subject,
    member: Arc<Member>,
}

#[async_trait]
impl ServingGuard for Guard {
    async fn drain(&self, grace: Duration) {
        self.requests.table.write().take_out(&self.subject, &self.member);
        self.member.enter(DRAINING);
        // Those still under way when the grace is over are stopped with the subscription.
        let _ = tokio::time::timeout(grace, self.member.until_idle()).await;
    }

    fn stop(&self) {
        let mut table = self.requests.table.write();
        table.take_out(&self.subject, &self.member);
        table.members.retain(|member| !Arc::ptr_eq(member, &self.member));
        drop(table);
        self.member.enter(STOPPED);
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
