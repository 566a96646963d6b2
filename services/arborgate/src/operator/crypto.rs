//! The encryption keys.

use clap::Subcommand;
use reqwest::Method;

use arborgate_runtime::telemetry::escaped;

use super::client::Client;
use super::show;
use crate::console;
use crate::error::Error;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new key the newest; what was encrypted before stays readable
    Rotate,
    /// Print the keys in the open, newest first, for Python's `cryptography.fernet`
    ExportKey,
}

/// Runs a command.
pub(crate) async fn run(command: Command, client: &Client) -> Result<(), Error> {
    match command {
        Command::Rotate => {
            let made = client.json(client.request(Method::POST, "/v1/encryption-keys")).await?;
            show(client, &made, &[("VERSION", "version"), ("CREATED", "created_at")])
        }
        Command::ExportKey => {
            let keys = client.json(client.request(Method::POST, "/v1/encryption-keys/export")).await?;
            if client.json {
                return console::json(&keys);
            }
            // One a line and nothing else, to be piped.
            for key in keys.as_array().into_iter().flatten() {
                console::print(&format!("{}\n", escaped(key["key"].as_str().unwrap_or_default())))?;
            }
            Ok(())
        }
    }
}
