//! Models: their versions, and which of them answers.

mod add;
mod rollout;
mod show;
mod sign;

use clap::Subcommand;
use reqwest::Method;

use arborgate_runtime::telemetry::escaped;

use super::client::{Client, segment};
use crate::console;
use crate::error::Error;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add a version of a model
    Add(add::Options),
    /// List models
    List,
    /// Show a model: its versions, features and traffic
    Show {
        /// The model's name
        name: String,
        /// One version, with its features
        #[arg(long)]
        version: Option<String>,
    },
    /// Have a version answer every request that names none; ends a split
    Promote {
        /// The model's name
        name: String,
        /// The version
        version: String,
    },
    /// Have the version answer that did before the last promotion
    Rollback {
        /// The model's name
        name: String,
    },
    /// Have versions answer a share of the requests that name none
    Split(rollout::SplitOptions),
    /// Ask a version as well, compare its answers and drop them
    Shadow(rollout::ShadowOptions),
    /// Have workers hold a version again
    Load {
        /// The model's name
        name: String,
        /// The version
        version: String,
    },
    /// Have workers let a version go; its file stays
    Unload {
        /// The model's name
        name: String,
        /// The version
        version: String,
        /// Why, for people
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Sign a model's file, without a server
    Sign(sign::Options),
    /// Remove a version of a model, or all of them
    Remove {
        /// The model's name
        name: String,
        /// The version; without it all
        #[arg(long)]
        version: Option<String>,
    },
}

/// Runs a command.
pub(crate) async fn run(command: Command, client: &Client) -> Result<(), Error> {
    match command {
        Command::Add(options) => add::run(options, client).await,
        Command::List => show::list(client).await,
        Command::Show { name, version: None } => show::model(client, &name).await,
        Command::Show { name, version: Some(version) } => show::version(client, &name, &version).await,
        Command::Promote { name, version } => {
            let path = format!("{}/promote", version_path(&name, &version));
            rollout::told(client, client.request(Method::POST, &path)).await
        }
        Command::Rollback { name } => {
            rollout::told(client, client.request(Method::POST, &format!("{}/rollback", model_path(&name)))).await
        }
        Command::Split(options) => rollout::split(options, client).await,
        Command::Shadow(options) => rollout::shadow(options, client).await,
        Command::Load { name, version } => {
            let path = format!("{}/load", version_path(&name, &version));
            rollout::told(client, client.request(Method::POST, &path)).await
        }
        Command::Unload { name, version, reason } => {
            let path = format!("{}/unload", version_path(&name, &version));
            let body = serde_json::json!({ "reason": reason });
            rollout::told(client, client.request(Method::POST, &path).json(&body)).await
        }
        Command::Sign(options) => sign::run(&options, client.json),
        Command::Remove { name, version } => remove(client, &name, version).await,
    }
}

fn model_path(name: &str) -> String {
    format!("/v1/models/{}", segment(name))
}

fn version_path(name: &str, version: &str) -> String {
    format!("{}/versions/{}", model_path(name), segment(version))
}

async fn remove(client: &Client, name: &str, version: Option<String>) -> Result<(), Error> {
    let versions = match version {
        Some(version) => vec![version],
        None => {
            let model = client.json(client.request(Method::GET, &model_path(name))).await?;
            for part in ["split", "shadow"].into_iter().filter(|_| model["rollout"].is_object()) {
                client.send(client.request(Method::DELETE, &format!("{}/{part}", model_path(name)))).await?;
            }
            let versions = model["versions"].as_array().into_iter().flatten();
            let mut versions: Vec<String> = versions.filter_map(|v| v["version"].as_str().map(str::to_owned)).collect();
            // The current one is removed last: what answers is not removed while there are others.
            versions.sort_by_key(|version| model["current"] == version.as_str());
            versions
        }
    };
    for version in versions {
        client.send(client.request(Method::DELETE, &version_path(name, &version))).await?;
        console::print(&format!("removed '{name}' version {}\n", escaped(&version)))?;
    }
    Ok(())
}
