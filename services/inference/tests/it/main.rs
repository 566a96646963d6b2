//! The service through its interface: messages on a bus inside the process, real models, a real registry.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod asking;
mod faults;
mod jobs;
mod lifecycle;
mod memory;
mod predicting;
mod registering;
mod support;
