//! Backups, streamed.

use std::io::ErrorKind;
use std::path::Path;

use futures_util::StreamExt;
use reqwest::Method;
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

use super::client::{Client, file};
use crate::console;
use crate::error::Error;

const TAR: &str = "application/x-tar";
/// The name of a backup's last entry; a file without it was cut off.
const END: &[u8] = b"arborgate/end.json";
/// The last entry and the padding after it.
const TAIL: usize = 64 << 10;

/// Saves a backup; what was cut off is not kept, and no other file is touched.
pub(crate) async fn save(path: &Path, client: &Client) -> Result<(), Error> {
    let taken = || Error::Refused(format!("{} is there already; a backup never takes its place", path.display()));
    if path.symlink_metadata().is_ok() {
        return Err(taken());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Of its owner only, under a name of its own; gone with this unless it is kept.
    let part = tempfile::Builder::new().prefix(".arborgate-backup-").suffix(".part").tempfile_in(folder);
    let part = part.map_err(file("write a file in", folder))?;
    let copy = part.as_file().try_clone().map_err(file("write", path))?;
    let response = client.send(client.request(Method::GET, "/v1/backup")).await?;
    let bytes = write(response, &mut tokio::fs::File::from_std(copy), client, path).await?;
    part.persist_noclobber(path).map_err(|error| match error.error.kind() {
        ErrorKind::AlreadyExists => taken(),
        _ => file("write", path)(error.error),
    })?;
    console::print(&format!("{bytes} bytes in {}; keep the master key as well, elsewhere\n", path.display()))
}

async fn write(
    response: reqwest::Response,
    output: &mut tokio::fs::File,
    client: &Client,
    path: &Path,
) -> Result<u64, Error> {
    let (mut bytes, mut tail) = (0, Vec::new());
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|source| client.broken(source))?;
        output.write_all(&piece).await.map_err(file("write", path))?;
        bytes += piece.len() as u64;
        tail.extend_from_slice(&piece);
        tail.drain(..tail.len().saturating_sub(TAIL));
    }
    output.sync_all().await.map_err(file("write", path))?;
    if !tail.windows(END.len()).any(|window| window == END) {
        return Err(Error::Refused("the backup was cut off; the server's log says why".to_owned()));
    }
    Ok(bytes)
}

/// Restores a backup.
pub(crate) async fn restore(path: &Path, client: &Client) -> Result<(), Error> {
    let content = tokio::fs::File::open(path).await.map_err(file("read", path))?;
    let body = reqwest::Body::wrap_stream(ReaderStream::new(content));
    let request = client.request(Method::PUT, "/v1/backup").header("Content-Type", TAR).body(body);
    let restored = client.json(request).await?;
    console::print(&format!("restored {} records and {} model files\n", restored["records"], restored["artifacts"]))
}
