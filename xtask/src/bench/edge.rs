//! Processor time a request of `/predict` at 1, 64 and 256 connections over TLS with keep-alive: a bare poem-openapi
//! echo, all in one, and over NATS with all processes and nats-server added up. The client's time is not counted.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use arborgate_testkit::process::{Process, Program};

use super::load::{self, Cell, Load};
use super::servers::{self, Setup, ready};
use crate::command;
use crate::error::{Error, Result};
use crate::workspace::{self, Profile};

const CONNECTIONS: [usize; 3] = [1, 64, 256];
/// Each cell is measured this often, in turns, and the median is taken.
const ROUNDS: usize = 3;
/// Longer than the allocator keeps what it no longer needs.
const REST: Duration = Duration::from_secs(3);
/// No limit is reached, and all are counted.
const POLICIES: &str = r#"
[[edge.policies]]
name = "token"
operations = ["token"]
by = "address"
permits = 1000
window = "1m"

[[edge.policies]]
name = "predict"
operations = ["predict"]
by = "principal"
permits = 100000000
window = "1m"

[edge.flood]
per_second = 1000000
burst = 1000000
"#;

/// Runs it and prints the table.
pub(crate) fn run() -> Result {
    let root = workspace::root();
    let binary = workspace::arborgate(Profile::Release)?;
    let example = ["build", "--release", "--locked", "-p", "arborgate-edge", "--example", "echo"];
    command::run(command::cargo().args(example))?;
    let program = load::program()?;
    let work = tempfile::tempdir().map_err(Error::io("make a folder"))?;
    let config = work.path().join("bench.toml");
    fs::write(&config, POLICIES).map_err(Error::io("write a configuration"))?;
    let tls = work.path().join("tls");
    servers::certificates(&binary, &tls)?;
    let setups = [
        echo(root, &tls)?,
        servers::all_in_one(&binary, &config, work.path(), &tls)?,
        servers::over_nats(&binary, &config, work.path(), &tls, &servers::ROLES)?,
    ];
    let [_, one, _] = &setups;
    println!("resident at rest, all in one: {:.1} MiB", resident_at_rest_mib(&one.processes));
    let size = fs::metadata(&binary).map_err(Error::io("look at the binary"))?.len();
    println!("binary: {:.1} MiB\n", size as f64 / 1_048_576.0);
    let mut table = Vec::new();
    for connections in CONNECTIONS {
        let mut rounds: Vec<Vec<Cell>> = setups.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            for (setup, cells) in setups.iter().zip(&mut rounds) {
                cells.push(measure(&program, &tls, setup, connections)?);
            }
        }
        table.push((connections, rounds.into_iter().map(load::median).collect::<Vec<_>>()));
    }
    print(&setups, &table);
    setups.into_iter().try_for_each(Setup::end)
}

fn echo(root: &Path, tls: &Path) -> Result<Setup> {
    let program = Program::new(root.join("target/release/examples/echo")).arg(tls);
    let (process, address) = ready(&program)?;
    Ok(Setup { name: "poem-openapi echo", address, token: None, processes: vec![process], nats: None })
}

fn measure(program: &Path, tls: &Path, setup: &Setup, connections: usize) -> Result<Cell> {
    let ca = tls.join("ca.pem");
    Load { ca: Some(&ca), token: setup.token.as_deref(), ..Load::of(program, &setup.address, connections) }
        .measure(setup)
}

/// The setup has just signed somebody in, and what hashing a password took is given back a second later: the least of
/// what is met until nothing has fallen for [`REST`].
fn resident_at_rest_mib(processes: &[Process]) -> f64 {
    let mut least = resident_mib(processes);
    let mut since = Instant::now();
    while since.elapsed() < REST {
        std::thread::sleep(Duration::from_millis(100));
        let now = resident_mib(processes);
        if now < least {
            least = now;
            since = Instant::now();
        }
    }
    least
}

fn resident_mib(processes: &[Process]) -> f64 {
    let status = |p: &Process| fs::read_to_string(format!("/proc/{}/status", p.pid())).unwrap_or_default();
    let kib = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:").map(str::to_owned));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(f64::NAN)
    };
    processes.iter().map(|p| kib(status(p)) / 1024.0).sum()
}

fn print(setups: &[Setup; 3], table: &[(usize, Vec<Cell>)]) {
    println!("| connections | server | processor time a request, µs | of the echo's | requests/s | p50 µs | p99 µs |");
    println!("|--:|---|--:|--:|--:|--:|--:|");
    for (connections, cells) in table {
        let floor = cells.first().map_or(f64::NAN, |cell| cell.cpu_us);
        for (setup, cell) in setups.iter().zip(cells) {
            println!(
                "| {connections} | {} | {:.1} | {:.2} | {:.0} | {:.0} | {:.0} |",
                setup.name,
                cell.cpu_us,
                cell.cpu_us / floor,
                cell.per_second,
                cell.p50_us,
                cell.p99_us
            );
        }
    }
}
