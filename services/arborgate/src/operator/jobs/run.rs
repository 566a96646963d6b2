//! One job from here to the result, with a bar. A server that is away for a while is asked again; the job goes on meanwhile.

use std::path::Path;
use std::time::Duration;

use arborgate_contracts::jobs::FileKind;
use arborgate_runtime::telemetry::escaped;
use aws_lc_rs::digest::{Context, SHA256};
use clap::ValueEnum;
use futures_util::{StreamExt, TryStreamExt};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Method;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};
use tokio_util::io::ReaderStream;

use super::RunOptions;
use super::path_of;
use crate::console;
use crate::error::Error;
use crate::new_file::{NewFile, check_place};
use crate::operator::client::{Client, file, query, segment};

/// How long a server may be away while a result is saved.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is asked how far a job is, and a server that is away whether it is back.
const ASK_EVERY: Duration = Duration::from_millis(500);
const SENT: &str = "{bar:30} {bytes} of {total_bytes} sent, {bytes_per_sec}";
const WAITS: &str = "{spinner} waits for a worker";
const ROWS: &str = "{bar:30} {human_pos} of {human_len} rows, {eta} left";
const UNKNOWN: &str = "{spinner} {human_pos} rows";

fn style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

/// What a file is, by the end of its name.
fn kind_of(path: &Path) -> Option<FileKind> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "csv" => Some(FileKind::Csv),
        "parquet" => Some(FileKind::Parquet),
        "arrow" | "arrows" => Some(FileKind::Arrow),
        "npy" => Some(FileKind::Npy),
        _ => None,
    }
}

fn unfit(path: &Path, message: &str) -> Error {
    Error::Unfit { path: path.to_owned(), message: message.to_owned() }
}

/// Sends the file, waits, and saves the result.
pub(super) async fn run(options: &RunOptions, client: &Client) -> Result<(), Error> {
    let RunOptions { file: input, output, .. } = options;
    let what = "must end in .csv, .parquet, .arrow, .arrows or .npy, which says what it is";
    let content_type = match kind_of(input).ok_or_else(|| unfit(input, what))? {
        FileKind::Csv => "text/csv",
        FileKind::Parquet => "application/vnd.apache.parquet",
        FileKind::Arrow => "application/vnd.apache.arrow.stream",
        FileKind::Npy => "application/x-npy",
    };
    let wanted = match kind_of(output) {
        Some(FileKind::Csv) => "csv",
        Some(FileKind::Parquet) => "parquet",
        Some(FileKind::Npy) => "npy",
        Some(FileKind::Arrow) | None => {
            return Err(unfit(output, "must end in .csv, .parquet or .npy, which says what it is to be"));
        }
    };
    check_place(output, options.force)?;
    let patience = Duration::from_secs(options.patience);
    // Hidden where standard error is no terminal.
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let job = send(options, client, content_type, wanted, &bar).await?;
    let id = job["id"].as_str().unwrap_or_default().to_owned();
    let over = follow(client, &id, &bar, patience).await;
    bar.finish_and_clear();
    let job = over?;
    match job["state"].as_str() {
        Some("succeeded") => {}
        Some("failed") => {
            let reason = escaped(job["reason"].as_str().unwrap_or("for a reason that the server does not say"));
            return Err(Error::Refused(format!("job {id} failed: {reason}")));
        }
        _ => return Err(Error::Refused(format!("job {id} was cancelled"))),
    }
    save(client, &job, output, options.force, patience).await?;
    if client.json {
        return console::json(&job);
    }
    let rows = HumanCount(job["rows_done"].as_u64().unwrap_or_default());
    console::print(&format!("{rows} rows in {}; job {id}\n", output.display()))
}

async fn send(
    options: &RunOptions,
    client: &Client,
    content_type: &str,
    wanted: &str,
    bar: &ProgressBar,
) -> Result<Value, Error> {
    let path = &options.file;
    let content = tokio::fs::File::open(path).await.map_err(file("read", path))?;
    let size = content.metadata().await.map_err(file("read", path))?.len();
    let kind = options.kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    let mut pairs = vec![("kind", kind), ("output", wanted.to_owned())];
    for (name, given) in [("by_order", options.by_order), ("ignore_extra", options.ignore_extra)] {
        if given {
            pairs.push((name, "true".to_owned()));
        }
    }
    let version = options.version.as_ref().map_or_else(String::new, |name| format!("/versions/{}", segment(name)));
    let target = format!("/v1/models/{}{version}/jobs{}", segment(&options.model), query(&pairs));
    bar.set_length(size);
    style(bar, SENT);
    let counted = bar.clone();
    let pieces =
        ReaderStream::with_capacity(content, 256 << 10).inspect_ok(move |piece| counted.inc(piece.len() as u64));
    let request = client
        .request(Method::POST, &target)
        .header("Content-Type", content_type)
        .header("Content-Length", size)
        .body(reqwest::Body::wrap_stream(pieces));
    client.json(request).await
}

/// Asks how far a job is until it is over.
async fn follow(client: &Client, id: &str, bar: &ProgressBar, patience: Duration) -> Result<Value, Error> {
    style(bar, WAITS);
    bar.reset();
    let mut shown = WAITS;
    let path = path_of(id);
    loop {
        let job = patiently(patience, bar, async || client.json(client.request(Method::GET, &path)).await).await?;
        let (done, total) = (job["rows_done"].as_u64().unwrap_or_default(), job["rows_total"].as_u64());
        let template = match (job["state"].as_str(), total) {
            (Some("queued"), _) => WAITS,
            (Some("running"), Some(_)) => ROWS,
            (Some("running"), None) => UNKNOWN,
            _ => return Ok(job),
        };
        if shown != template {
            style(bar, template);
            shown = template;
        }
        if let Some(total) = total {
            bar.set_length(total.max(done));
        }
        bar.set_position(done);
        sleep(ASK_EVERY).await;
    }
}

/// Asks again while the server is away, or says that it is busy.
async fn patiently<T>(
    patience: Duration,
    bar: &ProgressBar,
    mut ask: impl AsyncFnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let until = Instant::now() + patience;
    loop {
        match ask().await {
            Err(error) if error.may_pass() && Instant::now() < until => {
                bar.tick();
                sleep(ASK_EVERY).await;
            }
            outcome => return outcome,
        }
    }
}

/// Saves the result of a job; how many bytes it has. A download that breaks goes on where it was.
pub(super) async fn save(
    client: &Client,
    job: &Value,
    output: &Path,
    force: bool,
    patience: Duration,
) -> Result<u64, Error> {
    check_place(output, force)?;
    let path = format!("{}/result", path_of(job["id"].as_str().unwrap_or_default()));
    let size = job["result_bytes"].as_u64();
    let part = NewFile::create(output, force)?;
    let mut to = tokio::fs::File::from_std(part.file()?);
    let (mut written, mut digest) = (0_u64, Context::new(&SHA256));
    let mut until = Instant::now() + patience;
    loop {
        let before = written;
        match fetch(client, &path, output, &mut to, &mut written, &mut digest).await {
            Ok(()) => break,
            Err(error) if error.may_pass() && (written > before || Instant::now() < until) => {
                if written > before {
                    until = Instant::now() + patience;
                }
                sleep(ASK_EVERY).await;
            }
            Err(error) => return Err(error),
        }
    }
    to.flush().await.map_err(file("write", output))?;
    let found: String = digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    if size.is_some_and(|size| size != written) || job["result_digest"].as_str().is_some_and(|digest| digest != found) {
        return Err(Error::Refused("the result was changed on its way; try again".to_owned()));
    }
    part.keep()?;
    Ok(written)
}

/// What is left of a result.
async fn fetch(
    client: &Client,
    path: &str,
    output: &Path,
    to: &mut tokio::fs::File,
    written: &mut u64,
    digest: &mut Context,
) -> Result<(), Error> {
    let mut request = client.request(Method::GET, path);
    if *written > 0 {
        request = request.header("Range", format!("bytes={written}-"));
    }
    let response = client.send(request).await?;
    if *written > 0 && response.status() != reqwest::StatusCode::PARTIAL_CONTENT {
        return Err(Error::Refused("the server does not go on with a download; try again".to_owned()));
    }
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|source| client.broken(source))?;
        to.write_all(&piece).await.map_err(file("write", output))?;
        digest.update(&piece);
        *written += piece.len() as u64;
    }
    Ok(())
}
