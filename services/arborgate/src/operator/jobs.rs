//! Jobs: a file goes to the server, a model answers its rows, the result comes back.

mod run;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::Value;

use super::client::{Client, segment};
use super::show;
use crate::console;
use crate::error::Error;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send a file, wait until its rows are answered, and save the result
    Run(RunOptions),
    /// List your jobs
    List,
    /// See a job
    Show {
        /// Its id
        id: String,
    },
    /// Cancel a job, or remove one that is over
    Cancel {
        /// Its id
        id: String,
    },
    /// Save the result of a job
    Result {
        /// Its id
        id: String,
        /// Where to; must not be there yet
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
        /// Take the place of a file that is there
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunOptions {
    /// Rows: .csv with a header, .parquet, .arrow or .arrows (a stream), or .npy
    pub file: PathBuf,
    /// The model's name
    #[arg(long, value_name = "NAME")]
    pub model: String,
    /// The version; without it the one that answers now
    #[arg(long)]
    pub version: Option<String>,
    /// What is answered
    #[arg(long, value_enum, default_value_t = Kind::Proba)]
    pub kind: Kind,
    /// Where to: .csv, .parquet or .npy; must not be there yet
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Leave out columns that are no features of the model
    #[arg(long)]
    pub ignore_extra: bool,
    /// Take columns in their order, whatever their names
    #[arg(long, conflicts_with = "ignore_extra")]
    pub by_order: bool,
    /// Take the place of a file that is there
    #[arg(long)]
    pub force: bool,
    /// Seconds that the server may be away before this gives up; the job goes on without it
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub patience: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Of a classifier the predicted class
    Label,
    /// Of a classifier the probability of each class; else the predicted values
    Proba,
    /// Margins: what the trees sum to
    Raw,
    /// What each feature contributed to each margin, and the base
    Shap,
}

const JOB: [(&str, &str); 8] = [
    ("ID", "id"),
    ("MODEL", "model"),
    ("VERSION", "version"),
    ("STATE", "state"),
    ("ROWS", "rows_done"),
    ("OF", "rows_total"),
    ("EXPIRES", "expires_at"),
    ("REASON", "reason"),
];

fn path_of(id: &str) -> String {
    format!("/v1/jobs/{}", segment(id))
}

/// Runs a command.
pub(crate) async fn run(command: Command, client: &Client) -> Result<(), Error> {
    let get = async |path: &str| client.json(client.request(Method::GET, path)).await;
    match command {
        Command::Run(options) => run::run(&options, client).await,
        Command::List => show(client, &get("/v1/jobs").await?, &JOB),
        Command::Show { id } => show(client, &get(&path_of(&id)).await?, &JOB),
        Command::Cancel { id } => {
            let response = client.send(client.request(Method::DELETE, &path_of(&id))).await?;
            let cancelled: Option<Value> = response.json().await.ok();
            match (client.json, cancelled) {
                (true, Some(job)) => console::json(&job),
                (false, Some(_)) => console::print(&format!("cancelled job {id}\n")),
                (_, None) => console::print(&format!("removed job {id}, which was over\n")),
            }
        }
        Command::Result { id, output, force } => {
            let job = get(&path_of(&id)).await?;
            let bytes = run::save(client, &job, &output, force, run::PATIENCE).await?;
            console::print(&format!("{bytes} bytes in {}\n", output.display()))
        }
    }
}
