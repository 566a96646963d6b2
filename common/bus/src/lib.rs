//! The bus that services talk over and the state that they keep, each in two kinds chosen at start: inside the process
//! ([`local`]) or over NATS ([`nats`]). Actors do not know which they run on; both carry bytes and both pass the same
//! conformance suite (`tests/conformance`). Only this crate speaks NATS.
//!
//! | type | what |
//! |---|---|
//! | [`Bus`] | request-reply with queue groups and deadlines; publish and subscribe |
//! | [`Bucket`] | key-value with revisions, compare-and-set, watches, expiry |
//! | [`Objects`] | large artifacts, streamed |
//! | [`Queue`] | durable work, each message to one of those who take it, until it is acknowledged |
//! | [`Client`] | typed calls to a service: which instance, how often, how long |
//! | [`Presence`], [`Directory`] | how instances make themselves known, and who knows them |

mod client;
mod error;
mod follow;
pub mod local;
pub mod metrics;
pub mod nats;
mod objects;
mod presence;
mod queue;
mod store;
mod transport;

pub use client::{CallError, Client, serve};
pub use error::{BusError, RequestError, StoreError};
pub use follow::{Follower, follow};
pub use objects::{ObjectInfo, ObjectReader, ObjectStream, Objects, ObjectsBackend};
pub use presence::{Directory, Peer, Presence};
pub use queue::{Added, Delivery, Lease, Queue, QueueBackend};
pub use store::{Bucket, BucketBackend, Change, Entry, Watch, to_json};
pub use transport::{Bus, Handler, Incoming, Meta, Serving, ServingGuard, Subscription, Transport};
