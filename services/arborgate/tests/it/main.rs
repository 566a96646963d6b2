//! The whole of Arborgate, end to end, on both buses: each test is written once and runs against an all-in-one and against
//! a cluster over NATS with two processes of each role.
//!
//! Run by `cargo test`: the tests of this binary are threads of one process and share one system for each bus. A runner
//! that starts a process for each test would start a system for each test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

mod api_keys;
mod asking;
mod backup;
mod bad_bodies;
mod bodies;
mod boosted;
mod compose;
mod connections;
mod documents;
mod encryption;
mod failure;
mod grpc;
mod jobs;
mod lifecycle;
mod limits;
mod logs;
mod matrix;
mod model_file;
mod model_files;
mod models;
mod open_inference;
mod operator;
mod packed_files;
mod pages;
mod parity;
mod predict;
mod provenance;
mod rollout;
mod score;
mod session;
mod sign_in;
mod signature;
mod tokens;
mod tracing;
mod waiting;
