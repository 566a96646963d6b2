//! The one binary: `up` runs everything in this process, `serve` any set of roles over NATS, `init` prepares a cluster
//! once; the rest are the operator's commands. It decides what runs; what it does is in the services.

mod certs;
mod cli;
mod console;
mod error;
mod first_start;
mod health;
mod model_file;
mod new_file;
mod operator;
mod roles;
mod score;
mod serve;
mod settings;
mod up;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use error::Error;

/// Its settings are in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = arborgate_runtime::tls::install_provider().map_err(Error::from).and_then(|()| run(cli));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::fail(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?;
    let outcome = runtime.block_on(async {
        match cli.command.unwrap_or_default() {
            Command::Up(options) => up::run(&options).await,
            Command::Serve(options) => serve::run(&options).await,
            Command::Init(options) => serve::init(&options).await,
            Command::Health(options) => health::run(&options).await,
            Command::Openapi => console::print(&arborgate_edge::document()),
            Command::Certs(options) => certs::run(&options),
            Command::Inspect(options) => model_file::inspect(&options),
            Command::Convert(options) => model_file::convert(&options),
            Command::Score(options) => score::run(options).await,
            Command::Operator(command) => operator::run(command).await,
        }
    });
    // A blocking read of a terminal or a file must not keep the process.
    runtime.shutdown_background();
    outcome
}
