//! Servers to be measured: all in one, and each role of a cluster over a nats-server, with all that their processes take.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arborgate_testkit::process::{Process, Program, READY};

use crate::command;
use crate::error::{Error, Result};
use crate::workspace;

/// The administrator's.
pub(crate) const PASSWORD: &str = "a bench's own password";
const PATIENCE: Duration = Duration::from_secs(60);

/// Servers of one kind.
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    pub(crate) address: String,
    pub(crate) token: Option<String>,
    pub(crate) processes: Vec<Process>,
    pub(crate) nats: Option<Process>,
}

pub(crate) fn finish(mut process: Process) -> Result {
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

pub(crate) fn ready(program: &Program) -> Result<(Process, String)> {
    let mut process = program.start().map_err(Error::io("start a server"))?;
    let line = process.wait_for_line(READY, PATIENCE).map_err(Error::io("wait for a server"))?;
    let address = line.split(' ').next().unwrap_or_default().trim_start_matches("https://").to_owned();
    Ok((process, address))
}

pub(crate) fn all_in_one(binary: &Path, config: &Path, work: &Path, tls: &Path) -> Result<Setup> {
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

/// One process for each role named.
pub(crate) fn over_nats(binary: &Path, config: &Path, work: &Path, tls: &Path, roles: &[&str]) -> Result<Setup> {
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
    for role in roles {
        let (process, at) = ready_role(&cluster(Program::new(binary).args(["serve", "--roles", *role])))?;
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

/// Processor time of all processes of a setup and of those that they started, in user and system mode.
pub(crate) fn cpu_seconds(setup: &Setup) -> Result<f64> {
    const TICKS: f64 = 100.0;
    let running = running()?;
    let mut of: Vec<u32> = setup.processes.iter().chain(&setup.nats).map(Process::pid).collect();
    let mut at = 0;
    let mut ticks = 0.0;
    while let Some(pid) = of.get(at).copied() {
        of.extend(running.iter().filter(|(_, started_by, _)| *started_by == pid).map(|(child, _, _)| *child));
        ticks += running.iter().find(|(own, _, _)| *own == pid).map_or(0.0, |(_, _, ticks)| *ticks);
        at += 1;
    }
    Ok(ticks / TICKS)
}

/// Of every process its id, that of who started it, and its ticks (proc(5): fields 4, 14 and 15 of `stat`).
fn running() -> Result<Vec<(u32, u32, f64)>> {
    let entries = fs::read_dir("/proc").map_err(Error::io("read /proc"))?.flatten();
    let process = |name: String| -> Option<(u32, u32, f64)> {
        let pid = name.parse().ok()?;
        // One that has ended meanwhile has none.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit(')').next()?.split_whitespace();
        let started_by = fields.nth(1)?.parse().ok()?;
        let ticks = fields.skip(9).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        Some((pid, started_by, ticks))
    };
    Ok(entries.filter_map(|entry| process(entry.file_name().into_string().ok()?)).collect())
}

/// One process for each role, the edge last.
pub(crate) const ROLES: [&str; 5] = ["auth", "limiter", "crypto", "inference", "edge"];

/// Certificates and a master key, in a folder.
pub(crate) fn certificates(binary: &Path, tls: &Path) -> Result {
    finish(Program::new(binary).arg("certs").arg(tls).start().map_err(Error::io("make certificates"))?)
}

impl Setup {
    /// Ends all of it.
    pub(crate) fn end(self) -> Result {
        for mut process in self.processes.into_iter().chain(self.nats) {
            process.kill().map_err(Error::io("end a server"))?;
        }
        Ok(())
    }
}
