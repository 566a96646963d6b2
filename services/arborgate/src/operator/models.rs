//! Models.

use std::path::PathBuf;

use arborgate_runtime::telemetry::escaped;
use clap::Subcommand;
use reqwest::Method;
use tokio_util::io::ReaderStream;

use super::client::{Client, file, query, segment};
use crate::console;
use crate::error::Error;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add a version of a model
    Add {
        /// The model's name
        name: String,
        /// Its file, as its library saved it; the README says which are read
        file: PathBuf,
        /// The version; without it the first eight digits of the file's SHA-256
        #[arg(long)]
        version: Option<String>,
        /// Names of the features in the file's order, by commas; without them the file's own, or x0, x1, …
        #[arg(long, value_delimiter = ',')]
        features: Vec<String>,
        /// What a person calls the classes in the file's order, by commas
        #[arg(long, value_delimiter = ',')]
        classes: Vec<String>,
        /// The model answers POST /predict from now on
        #[arg(long)]
        default: bool,
    },
    /// List models
    List,
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
        Command::Add { name, file, version, features, classes, default } => {
            let mut pairs = Vec::new();
            for (key, list) in [("features", features), ("classes", classes)] {
                if !list.is_empty() {
                    pairs.push((key, list.join(",")));
                }
            }
            if default {
                pairs.push(("default", "true".to_owned()));
            }
            add(client, &name, &file, version, &pairs).await
        }
        Command::List => list(client).await,
        Command::Remove { name, version } => remove(client, &name, version).await,
    }
}

async fn add(
    client: &Client,
    name: &str,
    path: &std::path::Path,
    version: Option<String>,
    pairs: &[(&str, String)],
) -> Result<(), Error> {
    let version = match version {
        Some(version) => version,
        None => digest_of(path).await?,
    };
    let content = tokio::fs::File::open(path).await.map_err(file("read", path))?;
    let size = content.metadata().await.map_err(file("read", path))?.len();
    let target = format!("/v1/models/{}/versions/{}{}", segment(name), segment(&version), query(pairs));
    let request = client
        .request(Method::PUT, &target)
        .header("Content-Type", "application/octet-stream")
        .header("Content-Length", size)
        .body(reqwest::Body::wrap_stream(ReaderStream::new(content)));
    let added = client.json(request).await?;
    if client.json {
        return console::json(&added);
    }
    let count = |field: &str| added[field].as_array().map_or(0, Vec::len);
    console::print(&format!(
        "model '{name}' version {version}: {}, {} features, {} trees\n",
        escaped(added["source"].as_str().unwrap_or("?")),
        count("features"),
        added["trees"]
    ))
}

/// A version's name from what is in the file: the same file is the same version.
async fn digest_of(path: &std::path::Path) -> Result<String, Error> {
    use tokio::io::AsyncReadExt;
    let mut content = tokio::fs::File::open(path).await.map_err(file("read", path))?;
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut chunk = vec![0; 64 << 10];
    loop {
        let read = content.read(&mut chunk).await.map_err(file("read", path))?;
        if read == 0 {
            break;
        }
        context.update(chunk.get(..read).unwrap_or_default());
    }
    let digest = context.finish();
    Ok(digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect())
}

async fn list(client: &Client) -> Result<(), Error> {
    let models = client.json(client.request(Method::GET, "/v1/models")).await?;
    if client.json {
        return console::json(&models);
    }
    let mut rows = Vec::new();
    for model in models.as_array().into_iter().flatten() {
        for version in model["versions"].as_array().into_iter().flatten() {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or("?").to_owned();
            let mut marks = Vec::new();
            if version["version"] == model["current"] {
                marks.push("current");
            }
            if model["default"] == true && version["version"] == model["current"] {
                marks.push("default");
            }
            rows.push(vec![
                text(&model["name"]),
                text(&version["version"]),
                text(&version["source"]),
                version["features"].as_array().map_or(0, Vec::len).to_string(),
                version["trees"].to_string(),
                marks.join(","),
            ]);
        }
    }
    console::print(&console::table(&["MODEL", "VERSION", "SOURCE", "FEATURES", "TREES", "IS"], &rows))
}

async fn remove(client: &Client, name: &str, version: Option<String>) -> Result<(), Error> {
    let versions = match version {
        Some(version) => vec![version],
        None => {
            let path = format!("/v1/models/{}", segment(name));
            let model = client.json(client.request(Method::GET, &path)).await?;
            let versions = model["versions"].as_array().into_iter().flatten();
            versions.filter_map(|v| v["version"].as_str().map(str::to_owned)).collect()
        }
    };
    for version in versions {
        let path = format!("/v1/models/{}/versions/{}", segment(name), segment(&version));
        client.send(client.request(Method::DELETE, &path)).await?;
        console::print(&format!("removed '{name}' version {}\n", escaped(&version)))?;
    }
    Ok(())
}
