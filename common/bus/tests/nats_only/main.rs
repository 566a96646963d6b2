//! What only a bus over NATS does: connections that break, permissions, other clients of the same server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../shared/mod.rs"]
mod shared;

mod connection;
mod credentials;
mod drain;
mod objects;
mod permissions;
mod queue;
mod requests;
mod state;
mod support;
