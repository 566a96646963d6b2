//! A k6 script against a server in release mode, started for it. The script's thresholds decide.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;

use crate::bench::servers;
use crate::command::{program, run_within};
use crate::error::{Error, Result};
use crate::server::Server;
use crate::setup;
use crate::workspace::{self, Profile};

/// The scripts of `load-tests/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Script {
    /// Does all of it work: seconds.
    Smoke,
    /// As on a usual day: minutes.
    Load,
    /// More and more, until far over what is usual: minutes.
    Stress,
    /// For long: half an hour.
    Soak,
    /// Versions of a model change under load: a minute.
    Rollout,
}

impl Script {
    fn file(self) -> &'static str {
        match self {
            Self::Smoke => "smoke.js",
            Self::Load => "load.js",
            Self::Stress => "stress.js",
            Self::Soak => "soak.js",
            Self::Rollout => "rollout.js",
        }
    }

    /// More than the script takes.
    fn limit(self) -> Duration {
        Duration::from_secs(60 * if self == Self::Soak { 40 } else { 15 })
    }
}

/// All in one; or `nats`: an edge, two workers for models and one of each other role over a nats-server.
pub(crate) fn run(script: Script, nats: bool) -> Result {
    setup::run()?;
    let binary = workspace::arborgate(Profile::Release)?;
    if nats {
        return over_nats(script, &binary);
    }
    let server = Server::start(&binary)?;
    let loaded = run_within(script.limit(), server.introduce(&mut k6(script, &server.ca())));
    if loaded.is_err() {
        eprintln!("{}", server.log());
    }
    loaded.and(server.stop())
}

fn over_nats(script: Script, binary: &Path) -> Result {
    let work = tempfile::tempdir().map_err(Error::io("make a folder"))?;
    let (tls, config) = (work.path().join("tls"), work.path().join("load.toml"));
    servers::certificates(binary, &tls)?;
    std::fs::write(&config, "").map_err(Error::io("write a configuration"))?;
    let roles = ["auth", "limiter", "crypto", "inference", "inference", "edge"];
    let cluster = servers::over_nats(binary, &config, work.path(), &tls, &roles)?;
    let mut k6 = k6(script, &tls.join("ca.pem"));
    k6.env("BASE_URL", format!("https://{}", cluster.address)).env("ADMIN_PASSWORD", servers::PASSWORD);
    let loaded = run_within(script.limit(), &mut k6);
    if loaded.is_err() {
        for process in &cluster.processes {
            eprintln!("{}", process.stderr());
        }
    }
    loaded.and(cluster.end())
}

fn k6(script: Script, ca: &Path) -> Command {
    let mut k6 = program(workspace::tools().join("bin/k6"));
    k6.args(["run", "--no-usage-report"]).arg(workspace::root().join("load-tests").join(script.file()));
    // Go's way to name authorities; so the certificate is verified as a client would.
    k6.env("SSL_CERT_FILE", ca);
    k6
}
