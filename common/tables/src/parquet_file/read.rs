//! Reads Parquet: a batch's columns become the columns of a block. Pages are read and decoded one at a time, so that memory
//! does not grow with the file.

use std::fs::File;

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use crate::array::{self, guarded, kind};
use crate::block::{Block, Float, block};
use crate::column::{Column, Take, Width};
use crate::error::{Error, quoted};
use crate::read::{Order, Reader};

/// Rows of a batch, at most: the file's own number of rows is not to be trusted.
const LARGEST: usize = 1 << 20;

/// A file whose footer was read.
pub(crate) struct ParquetTable {
    builder: ParquetRecordBatchReaderBuilder<File>,
    rows: u64,
}

impl std::fmt::Debug for ParquetTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetTable").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl ParquetTable {
    pub(crate) fn open(file: File) -> Result<(Self, Vec<Column>), Error> {
        let refused = |message: String| Error::content(format!("it is no Parquet file, or a damaged one: {message}"));
        let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string()))
            .map_err(refused)?;
        let groups = builder.metadata().row_groups();
        groups.iter().flat_map(RowGroupMetaData::columns).try_for_each(packed)?;
        let rows = groups.iter().try_fold(0_u64, |sum, group| sum.checked_add(u64::try_from(group.num_rows()).ok()?));
        let rows = rows.ok_or_else(|| refused("its numbers of rows are none".to_owned()))?;
        let column =
            |field: &arrow_schema::FieldRef| Column { name: Some(field.name().clone()), kind: kind(field.data_type()) };
        let columns = builder.schema().fields().iter().map(column).collect();
        Ok((Self { builder, rows }, columns))
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn read(self, order: Order) -> Result<ParquetReader, Error> {
        let roots = order.wanted.iter().map(|wanted| wanted.column);
        let mask = ProjectionMask::roots(self.builder.parquet_schema(), roots);
        let rows = usize::try_from(self.rows).unwrap_or(usize::MAX).max(1);
        let builder = self.builder.with_projection(mask).with_batch_size(order.batch.min(LARGEST).min(rows));
        let reader = guarded(|| builder.build().map_err(|error| error.to_string()))
            .map_err(|message| Error::Damaged { rows: 0, message })?;
        // a batch has the columns that are read, in the file's order
        let mut read: Vec<usize> = order.wanted.iter().map(|wanted| wanted.column).collect();
        read.sort_unstable();
        read.dedup();
        let places = order.wanted.iter().map(|wanted| read.binary_search(&wanted.column).unwrap_or(0)).collect();
        Ok(ParquetReader { reader, order, places, next: 0, rows: self.rows })
    }
}

/// Brotli is left out for its size.
fn packed(column: &ColumnChunkMetaData) -> Result<(), Error> {
    let codec = match column.compression() {
        Compression::BROTLI(_) => "Brotli",
        Compression::LZO => "LZO",
        _ => return Ok(()),
    };
    let name = column.column_descr().path().string();
    let message = format!("is packed with {codec}, which is not read: write it with Zstandard, Snappy, gzip or LZ4");
    Err(Error::Column { column: quoted(&name), message })
}

pub(crate) struct ParquetReader {
    reader: ParquetRecordBatchReader,
    order: Order,
    /// For each wanted column its place in a batch.
    places: Vec<usize>,
    next: u64,
    rows: u64,
}

impl Reader for ParquetReader {
    fn next(&mut self) -> Result<Option<Block>, Error> {
        let damaged = |message| Error::Damaged { rows: self.next, message };
        let next = guarded(|| self.reader.next().transpose().map_err(|error| error.to_string())).map_err(damaged)?;
        let batch = match next {
            Some(batch) if batch.num_rows() > 0 => batch,
            // it ends where a column ends
            _ if self.next == self.rows => return Ok(None),
            _ => return Err(damaged(format!("it ends, where there are {} by its footer", self.rows))),
        };
        let block = match self.order.width {
            Width::Single => self.block::<f32>(&batch),
            Width::Double => self.block::<f64>(&batch),
        }?;
        self.next += batch.num_rows() as u64;
        Ok(block)
    }

    fn expected(&self) -> Option<u64> {
        Some(self.rows)
    }
}

impl ParquetReader {
    fn block<T: Float>(&self, batch: &RecordBatch) -> Result<Option<Block>, Error> {
        let (rows, width) = (batch.num_rows(), self.order.wanted.len());
        let mut values: Vec<T> = Vec::with_capacity(rows * width);
        for (place, (wanted, at)) in self.order.wanted.iter().zip(&self.places).enumerate() {
            let Some(column) = batch.columns().get(*at) else {
                return Err(Error::Damaged { rows: self.next, message: "a column is not there".to_owned() });
            };
            let before = values.len();
            match &wanted.take {
                Take::Number => array::numbers(column, &mut values),
                Take::Cells(convert) => array::cells(column, convert, &mut values),
            }
            .map_err(|(row, message)| self.order.fault(self.next + row as u64, None, place, message))?;
            debug_assert_eq!(values.len() - before, rows);
        }
        Ok(block(self.next, values, width, true))
    }
}
