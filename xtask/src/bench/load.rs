//! What asks the servers that are measured: the edge's example `load`, warmed up, with the processor time of the servers
//! beside what it saw itself.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::servers::{Setup, cpu_seconds};
use crate::command;
use crate::error::{Error, Result};
use crate::workspace;

const SECONDS: f64 = 4.0;
const WARM_UP: f64 = 1.0;

/// What one request costs.
#[derive(Clone, Copy)]
pub(crate) struct Cell {
    /// Processor time of the servers.
    pub(crate) cpu_us: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// As the server says; 0 where it does not.
    pub(crate) computed_us: f64,
}

/// What the example prints.
#[derive(Deserialize)]
pub(crate) struct Seen {
    requests: f64,
    failures: u64,
    seconds: f64,
    p50_us: f64,
    p99_us: f64,
    computed_us: f64,
    pub(crate) p99_us_by_second: Vec<f64>,
}

/// One request, asked again and again.
#[derive(Clone)]
pub(crate) struct Load<'l> {
    pub(crate) program: &'l Path,
    pub(crate) address: &'l str,
    pub(crate) connections: usize,
    /// None: in the open.
    pub(crate) ca: Option<&'l Path>,
    pub(crate) token: Option<&'l str>,
    /// Else a prediction by the demonstration model.
    pub(crate) path: Option<&'l str>,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Option<PathBuf>,
}

/// Builds the example.
pub(crate) fn program() -> Result<PathBuf> {
    let example = ["build", "--release", "--locked", "-p", "arborgate-edge", "--example", "load"];
    command::run(command::cargo().args(example))?;
    Ok(workspace::metadata()?.target_directory.join("release/examples/load").into_std_path_buf())
}

impl<'l> Load<'l> {
    pub(crate) fn of(program: &'l Path, address: &'l str, connections: usize) -> Self {
        let (ca, token, path, headers, body) = (None, None, None, Vec::new(), None);
        Self { program, address, connections, ca, token, path, headers, body }
    }

    /// Asks for so long. None of the answers may be a failure.
    pub(crate) fn run(&self, seconds: f64) -> Result<Seen> {
        let mut program = command::program(self.program);
        program.arg(self.address).arg(self.connections.to_string()).arg(seconds.to_string());
        for (name, value) in [("--token", self.token), ("--path", self.path)] {
            if let Some(value) = value {
                program.args([name, value]);
            }
        }
        for (name, value) in [("--ca", self.ca), ("--body", self.body.as_deref())] {
            if let Some(value) = value {
                program.arg(name).arg(value);
            }
        }
        for header in &self.headers {
            program.args(["--header", header]);
        }
        let answer = command::output(&mut program)?;
        let seen: Seen = serde_json::from_str(&answer).map_err(|error| Error::Wrong(format!("{error}: {answer}")))?;
        if seen.failures != 0 || seen.requests < 1.0 {
            return Err(Error::Wrong(format!("{} {:?}: requests failed: {answer}", self.address, self.path)));
        }
        Ok(seen)
    }

    /// What a request costs these servers.
    pub(crate) fn measure(&self, setup: &Setup) -> Result<Cell> {
        self.run(WARM_UP)?;
        let before = cpu_seconds(setup)?;
        let seen = self.run(SECONDS)?;
        let cpu = cpu_seconds(setup)? - before;
        let Seen { requests, seconds, p50_us, p99_us, computed_us, .. } = seen;
        Ok(Cell { cpu_us: cpu * 1e6 / requests, per_second: requests / seconds, p50_us, p99_us, computed_us })
    }
}

/// By processor time.
pub(crate) fn median(mut cells: Vec<Cell>) -> Cell {
    cells.sort_by(|a, b| a.cpu_us.total_cmp(&b.cpu_us));
    let none =
        Cell { cpu_us: f64::NAN, per_second: f64::NAN, p50_us: f64::NAN, p99_us: f64::NAN, computed_us: f64::NAN };
    cells.get(cells.len() / 2).copied().unwrap_or(none)
}
