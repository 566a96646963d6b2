//! Backups, streamed.

use std::os::unix::fs::OpenOptionsExt;
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

/// Saves a backup; what was cut off is not kept.
pub(crate) async fn save(path: &Path, client: &Client) -> Result<(), Error> {
    let response = client.send(client.request(Method::GET, "/v1/backup")).await?;
    let part = path.with_extension("part");
    let open = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
    let mut output = tokio::fs::File::from_std(open.map_err(file("write", &part))?);
    let written = write(response, &mut output, client, &part).await;
    let kept = written.and_then(|bytes| {
        // Linking fails where there is a file already: a backup never takes the place of another.
        std::fs::hard_link(&part, path).map_err(file("write", path)).map(|()| bytes)
    });
    std::fs::remove_file(&part).map_err(file("remove", &part))?;
    console::print(&format!("{} bytes in {}; keep the master key as well, elsewhere\n", kept?, path.display()))
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
