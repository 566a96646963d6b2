//! Apache Parquet, column by column through Arrow's buffers.

mod read;
mod write;

pub(crate) use read::ParquetTable;
pub(crate) use write::ParquetWriter;
