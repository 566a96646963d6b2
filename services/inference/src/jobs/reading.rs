//! A job's file, divided into chunks of rows: on a thread of its own, which reads ahead of who stores them by one chunk.

use std::fs::File;
use std::num::NonZeroUsize;
use std::sync::Arc;

use arborgate_contracts::jobs::{FileKind, Wish};
use arborgate_forest::Model;
use arborgate_scoring::{Advice, Matched, Matching, matched};
use arborgate_tables::{Blocks, Error, Format, Table, Width};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::grid::{Gathered, Of};

/// Bytes of a batch within a stream of Arrow, which is in memory whole.
const LARGEST_BATCH: u64 = 256 << 20;
/// Rows that are read together.
const BLOCK: usize = 8192;

/// Some rows of the file.
pub(super) struct Chunk {
    pub(super) number: u32,
    /// The number of its first row.
    pub(super) first: u64,
    pub(super) rows: u64,
    pub(super) bytes: Bytes,
    /// How many rows the file will have in all, as far as is known.
    pub(super) expected: Option<u64>,
}

/// What is to be read.
pub(super) struct Order {
    pub(super) file: File,
    pub(super) wish: Wish,
    pub(super) model: Arc<Model>,
    /// What features are called, if they are not called as in the model's file.
    pub(super) features: Option<Vec<String>>,
    pub(super) chunk_rows: u32,
}

/// How the file is read, once that is known.
pub(super) struct Opened {
    blocks: Blocks,
    width: Width,
    /// What a message calls the columns.
    pub(super) names: Vec<String>,
    columns: usize,
    chunk_rows: usize,
}

fn format(kind: FileKind) -> Format {
    match kind {
        FileKind::Csv => Format::Csv,
        // Columns of the same types, by names.
        FileKind::Parquet | FileKind::Arrow => Format::Parquet,
        FileKind::Npy => Format::Npy,
    }
}

/// Reads what stands before the rows. Blocking.
pub(super) fn open(order: Order) -> Result<Opened, String> {
    let Order { file, wish, model, features, chunk_rows } = order;
    let format = format(wish.input);
    let table = match wish.input {
        FileKind::Arrow => Table::arrow_file(file, LARGEST_BATCH),
        FileKind::Csv | FileKind::Parquet | FileKind::Npy => Table::of_file(file, format),
    };
    let table = table.map_err(|error| told(&error))?;
    let advice = Advice { by_order: "by_order=true", ignore_extra: "ignore_extra=true" };
    let by_name = wish.input != FileKind::Npy && !wish.by_order;
    let matching = Matching { by_name, ignore_extra: wish.ignore_extra, advice };
    let features = features.as_ref().map(|names| names.iter().map(String::as_str).collect());
    let found = matched(&model, features, table.columns(), format, matching);
    let Matched { wanted, width, names } = found.map_err(|why| format!("the file {why}"))?;
    let columns = wanted.len();
    let chunk_rows = usize::try_from(chunk_rows).unwrap_or(usize::MAX).max(1);
    let batch = NonZeroUsize::new(chunk_rows.min(BLOCK)).unwrap_or(NonZeroUsize::MIN);
    let blocks = table.blocks(wanted, width, batch).map_err(|error| told(&error))?;
    Ok(Opened { blocks, width, names, columns, chunk_rows })
}

/// As a person reads it: also what the system says.
pub(super) fn told(error: &Error) -> String {
    match error {
        Error::Read(source) => format!("reading the file failed: {source}"),
        other => other.to_string(),
    }
}

impl Opened {
    fn gather(&self) -> Gathered {
        let of = if self.width == Width::Single { Of::Single } else { Of::Double };
        Gathered::new(of, self.columns)
    }

    /// Reads all, chunk by chunk, until nobody wants more. What is wrong comes last. Blocking.
    pub(super) fn read(mut self, to: &mpsc::Sender<Result<Chunk, String>>) {
        let (mut number, mut first) = (0_u32, 0_u64);
        let mut gathered = self.gather();
        loop {
            let block = match self.blocks.next() {
                Some(Ok(block)) => Some(block),
                Some(Err(error)) => return drop(to.blocking_send(Err(told(&error)))),
                None => None,
            };
            let rows = block.as_ref().map_or(0, arborgate_tables::Block::rows);
            let mut from = 0;
            loop {
                let until = rows.min(from + (self.chunk_rows - gathered.rows()));
                if let Some(block) = block.as_ref().filter(|_| until > from) {
                    gathered.add(&block.numbers, from, until);
                    from = until;
                }
                let full = gathered.rows() == self.chunk_rows;
                let last = block.is_none() && gathered.rows() > 0;
                if full || last {
                    let rows = gathered.rows() as u64;
                    let whole = std::mem::replace(&mut gathered, self.gather());
                    let expected = self.blocks.expected();
                    let chunk = Chunk { number, first, rows, bytes: whole.finish(), expected };
                    if to.blocking_send(Ok(chunk)).is_err() {
                        return;
                    }
                    (number, first) = (number.saturating_add(1), first + rows);
                }
                if from >= rows {
                    break;
                }
            }
            if block.is_none() {
                return;
            }
        }
    }
}
