//! The operator's commands: clients of the API, over HTTPS with an API key or a session, or over the owner-only socket of an
//! all-in-one on this machine.
#![allow(clippy::indexing_slicing, reason = "a JSON value gives null for what is not there")]

mod accounts;
mod backup;
mod client;
mod crypto;
mod jobs;
mod models;
mod reset;
mod session;

use clap::{Args, Subcommand};

use crate::cli::DATA_DIR;
use crate::console;
use crate::error::Error;
use client::Client;

/// Which server.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerOptions {
    /// The server, such as https://localhost:8443; without it the all-in-one of --data-dir
    #[arg(long, value_name = "URL", env = "ARBORGATE_SERVER", global = true)]
    pub server: Option<String>,
    /// An API key of the server; better in the environment than here
    #[arg(long, value_name = "KEY", env = "ARBORGATE_API_KEY", hide_env_values = true, global = true)]
    pub api_key: Option<String>,
    /// The CA that signed the server's certificate, in PEM form
    #[arg(long, value_name = "FILE", env = "ARBORGATE_CA", global = true)]
    pub ca: Option<std::path::PathBuf>,
    /// The data folder of a running all-in-one
    #[arg(long, value_name = "DIR", default_value = DATA_DIR, global = true)]
    pub data_dir: std::path::PathBuf,
    /// JSON instead of a table
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// Sign in at a server: the commands below then need no API key for a while
    SignIn {
        #[command(flatten)]
        user: session::Who,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Forget the session
    SignOut,
    /// Add, list, roll out, sign and remove models
    Models {
        #[command(subcommand)]
        command: models::Command,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Have a model answer the rows of a file
    Jobs {
        #[command(subcommand)]
        command: jobs::Command,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Add, list and remove users
    Users {
        #[command(subcommand)]
        command: accounts::Users,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Make, list and revoke API keys
    Keys {
        #[command(subcommand)]
        command: accounts::Keys,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Rotate and export the encryption keys
    Crypto {
        #[command(subcommand)]
        command: crypto::Command,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Save users, keys and models to a file; the master key is not in it
    Backup {
        /// Where; must not be there yet
        file: std::path::PathBuf,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Make users, keys and models those of a backup
    Restore {
        /// A backup
        file: std::path::PathBuf,
        #[command(flatten)]
        server: ServerOptions,
    },
}

/// Runs a command.
pub(crate) async fn run(command: OperatorCommand) -> Result<(), Error> {
    match command {
        OperatorCommand::SignIn { user, server } => session::sign_in(user, &server).await,
        OperatorCommand::SignOut => session::sign_out(),
        OperatorCommand::Models { command, server } => models::run(command, &Client::new(&server)?).await,
        OperatorCommand::Jobs { command, server } => jobs::run(command, &Client::new(&server)?).await,
        OperatorCommand::Users { command: accounts::Users::ResetPassword(options), server } => {
            reset::run(&options, &server).await
        }
        OperatorCommand::Users { command, server } => accounts::users(command, &Client::new(&server)?).await,
        OperatorCommand::Keys { command, server } => accounts::keys(command, &Client::new(&server)?).await,
        OperatorCommand::Crypto { command, server } => crypto::run(command, &Client::new(&server)?).await,
        OperatorCommand::Backup { file, server } => backup::save(&file, &Client::new(&server)?).await,
        OperatorCommand::Restore { file, server } => backup::restore(&file, &Client::new(&server)?).await,
    }
}

/// Prints an answer: as it came, or as a table of these fields.
fn show(client: &Client, answer: &serde_json::Value, fields: &[(&str, &str)]) -> Result<(), Error> {
    if client.json {
        return console::json(answer);
    }
    let rows = answer.as_array().map_or(std::slice::from_ref(answer), Vec::as_slice);
    let cells = |row: &serde_json::Value| fields.iter().map(|(_, field)| cell(row.get(*field))).collect();
    let heads: Vec<&str> = fields.iter().map(|(head, _)| *head).collect();
    console::print(&console::table(&heads, &rows.iter().map(cells).collect::<Vec<Vec<String>>>()))
}

fn cell(value: Option<&serde_json::Value>) -> String {
    match value {
        None | Some(serde_json::Value::Null) => "-".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Array(items)) => {
            items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(",")
        }
        Some(other) => other.to_string(),
    }
}
