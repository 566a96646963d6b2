//! Tables in files, as streams of blocks of rows: [`Table`] reads npy, CSV and Parquet, [`Writer`] writes them, in memory that
//! does not grow with the file. CSV and Arrow IPC streams are read from bytes in memory as well, and a [`Frame`] becomes such.
//! It knows no model: who reads says which columns are wanted, in which order, and what a cell that is no number becomes.
//!
//! | | npy | CSV | Parquet, Arrow |
//! |---|---|---|---|
//! | columns by | place | name (a header is needed) | name |
//! | numbers | `f4` `f8` `i1`–`i8` `u1`–`u8` `b1`, either byte order; versions 1 to 3; rows or columns first | as text, also `inf`, `true`, `False` | float, double, integers, boolean; also as a dictionary |
//! | texts | – | any, quoted where it must be; UTF-8 | utf8, also large, as views, as a dictionary |
//! | missing | NaN | empty, and of [`is_missing`] | null, NaN |
//!
//! Anything else is refused by name. A file that does not hold what its header says is refused, and where.

mod array;
mod arrow_stream;
mod block;
mod column;
mod csv_file;
mod error;
mod format;
mod frame;
mod matching;
mod npy_file;
mod parquet_file;
mod read;
mod write;

pub use block::{Block, Numbers};
pub use column::{Cell, Column, Convert, Kind, Take, Wanted, Width, is_missing, number};
pub use error::Error;
pub use format::Format;
pub use frame::{Frame, Values};
pub use matching::{Mismatch, by_name};
pub use read::{Blocks, Table};
pub use write::{Answers, Choices, Columns, Writer};
