//! Processor time a request of `/predict` at 1, 64 and 256 connections over TLS with keep-alive: a bare poem-openapi
//! echo, all in one, and over NATS with all processes and nats-server added up. The client's time is not counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arborgate_testkit::process::{Process, Program, READY};

use crate::command;
use crate::error::{Error, Result};
use crate::workspace::{self, Profile};

const CONNECTIONS: [usize; 3] = [1, 64, 256];
/// Each cell is measured this often, in turns, and the median is taken.
const ROUNDS: usize = 3;
const SECONDS: &str = "4";
const WARM_UP: &str = "1";
const PASSWORD: &str = "a bench's own password";
const PATIENCE: Duration = Duration::from_secs(60);
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

/// Servers of one kind.
struct Setup {
    name: &'static str,
    address: String,
    token: Option<String>,
    processes: Vec<Process>,
    nats: Option<Process>,
}

#[derive(Clone, Copy)]
struct Cell {
    cpu_us: f64,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

/// Runs it and prints the table.
pub(crate) fn run() -> Result {
    let root = workspace::root();
    let binary = workspace::arborgate(Profile::Release)?;
    let examples = ["build", "--release", "--locked", "-p", "arborgate-edge", "--example", "echo", "--example", "load"];
    command::run(command::cargo().args(examples))?;
    let work = tempfile::tempdir().map_err(Error::io("make a folder"))?;
    let config = work.path().join("bench.toml");
    fs::write(&config, POLICIES).map_err(Error::io("write a configuration"))?;
    let tls = work.path().join("tls");
    let made = Program::new(&binary).arg("certs").arg(&tls).start().map_err(Error::io("make certificates"))?;
    finish(made)?;
    let setups = [
        echo(root, &tls)?,
        all_in_one(&binary, &config, work.path(), &tls)?,
        over_nats(&binary, &config, work.path(), &tls)?,
    ];
    let [_, one, _] = &setups;
    println!("resident at rest, all in one: {:.1} MiB", resident_at_rest_mib(&one.processes));
    let size = fs::metadata(&binary).map_err(Error::io("look at the binary"))?.len();
    println!("binary: {:.1} MiB\n", size as f64 / 1_048_576.0);
    let load = root.join("target/release/examples/load");
    let mut table = Vec::new();
    for connections in CONNECTIONS {
        let mut rounds: Vec<Vec<Cell>> = setups.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            for (setup, cells) in setups.iter().zip(&mut rounds) {
                cells.push(measure(&load, &tls, setup, connections)?);
            }
        }
        table.push((connections, rounds.into_iter().map(median).collect::<Vec<_>>()));
    }
    print(&setups, &table);
    for setup in setups {
        for mut process in setup.processes.into_iter().chain(setup.nats) {
            process.kill().map_err(Error::io("end a server"))?;
        }
    }
    Ok(())
}

fn finish(mut process: Process) -> Result {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match process.ended().map_err(Error::io("a command can not be waited for"))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(Error::Wrong(format!("a command ended with {status}: {}", process.stderr()))),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    Err(Error::Wrong("a command took too long".to_owned()))
}

fn ready(program: &Program) -> Result<(Process, String)> {
    let mut process = program.start().map_err(Error::io("start a server"))?;
    let line = process.wait_for_line(READY, PATIENCE).map_err(Error::io("wait for a server"))?;
    let address = line.split(' ').next().unwrap_or_default().trim_start_matches("https://").to_owned();
    Ok((process, address))
}

fn echo(root: &Path, tls: &Path) -> Result<Setup> {
    let program = Program::new(root.join("target/release/examples/echo")).arg(tls);
    let (process, address) = ready(&program)?;
    Ok(Setup { name: "poem-openapi echo", address, token: None, processes: vec![process], nats: None })
}

fn all_in_one(binary: &Path, config: &Path, work: &Path, tls: &Path) -> Result<Setup> {
    let program = Program::new(binary)
        .args(["up", "--listen", "127.0.0.1:0", "--ops-listen", "off", "--config"])
        .arg(config)
        .arg("--data-dir")
        .arg(work.join("data"))
        .env("ARBORGATE_ADMIN_PASSWORD", PASSWORD)
        .env("ARBORGATE__EDGE__TLS__CERT", tls.join("server.pem"))
        .env("ARBORGATE__EDGE__TLS__KEY", tls.join("server.key"));
    let (process, address) = ready(&program)?;
    let token = Some(token(tls, &address)?);
    Ok(Setup { name: "all in one", address, token, processes: vec![process], nats: None })
}

fn over_nats(binary: &Path, config: &Path, work: &Path, tls: &Path) -> Result<Setup> {
    let ports = work.join("nats");
    fs::create_dir(&ports).map_err(Error::io("make a folder"))?;
    let nats = Program::new(workspace::tools().join("bin/nats-server"))
        .args(["--addr", "127.0.0.1", "--port", "-1", "--jetstream", "--store_dir"])
        .arg(ports.join("store"))
        .arg("--ports_file_dir")
        .arg(&ports)
        .start()
        .map_err(Error::io("start nats-server; run cargo xtask setup"))?;
    let url = nats_url(&ports)?;
    let cluster = |program: Program| {
        program
            .arg("--nats")
            .arg(&url)
            .arg("--master-key-file")
            .arg(tls.join("master.key"))
            .arg("--config")
            .arg(config)
            .env("ARBORGATE_ADMIN_PASSWORD", PASSWORD)
            .env("ARBORGATE__EDGE__TLS__CERT", tls.join("server.pem"))
            .env("ARBORGATE__EDGE__TLS__KEY", tls.join("server.key"))
            .args(["--listen", "127.0.0.1:0", "--ops-listen", "off"])
    };
    finish(cluster(Program::new(binary).arg("init")).start().map_err(Error::io("prepare the cluster"))?)?;
    let mut processes = Vec::new();
    let mut address = String::new();
    for role in ["auth", "limiter", "crypto", "inference", "edge"] {
        let (process, at) = ready_role(&cluster(Program::new(binary).args(["serve", "--roles", role])))?;
        processes.push(process);
        address = at;
    }
    let token = Some(token(tls, &address)?);
    Ok(Setup { name: "over NATS", address, token, processes, nats: Some(nats) })
}

fn ready_role(program: &Program) -> Result<(Process, String)> {
    let mut process = program.start().map_err(Error::io("start a role"))?;
    let line = process.wait_for_line("arborgate is ready", PATIENCE).map_err(Error::io("wait for a role"))?;
    let address = line.trim_start_matches(" at https://").split(' ').next().unwrap_or_default().to_owned();
    Ok((process, address))
}

fn nats_url(ports: &Path) -> Result<String> {
    for _ in 0..400 {
        let found = fs::read_dir(ports).map_err(Error::io("read a folder"))?.flatten().map(|entry| entry.path());
        let file = found.filter(|path| path.extension().is_some_and(|e| e == "ports")).last();
        let text = file.and_then(|path: PathBuf| fs::read_to_string(path).ok()).unwrap_or_default();
        if let Some(url) = text.split('"').find(|part| part.starts_with("nats://")) {
            return Ok(url.to_owned());
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    Err(Error::Wrong("nats-server did not say its port".to_owned()))
}

fn token(tls: &Path, address: &str) -> Result<String> {
    let mut curl = command::program("curl");
    curl.args(["--silent", "--cacert"]).arg(tls.join("ca.pem")).arg(format!("https://{address}/token"));
    curl.args(["--data-urlencode", "username=admin", "--data-urlencode", &format!("password={PASSWORD}")]);
    let answer = command::output(&mut curl)?;
    let token = answer.split("\"access_token\":\"").nth(1).and_then(|rest| rest.split('"').next());
    token.map(str::to_owned).ok_or_else(|| Error::Wrong(format!("no token: {answer}")))
}

fn measure(load: &Path, tls: &Path, setup: &Setup, connections: usize) -> Result<Cell> {
    run_load(load, tls, setup, connections, WARM_UP)?;
    let before = cpu_seconds(setup)?;
    let answer = run_load(load, tls, setup, connections, SECONDS)?;
    let cpu = cpu_seconds(setup)? - before;
    let field = |name: &str| -> f64 {
        let rest = answer.split(&format!("\"{name}\":")).nth(1).unwrap_or_default();
        rest.split([',', '}']).next().unwrap_or_default().trim().parse().unwrap_or(f64::NAN)
    };
    if field("failures") != 0.0 {
        return Err(Error::Wrong(format!("{}: requests failed: {answer}", setup.name)));
    }
    let requests = field("requests");
    Ok(Cell {
        cpu_us: cpu * 1e6 / requests,
        per_second: requests / field("seconds"),
        p50_us: field("p50_us"),
        p99_us: field("p99_us"),
    })
}

fn run_load(load: &Path, tls: &Path, setup: &Setup, connections: usize, seconds: &str) -> Result<String> {
    let mut program = command::program(load);
    program.arg(tls.join("ca.pem")).arg(&setup.address).arg(connections.to_string()).arg(seconds);
    program.args(setup.token.as_deref());
    command::output(&mut program)
}

/// Processor time of all processes of a setup, in user and system mode (proc(5), fields 14 and 15).
fn cpu_seconds(setup: &Setup) -> Result<f64> {
    const TICKS: f64 = 100.0;
    let mut ticks = 0.0;
    for process in setup.processes.iter().chain(&setup.nats) {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid())).map_err(Error::io("read /proc"))?;
        let after = stat.rsplit(')').next().unwrap_or_default();
        let fields = after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
        ticks += fields.sum::<f64>();
    }
    Ok(ticks / TICKS)
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

fn median(mut cells: Vec<Cell>) -> Cell {
    cells.sort_by(|a, b| a.cpu_us.total_cmp(&b.cpu_us));
    let none = Cell { cpu_us: f64::NAN, per_second: f64::NAN, p50_us: f64::NAN, p99_us: f64::NAN };
    cells.get(cells.len() / 2).copied().unwrap_or(none)
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
