//! The answers to the chunks, put together to the file that is downloaded: as `arborgate score` writes it.

use std::fs::File;
use std::io::Seek;

use arborgate_bus::ObjectInfo;
use arborgate_contracts::JobId;
use arborgate_contracts::jobs::{FileKind, Files};
use arborgate_tables::{Columns, Error, Format, Writer};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;

use super::records::Records;
use super::{Ended, grid};

fn format(kind: FileKind) -> Format {
    match kind {
        FileKind::Npy => Format::Npy,
        FileKind::Parquet => Format::Parquet,
        FileKind::Csv | FileKind::Arrow => Format::Csv,
    }
}

/// Whether a file of this kind can hold these columns.
pub(super) fn check(kind: FileKind, columns: &Columns) -> Result<(), Ended> {
    let writer = Writer::new(format(kind), std::io::Cursor::new(Vec::new()), columns.clone());
    writer.map(drop).map_err(|error| Ended::Fault(error.to_string()))
}

/// Writes the pieces one after another into `file`, and that into the object store.
pub(super) async fn write(
    records: &Records,
    id: &JobId,
    chunks: u32,
    kind: FileKind,
    columns: Columns,
    file: File,
) -> Result<ObjectInfo, Ended> {
    let (sender, receiver) = mpsc::channel(2);
    let writing = tokio::task::spawn_blocking(move || write_all(receiver, kind, columns, file));
    for chunk in 0..chunks {
        let piece = records.get(&Files(id).piece(chunk)).await?;
        // A worker has just put all of them there.
        let piece = piece.ok_or_else(|| lost("the answers to some rows are gone"))?;
        if sender.send(piece).await.is_err() {
            break;
        }
    }
    drop(sender);
    let file = writing.await.map_err(|_| Ended::Panicked)??;
    let content = ReaderStream::with_capacity(tokio::fs::File::from_std(file), 256 << 10);
    Ok(records.files.put(&Files(id).result(), Box::pin(content)).await?)
}

fn write_all(
    mut pieces: mpsc::Receiver<Bytes>,
    kind: FileKind,
    columns: Columns,
    mut file: File,
) -> Result<File, Ended> {
    let failed = |source| Ended::Io { what: "writing a result", source };
    let unwritten = |error: Error| match error {
        Error::Write(source) => failed(source),
        other => Ended::Fault(other.to_string()),
    };
    let copy = file.try_clone().map_err(failed)?;
    let mut writer = Writer::new(format(kind), copy, columns).map_err(unwritten)?;
    while let Some(piece) = pieces.blocking_recv() {
        let answers = grid::answers(piece).map_err(|error| Ended::Fault(error.to_string()))?;
        writer.write(&answers).map_err(unwritten)?;
    }
    writer.finish().map_err(unwritten)?;
    file.rewind().map_err(failed)?;
    Ok(file)
}

/// What was there is there no more; the job is worked on again, and finds what is missing.
fn lost(what: &'static str) -> Ended {
    Ended::Io { what: "putting a result together", source: std::io::Error::other(what) }
}
