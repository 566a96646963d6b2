//! What the end-to-end suite leaves out for its size, in release mode.

use std::time::Duration;

use crate::command::{program, run_within};
use crate::error::Result;
use crate::workspace;

const LIMIT: Duration = Duration::from_secs(3600);
/// The test, and the variable by which it is told how many rows to take.
const JOBS: &str = "jobs::dying::millions_of_rows_outlive_a_worker_and_the_edge";
const ROWS: &str = "SHOW_JOBS_ROWS";

/// A job of so many rows.
pub(crate) fn jobs(rows: u64) -> Result {
    let test = ["test", "--release", "--package", "arborgate", "--test", "it", "--"];
    let only = ["--ignored", "--exact", JOBS, "--nocapture"];
    let mut cargo = program("cargo");
    run_within(LIMIT, cargo.current_dir(workspace::root()).args(test).args(only).env(ROWS, rows.to_string()))
}
