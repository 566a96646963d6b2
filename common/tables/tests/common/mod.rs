//! Files made for a test, and what is read of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, dead_code)]

use std::num::NonZeroUsize;
use std::path::PathBuf;

use arborgate_tables::{Block, Error, Format, Numbers, Table, Take, Wanted, Width};
use ndarray::Array2;
use tempfile::TempDir;

pub(crate) fn file(format: Format, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("x.{format}").to_lowercase());
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Every column as numbers.
pub(crate) fn all(table: &Table) -> Vec<Wanted> {
    (0..table.columns().len()).map(|column| Wanted { column, take: Take::Number }).collect()
}

pub(crate) fn blocks(format: Format, bytes: &[u8], batch: usize) -> Result<Vec<Block>, Error> {
    let (_folder, path) = file(format, bytes);
    let table = Table::open(&path, format)?;
    let width = Width::of(table.columns().iter().map(|column| &column.kind));
    let wanted = all(&table);
    table.blocks(wanted, width, NonZeroUsize::new(batch).unwrap())?.collect()
}

/// All rows, whatever the blocks; NaN is one number.
pub(crate) fn bits(blocks: &[Block]) -> Vec<Vec<u64>> {
    let mut rows = Vec::new();
    for block in blocks {
        assert_eq!(block.first, rows.len() as u64);
        let numbers = Array2::<f64>::from(&block.numbers);
        rows.extend(numbers.outer_iter().map(|row| row.iter().map(|x| canonical(*x)).collect::<Vec<_>>()));
    }
    rows
}

pub(crate) fn canonical(x: f64) -> u64 {
    if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() }
}

pub(crate) fn single(block: &Block) -> &Array2<f32> {
    let Numbers::Single(numbers) = &block.numbers else { panic!("doubles") };
    numbers
}

#[track_caller]
pub(crate) fn refused(format: Format, bytes: &[u8], told: &str) {
    let said = match blocks(format, bytes, 2) {
        Ok(blocks) => panic!("taken: {blocks:?}"),
        Err(error) => error.to_string(),
    };
    assert!(said.contains(told), "{said}");
}
