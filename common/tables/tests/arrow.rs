//! Streams of Apache Arrow in memory: what is read, what is written, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arborgate_tables::{Block, Cell, Choices, Error, Frame, Kind, Table, Take, Values, Wanted, Width};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, NullArray, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::Schema;
use bytes::Bytes;
use common::{all, bits, canonical};
use proptest::prelude::*;

const PYARROW: &[u8] = include_bytes!("fixtures/pyarrow.arrows");
const LZ4: &[u8] = include_bytes!("fixtures/lz4.arrows");

fn stream(batches: &[Vec<(&str, ArrayRef)>]) -> Vec<u8> {
    let batches: Vec<RecordBatch> =
        batches.iter().map(|columns| RecordBatch::try_from_iter(columns.clone()).unwrap()).collect();
    let schema: Arc<Schema> = batches[0].schema();
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

fn read(bytes: &[u8], batch: usize) -> Result<Vec<Block>, Error> {
    let table = Table::arrow(Bytes::copy_from_slice(bytes))?;
    let wanted = all(&table);
    table.blocks(wanted, Width::Double, NonZeroUsize::new(batch).unwrap())?.collect()
}

/// One column by cells, each as a text; their numbers in order.
fn cells(bytes: &[u8], column: usize) -> Vec<f64> {
    let table = Table::arrow(Bytes::copy_from_slice(bytes)).unwrap();
    let convert = |cell: Cell<'_>| match cell {
        Cell::Missing => Ok(f64::NAN),
        Cell::Text(text) => Ok(text.len() as f64),
        other => Err(format!("{other:?}")),
    };
    let wanted = vec![Wanted { column, take: Take::Cells(Box::new(convert)) }];
    let blocks: Vec<Block> =
        table.blocks(wanted, Width::Double, NonZeroUsize::MIN).unwrap().collect::<Result<_, _>>().unwrap();
    bits(&blocks).into_iter().map(|row| f64::from_bits(row[0])).collect()
}

#[test]
fn what_pyarrow_writes_is_read() {
    let table = Table::arrow(Bytes::from_static(PYARROW)).unwrap();
    let kinds: Vec<_> = table.columns().iter().map(|column| column.kind.clone()).collect();
    use Kind::{Bool, Double, Single, Small, Text, Whole};
    assert_eq!(kinds, [Double, Single, Whole, Small, Bool, Text, Text]);
    let wanted = all(&table).into_iter().take(5).collect();
    let blocks: Vec<Block> =
        table.blocks(wanted, Width::Double, NonZeroUsize::new(9).unwrap()).unwrap().collect::<Result<_, _>>().unwrap();
    let nan = f64::NAN;
    let expected =
        [[1.5, 0.5, 1.0, 250.0, 1.0], [nan, -0.25, nan, 0.0, nan], [nan, nan, -(2.0_f64.powi(60)), nan, 0.0]];
    assert_eq!(bits(&blocks), expected.map(|row| row.map(canonical).to_vec()));
    assert_eq!(cells(PYARROW, 5).into_iter().map(canonical).collect::<Vec<_>>(), [4.0, nan, 4.0].map(canonical));
    assert_eq!(cells(PYARROW, 6).into_iter().map(canonical).collect::<Vec<_>>(), [3.0, nan, 4.0].map(canonical));
}

#[test]
fn what_is_compressed_within_is_refused_with_what_to_do() {
    let refused = read(LZ4, 9).unwrap_err().to_string();
    assert!(refused.contains("write it without `compression`"), "{refused}");
}

#[test]
fn blocks_have_the_rows_that_are_wanted_whatever_the_batches_have() {
    let numbers = |range: std::ops::Range<i32>| -> ArrayRef { Arc::new(Int32Array::from_iter_values(range)) };
    let bytes = stream(&[vec![("x", numbers(0..7))], vec![("x", numbers(7..7))], vec![("x", numbers(7..20))]]);
    let expected: Vec<Vec<u64>> = (0..20).map(|x| vec![f64::from(x).to_bits()]).collect();
    for batch in [1, 3, 7, 13, 100] {
        let blocks = read(&bytes, batch).unwrap();
        assert!(blocks.iter().all(|block| block.rows() <= batch), "{batch}");
        assert_eq!(bits(&blocks), expected, "{batch}");
    }
}

/// A dictionary of two million values costs what its bytes cost: what no row has is never looked at.
#[test]
fn a_dictionary_of_many_values_is_converted_only_where_a_row_has_them() {
    static CONVERTED: AtomicUsize = AtomicUsize::new(0);
    let values: ArrayRef = Arc::new(BooleanArray::from(vec![true; 2 << 20]));
    let keys = Int32Array::from(vec![Some(5), None, Some(2_000_000), Some(5)]);
    let dictionary: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values).unwrap());
    let bytes = stream(&[vec![("x", dictionary)]]);
    let table = Table::arrow(bytes.into()).unwrap();
    let convert = |cell: Cell<'_>| {
        CONVERTED.fetch_add(1, Ordering::Relaxed);
        Ok(if cell == Cell::Bool(true) { 1.0 } else { f64::NAN })
    };
    let wanted = vec![Wanted { column: 0, take: Take::Cells(Box::new(convert)) }];
    let mut blocks = table.blocks(wanted, Width::Double, NonZeroUsize::new(9).unwrap()).unwrap();
    let block = blocks.next().unwrap().unwrap();
    assert_eq!(bits(&[block]), [1.0, f64::NAN, 1.0, 1.0].map(|x| vec![canonical(x)]));
    assert_eq!(CONVERTED.load(Ordering::Relaxed), 3);
}

#[test]
fn columns_of_other_types_are_named() {
    // As many rows as one likes, in no bytes.
    let nothing: ArrayRef = Arc::new(NullArray::new(1 << 40));
    let bytes = stream(&[vec![("none of it", nothing)]]);
    let refused = read(&bytes, 9).unwrap_err().to_string();
    assert!(refused.contains("\"none of it\" is of type Null"), "{refused}");
}

#[test]
fn what_is_no_stream_is_refused() {
    for bytes in
        [&b""[..], b"\0", b"PAR1", b"ARROW1\0\0", b"a,b\n1,2\n", &[0xff; 64], &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]]
    {
        let refused = read(bytes, 9).unwrap_err().to_string();
        assert!(refused.contains("Arrow IPC stream"), "{bytes:?}: {refused}");
    }
}

#[test]
fn a_stream_that_is_cut_off_is_never_taken_for_whole() {
    let column: ArrayRef = Arc::new(Float64Array::from_iter_values((0..6).map(f64::from)));
    let bytes = stream(&[vec![("x", Arc::clone(&column))]]);
    let end = bytes.len() - 8;
    for cut in 0..end {
        assert!(read(&bytes[..cut], 9).is_err(), "cut at {cut}");
    }
    // The mark of its end may be left out, as some writers do.
    assert_eq!(bits(&read(&bytes[..end], 9).unwrap()).len(), 6);
    let after = [&bytes[..], b"more"].concat();
    assert!(read(&after, 9).is_err());
}

#[test]
fn a_frame_is_read_as_it_was_written() {
    let text = |text: &str| text.to_owned();
    let frame = Frame {
        columns: vec![
            (text("x"), Values::Floats(vec![0.1 + 0.2, f64::NAN, -0.0])),
            (text("n"), Values::Whole(vec![0, u32::MAX, 7])),
            (text("class"), Values::OneOf(Choices::Whole(vec![-1, 1]), vec![1, 0, 9])),
            (text("is"), Values::OneOf(Choices::Bool(vec![false, true]), vec![1, 0, 1])),
            (text("half"), Values::OneOf(Choices::Numbers(vec![0.5]), vec![0, 0, 1])),
            (text("label"), Values::OneOf(Choices::Text(vec![text("a,b"), text("c")]), vec![1, 0, 2])),
        ],
    };
    let csv = "x,n,class,is,half,label\n0.30000000000000004,0,1,true,0.5,c\nNaN,4294967295,-1,false,0.5,\"a,b\"\n-0.0,7,,true,,\n";
    assert_eq!(String::from_utf8(frame.csv().unwrap()).unwrap(), csv);
    let arrow = frame.arrow().unwrap();
    let table = Table::arrow(Bytes::from(arrow.clone())).unwrap();
    let wanted = all(&table).into_iter().take(5).collect();
    let blocks: Vec<Block> =
        table.blocks(wanted, Width::Double, NonZeroUsize::new(9).unwrap()).unwrap().collect::<Result<_, _>>().unwrap();
    let nan = f64::NAN;
    let expected =
        [[0.1 + 0.2, 0.0, 1.0, 1.0, 0.5], [nan, f64::from(u32::MAX), -1.0, 0.0, 0.5], [-0.0, 7.0, nan, 1.0, nan]];
    assert_eq!(bits(&blocks), expected.map(|row| row.map(canonical).to_vec()));
    assert_eq!(cells(&arrow, 5).into_iter().map(canonical).collect::<Vec<_>>(), [1.0, 3.0, nan].map(canonical));
}

#[test]
fn a_csv_in_memory_is_read_as_one_in_a_file() {
    let table = Table::csv(Bytes::from_static(b"a,b\r\n1,\r\n2,x\r\n")).unwrap();
    let wanted = all(&table);
    let mut blocks = table.blocks(wanted, Width::Double, NonZeroUsize::MIN).unwrap();
    assert_eq!(bits(&[blocks.next().unwrap().unwrap()]), [[1.0, f64::NAN].map(canonical).to_vec()]);
    let refused = blocks.next().unwrap().unwrap_err().to_string();
    assert_eq!(refused, "row 2 (line 3), column \"b\" must be a number, not \"x\"");
    assert!(Table::csv(Bytes::new()).unwrap_err().to_string().contains("empty"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes, 4);
    }

    #[test]
    fn no_changed_bytes_make_it_panic_or_give_more_rows(changes in proptest::collection::vec((0..PYARROW.len(), any::<u8>()), 1..4)) {
        let mut bytes = PYARROW.to_vec();
        changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        let Ok(table) = Table::arrow(bytes.into()) else { return Ok(()) };
        let wanted = (0..table.columns().len())
            .map(|column| Wanted { column, take: Take::Cells(Box::new(|_| Ok(0.0))) })
            .collect();
        let Ok(blocks) = table.blocks(wanted, Width::Double, NonZeroUsize::new(100).unwrap()) else { return Ok(()) };
        // Each row has a byte at least in most columns.
        for block in blocks.take(100).flatten() {
            prop_assert!(block.rows() <= 100);
        }
    }
}

fn read_file(bytes: &[u8], most: u64) -> Result<Vec<Block>, Error> {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let table = Table::arrow_file(file, most)?;
    let wanted = all(&table);
    table.blocks(wanted, Width::Double, NonZeroUsize::new(1000).unwrap())?.collect()
}

fn large(batches: usize, rows: usize) -> Vec<u8> {
    let column =
        |seed: usize| Arc::new(Float64Array::from_iter_values((0..rows).map(|row| (row * seed) as f64))) as ArrayRef;
    stream(&(1..=batches).map(|seed| vec![("a", column(seed)), ("b", column(seed + 7))]).collect::<Vec<_>>())
}

#[test]
fn a_file_is_read_as_bytes_are() {
    for bytes in [large(1, 300_000), large(5, 100_000), large(200, 7), large(1, 0)] {
        let (memory, file) = (read(&bytes, 1000).unwrap(), read_file(&bytes, 8 << 20).unwrap());
        assert!(bits(&memory) == bits(&file));
    }
}

#[test]
fn a_file_that_is_cut_off_or_has_a_batch_too_large_is_refused() {
    let bytes = large(3, 200_000);
    for cut in [3, 100, bytes.len() / 2, bytes.len() - 100] {
        let refused = read_file(&bytes[..cut], 64 << 20).unwrap_err().to_string();
        assert!(refused.contains("damaged") || refused.contains("no Arrow IPC stream"), "{refused}");
    }
    let refused = read_file(&bytes, 2 << 20).unwrap_err().to_string();
    assert!(refused.contains("a batch has more than 2 MiB; write it in smaller ones"), "{refused}");
}
