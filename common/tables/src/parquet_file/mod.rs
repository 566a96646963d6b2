//! Apache Parquet, column by column through Arrow's buffers.

mod array;
mod read;
mod write;

pub(crate) use read::ParquetTable;
pub(crate) use write::ParquetWriter;
