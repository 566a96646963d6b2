//! Arrays of numpy: every type, order and version, and what is no array.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::num::NonZeroUsize;

use arborgate_tables::{Answers, Cell, Choices, Columns, Format, Kind, Table, Take, Wanted, Width, Writer};
use common::{all, bits, blocks, canonical, file, refused, single};
use ndarray::Array2;
use proptest::prelude::*;

fn npy(version: u8, descr: &str, fortran: bool, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let truth = if fortran { "True" } else { "False" };
    let text = format!("{{'descr': '{descr}', 'fortran_order': {truth}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    match version {
        1 => bytes.extend(u16::try_from(text.len()).unwrap().to_le_bytes()),
        _ => bytes.extend(u32::try_from(text.len()).unwrap().to_le_bytes()),
    }
    bytes.extend(text.bytes());
    bytes.extend(numbers);
    bytes
}

fn doubles(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

#[test]
fn every_type_is_its_numbers() {
    let of = |descr: &str, numbers: Vec<u8>| {
        let bytes = npy(1, descr, false, "(2, 2)", &numbers);
        bits(&blocks(Format::Npy, &bytes, 8).unwrap()).concat().into_iter().map(f64::from_bits).collect::<Vec<_>>()
    };
    macro_rules! check {
        ($descr:literal, $to_bytes:ident, $values:expr) => {
            let numbers = $values.iter().flat_map(|x| x.$to_bytes()).collect();
            assert_eq!(of($descr, numbers), $values.map(|x| x as f64), $descr);
        };
    }
    check!("<f4", to_le_bytes, [1.5_f32, -0.1, f32::MAX, 1e-40]);
    check!(">f4", to_be_bytes, [1.5_f32, -0.1, f32::MAX, 1e-40]);
    check!("<f8", to_le_bytes, [1.5_f64, -0.1, f64::MAX, 5e-324]);
    check!(">f8", to_be_bytes, [1.5_f64, -0.1, f64::MAX, 5e-324]);
    check!("|i1", to_le_bytes, [1_i8, -1, i8::MIN, i8::MAX]);
    check!("<i2", to_le_bytes, [1_i16, -1, i16::MIN, i16::MAX]);
    check!(">i4", to_be_bytes, [1_i32, -1, i32::MIN, i32::MAX]);
    check!("<i8", to_le_bytes, [1_i64, -1, i64::MIN, i64::MAX]);
    check!("|u1", to_le_bytes, [1_u8, 0, 128, u8::MAX]);
    check!(">u2", to_be_bytes, [1_u16, 0, 256, u16::MAX]);
    check!("<u4", to_le_bytes, [1_u32, 0, 1 << 31, u32::MAX]);
    check!("<u8", to_le_bytes, [1_u64, 0, 1 << 63, u64::MAX]);
    assert_eq!(of("|b1", vec![0, 1, 1, 0]), [0.0, 1.0, 1.0, 0.0]);
}

#[test]
fn floats_stay_as_wide_as_they_are() {
    let numbers: Vec<u8> = [0.1_f32, f32::NAN].iter().flat_map(|x| x.to_le_bytes()).collect();
    let read = blocks(Format::Npy, &npy(1, "<f4", false, "(1, 2)", &numbers), 1).unwrap();
    assert_eq!(single(&read[0])[[0, 0]].to_bits(), 0.1_f32.to_bits());
    assert!(single(&read[0])[[0, 1]].is_nan());
}

proptest! {
    #[test]
    fn an_array_is_read_in_any_order_and_any_blocks(
        rows in 0_usize..40, columns in 1_usize..6, batch in 1_usize..50, version in 1_u8..=3,
        seed in prop::collection::vec(any::<f64>(), 240),
    ) {
        let at = |row: usize, column: usize| seed[row * columns + column];
        let by_rows: Vec<f64> = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))).map(|(r, c)| at(r, c)).collect();
        let by_columns: Vec<f64> = (0..columns).flat_map(|column| (0..rows).map(move |row| (row, column))).map(|(r, c)| at(r, c)).collect();
        let expected: Vec<Vec<u64>> = by_rows.chunks(columns).map(|row| row.iter().map(|x| canonical(*x)).collect()).collect();
        let shape = format!("({rows}, {columns})");
        for (fortran, numbers) in [(false, by_rows), (true, by_columns)] {
            let bytes = npy(version, "<f8", fortran, &shape, &doubles(&numbers));
            prop_assert_eq!(bits(&blocks(Format::Npy, &bytes, batch).unwrap()), expected.clone());
        }
    }

    #[test]
    fn what_is_written_is_read(rows in 0_usize..30, columns in 2_usize..5, seed in prop::collection::vec(any::<f64>(), 150)) {
        let numbers = Array2::from_shape_vec((rows, columns), seed[..rows * columns].to_vec()).unwrap();
        let names = (0..columns).map(|n| n.to_string()).collect();
        let (_folder, path) = file(Format::Npy, b"");
        let mut writer = Writer::new(Format::Npy, std::fs::File::create(&path).unwrap(), Columns::Numbers(names)).unwrap();
        for rows in numbers.axis_chunks_iter(ndarray::Axis(0), 7) {
            writer.write(&Answers::Numbers(rows.to_owned())).unwrap();
        }
        writer.finish().unwrap();
        let read = bits(&blocks(Format::Npy, &std::fs::read(&path).unwrap(), 11).unwrap());
        let expected: Vec<Vec<u64>> = numbers.outer_iter().map(|row| row.iter().map(|x| canonical(*x)).collect()).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn nothing_panics(mut bytes in Just(npy(1, "<f8", false, "(3, 2)", &doubles(&[1.0; 6]))),
                      at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let _ = blocks(Format::Npy, &bytes, 2);
        bytes.truncate(cut.index(bytes.len()));
        let _ = blocks(Format::Npy, &bytes, 2);
    }
}

#[test]
fn columns_are_picked_and_cells_taken_one_by_one() {
    let numbers: Vec<u8> = [1_i32, -2, 3, 4, 5, 6].iter().flat_map(|x| x.to_be_bytes()).collect();
    for (fortran, expected) in [(false, [[3.0, 98.0], [6.0, 105.0]]), (true, [[5.0, 103.0], [6.0, 104.0]])] {
        let (_folder, path) = file(Format::Npy, &npy(1, ">i4", fortran, "(2, 3)", &numbers));
        let table = Table::open(&path, Format::Npy).unwrap();
        assert_eq!((table.rows(), &table.columns()[0].kind), (Some(2), &Kind::Whole));
        let convert = |cell: Cell<'_>| match cell {
            Cell::Signed(value) => Ok(100.0 + value as f64),
            other => Err(format!("must be whole, not {other:?}")),
        };
        let wanted =
            vec![Wanted { column: 2, take: Take::Number }, Wanted { column: 1, take: Take::Cells(Box::new(convert)) }];
        let blocks = table.blocks(wanted, Width::Double, NonZeroUsize::MIN).unwrap();
        let read: Vec<Vec<u64>> = bits(&blocks.map(Result::unwrap).collect::<Vec<_>>());
        assert_eq!(read, expected.map(|row| row.map(f64::to_bits).to_vec()), "fortran: {fortran}");
    }
    let (_folder, path) = file(Format::Npy, &npy(1, "<f8", false, "(2, 1)", &doubles(&[1.0, f64::NAN])));
    let table = Table::open(&path, Format::Npy).unwrap();
    let refuse = |cell: Cell<'_>| if cell == Cell::Missing { Err("is missing".to_owned()) } else { Ok(0.0) };
    let wanted = vec![Wanted { column: 0, take: Take::Cells(Box::new(refuse)) }];
    let error =
        table.blocks(wanted, Width::Double, NonZeroUsize::new(9).unwrap()).unwrap().next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "row 2, column 1 is missing");
}

#[test]
fn labels_have_the_type_that_they_have_in_numpy() {
    let write = |columns: Vec<Choices>, rows: Array2<u32>| {
        let (_folder, path) = file(Format::Npy, b"");
        let columns = columns.into_iter().map(|choices| ("label".to_owned(), choices)).collect();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = Writer::new(Format::Npy, file, Columns::OneOf(columns))?;
        writer.write(&Answers::Places(rows)).unwrap();
        writer.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes[127], b'\n');
        Ok::<_, arborgate_tables::Error>((
            String::from_utf8_lossy(&bytes[10..128]).trim().to_owned(),
            bytes[128..].to_vec(),
        ))
    };
    let one = || Array2::from_shape_vec((2, 1), vec![1, 0]).unwrap();
    let (header, bytes) = write(vec![Choices::Whole(vec![-1, 7])], one()).unwrap();
    assert_eq!(header, "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }");
    assert_eq!(bytes, [7_i64, -1].map(i64::to_le_bytes).concat());
    let (header, bytes) = write(vec![Choices::Text(vec!["é".to_owned(), "no".to_owned()])], one()).unwrap();
    assert!(header.contains("'<U2'"), "{header}");
    assert_eq!(bytes, [u32::from('n'), u32::from('o'), u32::from('é'), 0].map(u32::to_le_bytes).concat());
    let (header, bytes) = write(vec![Choices::Bool(vec![false, true])], one()).unwrap();
    assert!(header.contains("'|b1'") && bytes == [1, 0], "{header}");
    let two = Array2::from_shape_vec((1, 2), vec![0, 0]).unwrap();
    let (header, bytes) = write(vec![Choices::Whole(vec![1]), Choices::Numbers(vec![0.5])], two.clone()).unwrap();
    assert!(header.contains("'<f8', 'fortran_order': False, 'shape': (1, 2)"), "{header}");
    assert_eq!(bytes, doubles(&[1.0, 0.5]));
    let mixed = write(vec![Choices::Whole(vec![1]), Choices::Text(vec![String::new()])], two).unwrap_err();
    assert!(mixed.to_string().contains("of several; write CSV or Parquet"), "{mixed}");
}

#[test]
fn what_is_no_array_is_refused() {
    let good = npy(1, "<f8", false, "(3, 2)", &doubles(&[1.0; 6]));
    refused(Format::Npy, b"", "it is empty, where a npy file is needed");
    refused(Format::Npy, b"a,b\n1,2\n", "no npy file, by its first bytes");
    refused(Format::Npy, &good[..40], "cut off within its header");
    refused(
        Format::Npy,
        &good[..good.len() - 1],
        "it is cut off: its header says 3 rows of 2 numbers of 8 bytes, 48 bytes, where there are 47",
    );
    refused(Format::Npy, &[&good[..], b"x"].concat(), "something follows the array");
    refused(Format::Npy, &npy(4, "<f8", false, "(3, 2)", &[]), "version 4.0");
    refused(Format::Npy, &npy(1, "<f8", false, "(18446744073709551615, 18446744073709551615)", &[]), "it is cut off");
    refused(Format::Npy, &npy(1, "<f8", false, "(0, 18446744073709551615)", &[]), "more than are read");
    refused(Format::Npy, &npy(1, "<f8", false, "(5, 0)", &[]), "it has no columns");
    let mut long = good.clone();
    long[6] = 2;
    long[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    refused(Format::Npy, &long, "its header has 4294967295 bytes");
    let none = blocks(Format::Npy, &npy(1, "<f8", false, "(0, 2)", &[]), 5).unwrap();
    assert!(none.is_empty());
    let (_folder, path) = file(Format::Npy, &good);
    let table = Table::open(&path, Format::Npy).unwrap();
    assert_eq!(all(&table).len(), 2);
    let beyond = vec![Wanted { column: 2, take: Take::Number }];
    assert!(table.blocks(beyond, Width::Double, NonZeroUsize::MIN).unwrap_err().to_string().contains("no column 3"));
    assert!(Table::open(path.parent().unwrap(), Format::Npy).unwrap_err().to_string().contains("no plain file"));
}
