//! Text with commas: what is read, what is written, and where a fault stands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::num::NonZeroUsize;

use arborgate_tables::{Answers, Cell, Choices, Columns, Format, Table, Take, Wanted, Width, Writer};
use common::{bits, blocks, canonical, file, refused};
use ndarray::Array2;
use proptest::prelude::*;

fn numbers(text: &str) -> Vec<Vec<f64>> {
    let rows = bits(&blocks(Format::Csv, text.as_bytes(), 2).unwrap());
    rows.into_iter().map(|row| row.into_iter().map(f64::from_bits).collect()).collect()
}

fn write(columns: Columns, rows: &[Answers]) -> Vec<u8> {
    let (_folder, path) = file(Format::Csv, b"");
    let mut writer = Writer::new(Format::Csv, std::fs::File::create(&path).unwrap(), columns).unwrap();
    rows.iter().for_each(|rows| writer.write(rows).unwrap());
    writer.finish().unwrap();
    std::fs::read(&path).unwrap()
}

#[test]
fn numbers_are_read_as_they_are_written_elsewhere() {
    let text = "\u{feff}a,\"b, c\"\r\n1,2.5\r\n 1e3 ,\"-0.5\"\ntrue,False\ninf,-Infinity\n+5,.5\n";
    let expected = [[1.0, 2.5], [1e3, -0.5], [1.0, 0.0], [f64::INFINITY, f64::NEG_INFINITY], [5.0, 0.5]];
    assert_eq!(numbers(text), expected.map(|row| row.to_vec()));
    let (_folder, path) = file(Format::Csv, text.as_bytes());
    let table = Table::open(&path, Format::Csv).unwrap();
    assert_eq!(table.columns()[0].name.as_deref(), Some("a"));
    assert_eq!(table.columns()[1].name.as_deref(), Some("b, c"));
    let missing = numbers("a,b\n,NaN\nNA,null\n");
    assert!(missing.concat().iter().all(|x| x.is_nan()) && missing.len() == 2);
    assert!(numbers("a,b\n").is_empty());
    // places may be names
    assert_eq!(numbers("0,1\n5,6"), [[5.0, 6.0]]);
}

#[test]
fn texts_are_taken_as_they_stand() {
    let (_folder, path) = file(Format::Csv, "x,city\n1,\"new \"\"york\"\"\nx\"\n2, NA\n3,\n".as_bytes());
    let table = Table::open(&path, Format::Csv).unwrap();
    let convert = |cell: Cell<'_>| match cell {
        Cell::Written(text) => Ok(text.len() as f64),
        other => Err(format!("{other:?}")),
    };
    let wanted = vec![Wanted { column: 1, take: Take::Cells(Box::new(convert)) }];
    let read = table.blocks(wanted, Width::Double, NonZeroUsize::new(9).unwrap()).unwrap();
    let read: Vec<_> = read.map(Result::unwrap).collect();
    assert_eq!(bits(&read).concat().into_iter().map(f64::from_bits).collect::<Vec<_>>(), [12.0, 3.0, 0.0]);
}

#[test]
fn faults_say_row_line_and_column() {
    refused(Format::Csv, b"", "it is empty, where a CSV file is needed");
    refused(Format::Csv, b"\n\n", "it has no header");
    refused(Format::Csv, b"a,b\n1,2\n3\n", "row 2 (line 3) has 1 cells where the header has 2");
    refused(Format::Csv, b"a,b\r\n1,2\r\n3,4,5\r\n", "row 2 (line 3) has 3 cells where the header has 2");
    refused(Format::Csv, b"a,b\r\n1,2\r\n3,x\r\n", "row 2 (line 3), column \"b\"");
    refused(Format::Csv, b"a,b\n1,2\n3,\"x\ny\"\n", "row 2 (line 3), column \"b\" must be a number, not \"x\\ny\"");
    refused(Format::Csv, b"a,b\n1,2\n3,\xff\n", "row 2 (line 3), column \"b\" is no UTF-8 text");
    refused(Format::Csv, b"a,\xff\n1,2\n", "its header is no UTF-8 text");
    refused(Format::Csv, b"PK\x03\x04\0\0\0\0", "zero bytes");
    refused(Format::Csv, b"5.1,3.5\n1,2\n", "its first line has the number \"5.1\" where a column's name is needed");
    refused(Format::Csv, format!("a\n{}\n", "x".repeat(500)).as_bytes(), &format!("not \"{}\"…", "x".repeat(80)));
}

#[test]
fn rows_before_a_fault_are_given() {
    let (_folder, path) = file(Format::Csv, b"a\n1\n2\nx\n4\n");
    let table = Table::open(&path, Format::Csv).unwrap();
    let wanted = vec![Wanted { column: 0, take: Take::Number }];
    let mut read = table.blocks(wanted, Width::Double, NonZeroUsize::new(9).unwrap()).unwrap();
    assert_eq!(read.next().unwrap().unwrap().rows(), 2);
    assert!(read.next().unwrap().unwrap_err().to_string().starts_with("row 3 (line 4)"));
    assert!(read.next().is_none());
}

#[test]
fn a_quote_that_is_not_closed_does_not_take_all_memory() {
    let mut text = b"a\n1\n\"".to_vec();
    text.resize(80 << 20, b'x');
    refused(Format::Csv, &text, "after row 1: a row has more than");
}

#[test]
fn labels_are_written_as_they_are() {
    let columns = Columns::OneOf(vec![
        ("a".to_owned(), Choices::Text(vec!["x, \"y\"".to_owned(), "é".to_owned()])),
        ("b".to_owned(), Choices::Whole(vec![-1, 1])),
        ("c".to_owned(), Choices::Bool(vec![false, true])),
        ("d".to_owned(), Choices::Numbers(vec![0.5, 1e300])),
    ]);
    let places = Array2::from_shape_vec((2, 4), vec![0, 0, 0, 0, 1, 1, 1, 1]).unwrap();
    let written = write(columns, &[Answers::Places(places)]);
    assert_eq!(String::from_utf8(written).unwrap(), "a,b,c,d\n\"x, \"\"y\"\"\",-1,false,0.5\né,1,true,1e300\n");
}

proptest! {
    #[test]
    fn what_is_written_is_read(rows in 0_usize..30, columns in 1_usize..5, batch in 1_usize..40,
                               seed in prop::collection::vec(any::<f64>(), 150)) {
        let numbers = Array2::from_shape_vec((rows, columns), seed[..rows * columns].to_vec()).unwrap();
        let names = (0..columns).map(|n| format!("col \"{n}\",")).collect();
        let answers: Vec<Answers> =
            numbers.axis_chunks_iter(ndarray::Axis(0), 7).map(|rows| Answers::Numbers(rows.to_owned())).collect();
        let written = write(Columns::Numbers(names), &answers);
        let expected: Vec<Vec<u64>> = numbers.outer_iter().map(|row| row.iter().map(|x| canonical(*x)).collect()).collect();
        prop_assert_eq!(bits(&blocks(Format::Csv, &written, batch).unwrap()), expected);
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(prop::sample::select(b"a,\"\n\r1.e-x\xff\0 ".to_vec()), 0..200)) {
        let _ = blocks(Format::Csv, &bytes, 3);
    }
}
