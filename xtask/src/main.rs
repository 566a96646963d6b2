//! The workshop: what is done to this repository, one module a command. `cargo xtask help` lists them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to whoever typed it")]

mod bench;
mod certs;
mod check;
mod clients;
mod command;
mod error;
mod fuzz;
mod load;
mod openapi;
mod parity;
mod schemathesis;
mod server;
mod setup;
mod show;
mod test;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The workshop of Arborgate")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Get what the tests need into ignored folders: nats-server, k6, Python and Node packages
    Setup,
    /// Run every test: Rust's, then those of the generated clients, then Schemathesis
    Test {
        /// For `cargo test` instead of `--workspace`; with any, the clients' tests are left out
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Format, lints, licences and sources of dependencies, invariants, generated files
    Check {
        /// Only these: format, text, licences, banned, invariants, lints, docs, generated
        names: Vec<String>,
    },
    /// Write openapi/openapi.json
    Openapi {
        /// Compare only
        #[arg(long)]
        check: bool,
    },
    /// Generate clients in Python, TypeScript and Rust into openapi/clients/*/generated
    Clients(clients::Options),
    /// Ask a server all that its document allows, and what it does not, with Schemathesis
    Schemathesis(schemathesis::Options),
    /// Fuzz the parsers of untrusted bytes
    Fuzz {
        /// One target; all of them without it
        target: Option<String>,
        /// For each target
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Run a k6 script against a server in release mode, started for it
    Load {
        /// Which
        script: load::Script,
        /// Over NATS, each role a process, and not all in one
        #[arg(long)]
        nats: bool,
    },
    /// Show at full size what the tests hold at a small one
    Show {
        #[command(subcommand)]
        what: Show,
    },
    /// Compare predictions of random models with those of the libraries that made them
    Parity(parity::Options),
    /// Compare with what users would otherwise take, in one run
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Make a development CA and server certificates
    Certs {
        /// Where
        #[arg(default_value = "certs")]
        folder: PathBuf,
    },
}

#[derive(Subcommand)]
enum Show {
    /// A job of five million rows over NATS, of which a worker and the edge are killed: complete, and as `score` has it
    Jobs {
        /// Rows
        #[arg(long, default_value_t = 5_000_000)]
        rows: u64,
    },
}

#[derive(Subcommand)]
enum Bench {
    /// Processor time a request of /predict, all in one and over NATS, beside a bare echo
    Edge,
    /// Processor time and rows a second by JSON, binary and Arrow, beside MLServer and FastAPI with the same model
    Serve,
    /// Time a call of the forest's kernels, beside each engine that can run the same model
    Kernels(bench::kernels::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Setup => setup::run(),
        Task::Test { args } => test::run_all(&args),
        Task::Check { names } => check::run_all(&names),
        Task::Openapi { check: true } => openapi::check(),
        Task::Openapi { check: false } => openapi::write(),
        Task::Clients(options) => setup::run().and_then(|()| clients::run(&options)),
        Task::Schemathesis(options) => schemathesis::run(&options),
        Task::Fuzz { target, seconds } => fuzz::run(target.as_deref(), seconds),
        Task::Load { script, nats } => load::run(script, nats),
        Task::Show { what: Show::Jobs { rows } } => setup::run().and_then(|()| show::jobs(rows)),
        Task::Parity(options) => parity::run(&options),
        Task::Bench { what: Bench::Edge } => bench::edge::run(),
        Task::Bench { what: Bench::Serve } => bench::serve::run(),
        Task::Bench { what: Bench::Kernels(options) } => bench::kernels::run(&options),
        Task::Certs { folder } => certs::make(&folder),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {}", error.with_causes());
            ExitCode::FAILURE
        }
    }
}
