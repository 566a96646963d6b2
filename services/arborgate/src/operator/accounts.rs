//! Users and API keys.

use std::io::{BufRead, IsTerminal};

use arborgate_contracts::permission::Role;
use arborgate_runtime::telemetry::escaped;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::client::{Client, segment};
use super::show;
use crate::console;
use crate::error::Error;

#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// Add a user; the password is read from standard input
    Add {
        /// The name
        name: String,
        /// What they may do; may be given more than once
        #[arg(long = "role", value_name = "ROLE", required = true, value_parser = roles())]
        roles: Vec<String>,
    },
    /// List users
    List,
    /// Remove a user; what they hold is refused from then on
    Remove {
        /// The name
        name: String,
    },
    /// Set a user's password offline, in the data folder of an all-in-one that is not running
    ResetPassword(ResetOptions),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ResetOptions {
    /// The name
    pub name: String,
    /// Read the password from standard input instead of making one
    #[arg(long)]
    pub stdin: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make an API key; its secret is shown once
    Create {
        /// What you call it
        name: String,
        /// What they may do; may be given more than once
        #[arg(long = "role", value_name = "ROLE", required = true, value_parser = roles())]
        roles: Vec<String>,
        /// Its life in seconds; without it, it does not end
        #[arg(long, value_name = "SECONDS")]
        expires_in: Option<u64>,
    },
    /// List API keys
    List,
    /// Revoke an API key
    Revoke {
        /// Its public part
        id: String,
    },
}

fn roles() -> PossibleValuesParser {
    Role::ALL.map(Role::as_str).into()
}

/// A password from standard input: one line.
pub(crate) fn read_password() -> Result<String, Error> {
    let input = std::io::stdin();
    if input.is_terminal() {
        return Err(Error::Refused("pipe the password in: `… < file`; it is not read from a terminal".to_owned()));
    }
    let mut line = String::new();
    input.lock().read_line(&mut line).map_err(super::client::file("read", "standard input".as_ref()))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

const USER: [(&str, &str); 3] = [("NAME", "name"), ("ROLES", "roles"), ("CREATED", "created_at")];
const KEY: [(&str, &str); 6] = [
    ("ID", "id"),
    ("NAME", "name"),
    ("ROLES", "roles"),
    ("CREATED", "created_at"),
    ("BY", "created_by"),
    ("EXPIRES", "expires_at"),
];

/// Runs a command on users.
pub(crate) async fn users(command: Users, client: &Client) -> Result<(), Error> {
    match command {
        Users::Add { name, roles } => {
            let body = json!({"name": name, "password": read_password()?, "roles": roles});
            show(client, &client.json(client.request(Method::POST, "/v1/users").json(&body)).await?, &USER)
        }
        Users::List => show(client, &client.json(client.request(Method::GET, "/v1/users")).await?, &USER),
        Users::Remove { name } => {
            client.send(client.request(Method::DELETE, &format!("/v1/users/{}", segment(&name)))).await?;
            console::print(&format!("removed user '{name}'\n"))
        }
        Users::ResetPassword(_) => Err(Error::Refused("works offline only".to_owned())),
    }
}

/// Runs a command on API keys.
pub(crate) async fn keys(command: Keys, client: &Client) -> Result<(), Error> {
    match command {
        Keys::Create { name, roles, expires_in } => {
            let body = json!({"name": name, "roles": roles, "expires_in": expires_in});
            let made = client.json(client.request(Method::POST, "/v1/api-keys").json(&body)).await?;
            if client.json {
                return console::json(&made);
            }
            show(client, &made["key"], &KEY)?;
            console::print(&format!("\n{}   (shown this once)\n", escaped(made["secret"].as_str().unwrap_or_default())))
        }
        Keys::List => show(client, &client.json(client.request(Method::GET, "/v1/api-keys")).await?, &KEY),
        Keys::Revoke { id } => {
            client.send(client.request(Method::DELETE, &format!("/v1/api-keys/{}", segment(&id)))).await?;
            console::print(&format!("revoked {id}\n"))
        }
    }
}
