//! A version is added: its file is streamed, with a bar of how far it is.

use std::path::{Path, PathBuf};

use arborgate_runtime::files::read_bounded;
use arborgate_runtime::telemetry::escaped;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use tokio_util::io::ReaderStream;

use super::version_path;
use crate::console;
use crate::error::Error;
use crate::operator::client::{Client, file, query};

/// What is beside a file that was signed.
pub(super) const SIGNED: &str = ".sig";
/// Bytes of what is said of a model.
const SAID: u64 = 1 << 20;
const BAR: &str = "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The model's name
    name: String,
    /// Its file, as its library saved it; the README says which are read
    file: PathBuf,
    /// The version; without it the first eight digits of the file's SHA-256
    #[arg(long)]
    version: Option<String>,
    /// What the model is like, in TOML or JSON: names, units, ranges and descriptions of features, classes, labels
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Names of the features in the file's order, by commas; without them the file's own, or x0, x1, …
    #[arg(long, value_delimiter = ',', conflicts_with = "signature")]
    features: Vec<String>,
    /// What a person calls the classes in the file's order, by commas
    #[arg(long, value_delimiter = ',', conflicts_with = "signature")]
    classes: Vec<String>,
    /// What `models sign` wrote; without it FILE.sig where there is one
    #[arg(long, value_name = "FILE")]
    signed: Option<PathBuf>,
    /// It answers for its model from now on, whatever was promoted
    #[arg(long)]
    promote: bool,
    /// It does not answer for its model until it is promoted
    #[arg(long, conflicts_with = "promote")]
    no_promote: bool,
    /// The model answers POST /predict from now on
    #[arg(long)]
    default: bool,
}

impl Options {
    fn query(&self) -> String {
        let mut pairs = Vec::new();
        for (key, list) in [("features", &self.features), ("classes", &self.classes)] {
            if !list.is_empty() {
                pairs.push((key, list.join(",")));
            }
        }
        if self.promote || self.no_promote {
            pairs.push(("promote", self.promote.to_string()));
        }
        if self.default {
            pairs.push(("default", "true".to_owned()));
        }
        query(&pairs)
    }

    /// The signature of the file, if there is one.
    fn signed(&self) -> Option<PathBuf> {
        let beside = || {
            let mut path = self.file.clone().into_os_string();
            path.push(SIGNED);
            Some(PathBuf::from(path)).filter(|path| path.is_file())
        };
        self.signed.clone().or_else(beside)
    }
}

pub(super) async fn run(options: Options, client: &Client) -> Result<(), Error> {
    let Options { name, file: path, .. } = &options;
    let version = match &options.version {
        Some(version) => version.clone(),
        None => digest_of(path).await?,
    };
    let content = tokio::fs::File::open(path).await.map_err(file("read", path))?;
    let size = content.metadata().await.map_err(file("read", path))?.len();
    let bar = bar(size);
    let body = Body::wrap_stream(ReaderStream::new(bar.wrap_async_read(content)));
    let target = format!("{}{}", version_path(name, &version), options.query());
    let request = client.request(Method::PUT, &target);
    let (signature, signed) = (options.signature.as_deref(), options.signed());
    let request = if signature.is_none() && signed.is_none() {
        request.header("Content-Type", "application/octet-stream").header("Content-Length", size).body(body)
    } else {
        let mut form = Form::new();
        for (part, path) in [("signature", signature), ("provenance", signed.as_deref())] {
            if let Some(path) = path {
                form = form.part(part, Part::bytes(read_bounded(path, SAID)?));
            }
        }
        request.multipart(form.part("file", Part::stream_with_length(body, size)))
    };
    let added = client.json(request).await;
    bar.finish_and_clear();
    let added = added?;
    if client.json {
        return console::json(&added);
    }
    let count = |field: &str| added[field].as_array().map_or(0, Vec::len);
    console::print(&format!(
        "model '{name}' version {version}: {}, {} features, {} trees; {}\n",
        escaped(added["source"].as_str().unwrap_or("?")),
        count("features"),
        added["trees"],
        escaped(added["state"].as_str().unwrap_or("?")),
    ))
}

/// Hidden where standard error is no terminal.
fn bar(size: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(BAR) {
        bar.set_style(style);
    }
    bar
}

/// A version's name from what is in the file: the same file is the same version.
async fn digest_of(path: &Path) -> Result<String, Error> {
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
