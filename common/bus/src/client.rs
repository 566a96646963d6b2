//! Typed calls to a service: one client for a service in this process and for one across NATS. It chooses an instance,
//! gives each attempt its own timeout, and asks elsewhere only what may be repeated.

use std::collections::hash_map::DefaultHasher;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arborgate_contracts::{Deadline, ErrorCode, InstanceId, Operation, Repeat, Service, ServiceError, Subject};
use arborgate_runtime::{request_span, telemetry};
use async_trait::async_trait;
use bytes::Bytes;
use tracing::Instrument;

use crate::error::{BusError, RequestError};
use crate::presence::Directory;
use crate::transport::{Bus, Handler, Incoming, Meta, Serving};

/// Why a call gave no reply.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The service answered with an error.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The service could not be asked, or gave no answer.
    #[error("the {} service was not reached", .service.as_str())]
    Unreached {
        /// Which.
        service: Service,
        /// By the last attempt.
        #[source]
        source: RequestError,
    },
    /// A request or a reply is not of its type.
    #[error("a message of operation {operation} can not be written or read")]
    Codec {
        /// Which.
        operation: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl CallError {
    /// What a caller of the API may read.
    pub fn into_service_error(self) -> ServiceError {
        match self {
            Self::Service(error) => error,
            Self::Codec { .. } => ServiceError::internal(),
            Self::Unreached { service, source } => unreached(service, &source),
        }
    }
}

fn unreached(service: Service, source: &RequestError) -> ServiceError {
    let name = service.as_str();
    match source {
        RequestError::Full { .. } => {
            ServiceError::new(ErrorCode::Overloaded, format!("the {name} service is busy; try again shortly"))
        }
        RequestError::TooLarge { size, limit } => ServiceError::new(
            ErrorCode::TooLarge,
            format!("the message of {size} bytes is over the bus's limit of {limit}"),
        ),
        RequestError::Timeout { .. } => {
            ServiceError::new(ErrorCode::DeadlineExceeded, format!("the {name} service gave no answer in time"))
        }
        _ => ServiceError::new(
            ErrorCode::Unavailable,
            format!("the {name} service can not be reached; try again shortly"),
        ),
    }
}

/// Calls one service. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    bus: Bus,
    directory: Directory,
    turn: Arc<AtomicUsize>,
}

impl Client {
    /// A client of the service whose instances `directory` knows.
    pub fn new(bus: Bus, directory: Directory) -> Self {
        Self { bus, directory, turn: Arc::default() }
    }

    /// Asks until the deadline. `affinity`: prefer the same instance for the same text (rendezvous hashing), else take
    /// turns. What may be repeated is asked of another instance when an attempt timed out, found nobody or a full queue.
    pub async fn call<O: Operation>(
        &self,
        request: &O,
        affinity: Option<&str>,
        meta: Meta,
    ) -> Result<O::Reply, CallError> {
        debug_assert_eq!(O::SERVICE, self.directory.service());
        let codec = |source| CallError::Codec { operation: O::NAME, source };
        let payload = Bytes::from(serde_json::to_vec(request).map_err(codec)?);
        let order = self.order(affinity);
        let mut attempt = 0;
        loop {
            // Every third attempt leaves the choice to the queue group: what is announced may be out of date.
            let peer = if attempt % 3 == 2 { None } else { order.get(attempt % order.len().max(1)) };
            let limit = if O::REPEAT == Repeat::Safe { O::ATTEMPT } else { Deadline::LONGEST };
            let outcome = self.ask(O::NAME, peer, payload.clone(), meta, limit).await;
            let error = match outcome {
                Ok(reply) => return serde_json::from_slice(&reply).map_err(codec),
                Err(RequestError::Service(error)) => return Err(error.into()),
                Err(error) => error,
            };
            attempt += 1;
            let again = may_repeat(&error, O::REPEAT) && !meta.deadline.has_passed() && attempt < 8;
            if !again {
                return Err(CallError::Unreached { service: O::SERVICE, source: error });
            }
            if matches!(error, RequestError::NoResponders { .. } | RequestError::Full { .. }) && attempt > order.len() {
                // Everybody was asked: an instance may be starting. Growing pauses, within the deadline.
                let pause = Duration::from_millis(10 << attempt.min(5)).min(meta.deadline.remaining());
                tokio::time::sleep(pause).await;
            }
        }
    }

    async fn ask(
        &self,
        operation: &str,
        peer: Option<&InstanceId>,
        payload: Bytes,
        meta: Meta,
        limit: Duration,
    ) -> Result<Bytes, RequestError> {
        let service = self.directory.service();
        let subject = match peer {
            Some(instance) => Subject::direct(service, operation, instance),
            None => Subject::group(service, operation),
        };
        let meta = Meta { deadline: meta.deadline.within(limit), ..meta };
        let outcome = self.bus.request(&subject, payload, meta).await;
        if let (Err(RequestError::Timeout { .. } | RequestError::NoResponders { .. }), Some(instance)) =
            (&outcome, peer)
        {
            self.directory.suspect(instance);
        }
        outcome
    }

    /// Instances in the order in which they are asked.
    fn order(&self, affinity: Option<&str>) -> Vec<InstanceId> {
        let peers = self.directory.peers();
        let mut order: Vec<InstanceId> = peers.iter().map(|p| p.instance.clone()).collect();
        match affinity {
            Some(key) => order.sort_by_cached_key(|instance| std::cmp::Reverse(weight(key, instance))),
            None if !order.is_empty() => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed) % order.len();
                order.rotate_left(turn);
            }
            None => {}
        }
        order
    }
}

/// Highest random weight: the same on every edge of one build.
fn weight(key: &str, instance: &InstanceId) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    instance.as_str().hash(&mut hasher);
    hasher.finish()
}

fn may_repeat(error: &RequestError, repeat: Repeat) -> bool {
    match error {
        // The work was certainly not begun.
        RequestError::NoResponders { .. } | RequestError::Full { .. } => true,
        RequestError::Timeout { .. } => repeat == Repeat::Safe,
        RequestError::Bus(BusError::Transport { .. }) => repeat == Repeat::Safe,
        RequestError::Bus(_) | RequestError::TooLarge { .. } | RequestError::Service(_) => false,
    }
}

struct Typed<O, F> {
    answer: F,
    _operation: PhantomData<fn(O)>,
}

#[async_trait]
impl<O, F, R> Handler for Typed<O, F>
where
    O: Operation,
    F: Fn(O, Meta) -> R + Send + Sync + 'static,
    R: Future<Output = Result<O::Reply, ServiceError>> + Send,
{
    async fn handle(&self, request: Incoming) -> Result<Bytes, ServiceError> {
        let Ok(body) = serde_json::from_slice(&request.payload) else {
            let detail = format!("a request of {} can not be read: is the edge of another version?", O::NAME);
            return Err(ServiceError::new(ErrorCode::BadRequest, detail));
        };
        let span = request_span!("bus.serve", otel.kind = "server", service = O::SERVICE.as_str(), operation = O::NAME);
        if let Some(trace) = request.meta.trace {
            telemetry::set_parent(&span, &trace.to_string());
        }
        let reply = (self.answer)(body, request.meta).instrument(span).await?;
        serde_json::to_vec(&reply).map(Bytes::from).map_err(|error| {
            tracing::error!(operation = O::NAME, %error, "a reply can not be written");
            ServiceError::internal()
        })
    }
}

/// Answers one operation for one instance: with its queue group, and on its own subject. At most `capacity` at a time on
/// each.
pub async fn serve<O, F, R>(
    bus: &Bus,
    instance: &InstanceId,
    capacity: usize,
    answer: F,
) -> Result<[Serving; 2], BusError>
where
    O: Operation,
    F: Fn(O, Meta) -> R + Send + Sync + 'static,
    R: Future<Output = Result<O::Reply, ServiceError>> + Send + 'static,
{
    let handler: Arc<dyn Handler> = Arc::new(Typed { answer, _operation: PhantomData::<fn(O)> });
    let group = Subject::group(O::SERVICE, O::NAME);
    let direct = Subject::direct(O::SERVICE, O::NAME, instance);
    Ok([
        bus.serve(&direct, None, capacity, Arc::clone(&handler)).await?,
        bus.serve(&group, Some(O::SERVICE.as_str()), capacity, handler).await?,
    ])
}
