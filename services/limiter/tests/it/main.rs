//! The limiter over a bus in memory: several replicas, a clock that the tests move, and a state that fails on demand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod decide;
mod failures;
mod stage;
