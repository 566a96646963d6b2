//! A k6 script against a server in release mode, started for it. The script's thresholds decide.

use std::time::Duration;

use clap::ValueEnum;

use crate::command::{program, run_within};
use crate::error::Result;
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
}

impl Script {
    fn file(self) -> &'static str {
        match self {
            Self::Smoke => "smoke.js",
            Self::Load => "load.js",
            Self::Stress => "stress.js",
            Self::Soak => "soak.js",
        }
    }

    /// More than the script takes.
    fn limit(self) -> Duration {
        Duration::from_secs(60 * if self == Self::Soak { 40 } else { 15 })
    }
}

pub(crate) fn run(script: Script) -> Result {
    setup::run()?;
    let server = Server::start(&workspace::arborgate(Profile::Release)?)?;
    let mut k6 = program(workspace::tools().join("bin/k6"));
    k6.args(["run", "--no-usage-report"]).arg(workspace::root().join("load-tests").join(script.file()));
    // Go's way to name authorities; so the certificate is verified as a client would.
    k6.env("SSL_CERT_FILE", server.ca());
    let loaded = run_within(script.limit(), server.introduce(&mut k6));
    if loaded.is_err() {
        eprintln!("{}", server.log());
    }
    loaded.and(server.stop())
}
