//! Schemathesis over what a running server says of itself: every operation, also those of its two models, and every check.

use std::path::PathBuf;
use std::time::Duration;

use crate::command::{program, run_within};
use crate::error::Result;
use crate::server::{Limits, Server};
use crate::setup;
use crate::workspace::{self, Profile};

const LIMIT: Duration = Duration::from_secs(3600);

/// How long it looks.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Cases of each operation in each phase; the tests have 20
    #[arg(long, value_name = "N", default_value_t = 200)]
    max_examples: u32,
    /// The same cases as with this one before
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// What `cargo xtask test` has time for: the same cases each time.
pub(crate) const TESTED: Options = Options { max_examples: 20, seed: Some(1) };

/// Against a server that is built and started for it.
pub(crate) fn run(options: &Options) -> Result {
    let environment = workspace::tools().join("schemathesis");
    setup::packages(&environment, &folder().join("requirements.txt"), "installed.txt", &[])?;
    // It asks more often than limits let anybody, and for longer than a token lasts.
    let server = Server::start_with(&workspace::arborgate(Profile::Debug)?, Limits::None)?;
    let asked = server.add_awkward_model().and_then(|()| {
        println!("schemathesis");
        let mut command = program(environment.join("bin/python"));
        command.arg("-B").arg(folder().join("run.py")).args(["--max-examples", &options.max_examples.to_string()]);
        command.args(options.seed.iter().flat_map(|seed| ["--seed".to_owned(), seed.to_string()]));
        run_within(LIMIT, server.introduce(&mut command))
    });
    if asked.is_err() {
        eprintln!("{}", server.log());
    }
    asked.and(server.stop())
}

fn folder() -> PathBuf {
    workspace::root().join("openapi/schemathesis")
}
