//! Parquet: every type that is taken, nulls, dictionaries, row groups, and damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use arborgate_tables::{Answers, Cell, Choices, Columns, Error, Format, Kind, Table, Take, Wanted, Width, Writer};
use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::*;
use arrow_schema::{DataType, Field, Schema};
use common::{bits, blocks, canonical, file, refused, single};
use ndarray::Array2;
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::metadata::{ParquetMetaDataReader, ParquetMetaDataWriter};
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

fn parquet(columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) -> Vec<u8> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn plain(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    parquet(columns, WriterProperties::default())
}

fn small_groups(compression: Compression) -> WriterProperties {
    WriterProperties::builder().set_max_row_group_row_count(Some(7)).set_compression(compression).build()
}

/// Two values and a null between them.
#[test]
fn every_type_is_its_numbers() {
    let columns: Vec<(&str, ArrayRef, [f64; 2])> = vec![
        (
            "f4",
            Arc::new(Float32Array::from(vec![Some(0.1), None, Some(-1e-40)])),
            [0.1_f32.into(), (-1e-40_f32).into()],
        ),
        ("f8", Arc::new(Float64Array::from(vec![Some(0.1), None, Some(5e-324)])), [0.1, 5e-324]),
        ("i1", Arc::new(Int8Array::from(vec![Some(-128), None, Some(127)])), [-128.0, 127.0]),
        ("i2", Arc::new(Int16Array::from(vec![Some(-32768), None, Some(7)])), [-32768.0, 7.0]),
        ("i4", Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(7)])), [i32::MIN.into(), 7.0]),
        ("i8", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(7)])), [i64::MIN as f64, 7.0]),
        ("u1", Arc::new(UInt8Array::from(vec![Some(255), None, Some(0)])), [255.0, 0.0]),
        ("u2", Arc::new(UInt16Array::from(vec![Some(65535), None, Some(0)])), [65535.0, 0.0]),
        ("u4", Arc::new(UInt32Array::from(vec![Some(u32::MAX), None, Some(0)])), [u32::MAX.into(), 0.0]),
        ("u8", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)])), [u64::MAX as f64, 0.0]),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])), [1.0, 0.0]),
    ];
    let bytes = plain(columns.iter().map(|(name, array, _)| (*name, Arc::clone(array))).collect());
    for batch in [1, 2, 3, 100] {
        let read = bits(&blocks(Format::Parquet, &bytes, batch).unwrap());
        assert_eq!(read.len(), 3);
        for (at, (name, _, [first, last])) in columns.iter().enumerate() {
            let expected = [first.to_bits(), f64::NAN.to_bits(), last.to_bits()];
            assert_eq!([read[0][at], read[1][at], read[2][at]], expected, "{name}");
        }
    }
}

#[test]
fn floats_stay_as_wide_as_they_are() {
    let bytes =
        plain(vec![("a", Arc::new(Float32Array::from(vec![0.1, 0.2]))), ("b", Arc::new(Int16Array::from(vec![1, 2])))]);
    let read = blocks(Format::Parquet, &bytes, 9).unwrap();
    assert_eq!(single(&read[0]).row(1).to_vec(), [0.2, 2.0]);
    // what lies together is a column
    assert_eq!(single(&read[0]).strides(), [1, 2]);
}

#[test]
fn texts_are_taken_whatever_holds_them() {
    let texts = [Some("rome"), None, Some("paris"), Some("rome")];
    let keyed: DictionaryArray<Int8Type> = texts.into_iter().collect();
    let numbers: DictionaryArray<Int32Type> =
        DictionaryArray::new(vec![Some(1), None, Some(0), Some(1)].into(), Arc::new(Int64Array::from(vec![5, 4])));
    let bytes = plain(vec![
        ("utf8", Arc::new(StringArray::from(texts.to_vec()))),
        ("large", Arc::new(LargeStringArray::from(texts.to_vec()))),
        ("view", Arc::new(StringViewArray::from(texts.to_vec()))),
        ("dictionary", Arc::new(keyed)),
        ("numbers", Arc::new(numbers)),
    ]);
    let (_folder, path) = file(Format::Parquet, &bytes);
    for batch in [1, 3, 10] {
        let table = Table::open(&path, Format::Parquet).unwrap();
        assert!(table.columns()[..4].iter().all(|column| column.kind == Kind::Text), "{:?}", table.columns());
        let convert = |cell: Cell<'_>| match cell {
            Cell::Text(text) => Ok(text.len() as f64),
            Cell::Signed(whole) => Ok(whole as f64),
            Cell::Missing => Ok(-1.0),
            other => Err(format!("{other:?}")),
        };
        let wanted = (0..5).rev().map(|column| Wanted { column, take: Take::Cells(Box::new(convert)) }).collect();
        let read = table.blocks(wanted, Width::Double, NonZeroUsize::new(batch).unwrap()).unwrap();
        let read = bits(&read.collect::<Result<Vec<_>, _>>().unwrap());
        for (row, expected) in read.iter().zip([4.0, -1.0, 5.0, 4.0_f64]) {
            assert_eq!(row, &vec![expected.to_bits(); 5]);
        }
    }
    let read = |column, take| {
        let table = Table::open(&path, Format::Parquet).unwrap();
        table.blocks(vec![Wanted { column, take }], Width::Double, NonZeroUsize::new(2).unwrap())
    };
    let told = read(0, Take::Number).unwrap_err().to_string();
    assert_eq!(told, "column \"utf8\" holds texts where numbers are needed");
    let refuse = |cell: Cell<'_>| if cell == Cell::Text("paris") { Err("must be rome".to_owned()) } else { Ok(0.0) };
    for column in 0..4 {
        let mut read = read(column, Take::Cells(Box::new(refuse))).unwrap();
        read.next().unwrap().unwrap();
        let told = read.next().unwrap().unwrap_err().to_string();
        assert!(told.starts_with("row 3, column \"") && told.ends_with("\" must be rome"), "{told}");
    }
}

#[test]
fn types_that_are_no_numbers_are_named() {
    let date: ArrayRef = Arc::new(Date32Array::from(vec![1]));
    let time: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1]));
    let lasting: ArrayRef = Arc::new(DurationSecondArray::from(vec![1]));
    let decimal: ArrayRef = Arc::new(Decimal128Array::from(vec![1]).with_precision_and_scale(9, 2).unwrap());
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&b"x"[..]]));
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]));
    for (array, told) in [
        (date, "Date32"),
        (time, "Timestamp(ns)"),
        (lasting, "Duration(s)"),
        (decimal, "Decimal128(9, 2)"),
        (bytes, "Binary"),
        (list, "List("),
    ] {
        let bytes = plain(vec![("x", array), ("n", Arc::new(Int8Array::from(vec![3])))]);
        refused(Format::Parquet, &bytes, &format!("column \"x\" is of type {told}"));
        // nobody wants it
        let (_folder, path) = file(Format::Parquet, &bytes);
        let table = Table::open(&path, Format::Parquet).unwrap();
        let wanted = vec![Wanted { column: 1, take: Take::Number }];
        let read: Vec<_> =
            table.blocks(wanted, Width::Double, NonZeroUsize::MIN).unwrap().map(Result::unwrap).collect();
        assert_eq!(bits(&read), [[3.0_f64.to_bits()]]);
    }
}

fn table_of(rows: usize, columns: usize, seed: &[Option<f64>]) -> Vec<(String, ArrayRef)> {
    (0..columns)
        .map(|column| {
            let values: Vec<Option<f64>> = (0..rows).map(|row| seed[row * columns + column]).collect();
            (format!("c{column}"), Arc::new(Float64Array::from(values)) as ArrayRef)
        })
        .collect()
}

proptest! {
    #[test]
    fn row_groups_and_codecs_do_not_matter(
        rows in 0_usize..40, columns in 1_usize..5, batch in 1_usize..50, codec in 0_usize..5,
        seed in prop::collection::vec(prop::option::weighted(0.9, any::<f64>()), 200),
    ) {
        let codec = [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(GzipLevel::default()),
            Compression::ZSTD(ZstdLevel::default()),
            Compression::LZ4_RAW,
        ][codec];
        let table = table_of(rows, columns, &seed);
        let bytes = parquet(table.iter().map(|(name, array)| (name.as_str(), Arc::clone(array))).collect(), small_groups(codec));
        let expected: Vec<Vec<u64>> = (0..rows)
            .map(|row| (0..columns).map(|column| canonical(seed[row * columns + column].unwrap_or(f64::NAN))).collect())
            .collect();
        prop_assert_eq!(bits(&blocks(Format::Parquet, &bytes, batch).unwrap()), expected);
    }

    #[test]
    fn what_is_written_is_read(rows in 0_usize..30, columns in 1_usize..5, seed in prop::collection::vec(any::<f64>(), 150)) {
        let numbers = Array2::from_shape_vec((rows, columns), seed[..rows * columns].to_vec()).unwrap();
        let names = (0..columns).map(|n| format!("col \"{n}\",")).collect();
        let answers: Vec<Answers> =
            numbers.axis_chunks_iter(ndarray::Axis(0), 7).map(|rows| Answers::Numbers(rows.to_owned())).collect();
        let (_folder, path) = write(Columns::Numbers(names), &answers);
        let expected: Vec<Vec<u64>> = numbers.outer_iter().map(|row| row.iter().map(|x| canonical(*x)).collect()).collect();
        prop_assert_eq!(bits(&blocks(Format::Parquet, &std::fs::read(&path).unwrap(), 11).unwrap()), expected);
    }
}

fn write(columns: Columns, rows: &[Answers]) -> (tempfile::TempDir, std::path::PathBuf) {
    let (folder, path) = file(Format::Parquet, b"");
    let mut writer = Writer::new(Format::Parquet, std::fs::File::create(&path).unwrap(), columns).unwrap();
    rows.iter().for_each(|rows| writer.write(rows).unwrap());
    writer.finish().unwrap();
    (folder, path)
}

#[test]
fn labels_are_written_in_their_types() {
    let columns = Columns::OneOf(vec![
        ("a".to_owned(), Choices::Text(vec!["x".to_owned(), "é".to_owned()])),
        ("b".to_owned(), Choices::Whole(vec![-1, 1])),
        ("c".to_owned(), Choices::Bool(vec![false, true])),
        ("d".to_owned(), Choices::Numbers(vec![0.5, 1e300])),
    ]);
    let places = Array2::from_shape_vec((2, 4), vec![0, 0, 0, 0, 1, 1, 1, 1]).unwrap();
    let (_folder, path) = write(columns, &[Answers::Places(places)]);
    let file = std::fs::File::open(&path).unwrap();
    let mut read = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 10).unwrap();
    let batch = read.next().unwrap().unwrap();
    let expected: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["x", "é"])),
        Arc::new(Int64Array::from(vec![-1, 1])),
        Arc::new(BooleanArray::from(vec![false, true])),
        Arc::new(Float64Array::from(vec![0.5, 1e300])),
    ];
    assert_eq!(batch.columns(), expected);
    assert_eq!(batch.schema().field(0).data_type(), &DataType::Utf8);
}

/// A footer that says so is enough: nothing here writes Brotli.
#[test]
fn a_codec_that_is_not_read_is_named() {
    let seed: Vec<Option<f64>> = (0..20).map(|n| Some(f64::from(n))).collect();
    let good = parquet(
        table_of(10, 2, &seed).iter().map(|(name, array)| (name.as_str(), Arc::clone(array))).collect(),
        small_groups(Compression::SNAPPY),
    );
    let (_folder, path) = file(Format::Parquet, &good);
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&std::fs::File::open(&path).unwrap()).unwrap();
    let mut builder = metadata.into_builder();
    let groups = builder.take_row_groups();
    for group in groups {
        let mut columns = group.columns().to_vec();
        let second = columns.pop().unwrap().into_builder();
        columns.push(second.set_compression(Compression::BROTLI(BrotliLevel::default())).build().unwrap());
        builder = builder.add_row_group(group.into_builder().set_column_metadata(columns).build().unwrap());
    }
    let mut bytes = good;
    ParquetMetaDataWriter::new(&mut bytes, &builder.build()).finish().unwrap();
    refused(
        Format::Parquet,
        &bytes,
        "column \"c1\" is packed with Brotli, which is not read: write it with Zstandard, Snappy, gzip or LZ4",
    );
}

fn read_all(path: &Path) -> Result<u64, Error> {
    let table = Table::open(path, Format::Parquet)?;
    let wanted = common::all(&table);
    let mut rows = 0;
    for block in table.blocks(wanted, Width::Double, NonZeroUsize::new(5).unwrap())? {
        rows += block?.rows() as u64;
    }
    Ok(rows)
}

/// Errors, never a panic that comes through, and never fewer rows than the footer says without a word.
#[test]
fn damage_is_told() {
    let seed: Vec<Option<f64>> = (0..120).map(|n| (n % 7 != 0).then_some(f64::from(n))).collect();
    let table = table_of(40, 3, &seed);
    let columns = || table.iter().map(|(name, array)| (name.as_str(), Arc::clone(array))).collect();
    refused(Format::Parquet, b"", "it is empty, where a Parquet file is needed");
    refused(Format::Parquet, b"a,b\n1,2\n3,4\n5,6\n", "it is no Parquet file, or a damaged one");
    for codec in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())] {
        let good = parquet(columns(), small_groups(codec));
        let (_folder, path) = file(Format::Parquet, &good);
        assert_eq!(read_all(&path).unwrap(), 40);
        for cut in [1, 8, 100, good.len() / 2, good.len() - 1] {
            std::fs::write(&path, &good[..good.len() - cut]).unwrap();
            let told = read_all(&path).unwrap_err().to_string();
            assert!(told.contains("damaged"), "{told}");
        }
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            std::fs::write(&path, &bad).unwrap();
            if let Ok(rows) = read_all(&path) {
                let footer = Table::open(&path, Format::Parquet).unwrap().rows().unwrap();
                assert_eq!(rows, footer, "byte {at}");
            }
        }
    }
}
