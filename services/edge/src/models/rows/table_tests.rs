use arborgate_contracts::registry::{FeatureType, Unseen};
use arborgate_tables::{Choices, Frame, Values};
use proptest::prelude::*;
use serde_json::json;

use super::super::tests::{predict, signature};
use super::super::{Feature, parse_form};
use super::*;

fn number(name: &str, missing: bool) -> Feature {
    Feature::number(name, FeatureType::Number, missing)
}

fn city() -> Feature {
    let categories = vec![json!("rome"), json!("oslo"), json!("NA")];
    Feature { categories, unseen: Unseen::Refused, ..Feature::number("city", FeatureType::Category, true) }
}

fn three() -> Signature {
    signature(&[number("age", false), number("income", true), city()])
}

fn csv(text: &str) -> Result<Rows, Problem> {
    parse_form(&Bytes::copy_from_slice(text.as_bytes()), Form::Csv, &three(), predict(3))
}

fn arrow(columns: &[(&str, Values)]) -> Result<Rows, Problem> {
    let columns = columns.iter().map(|(name, values)| ((*name).to_owned(), values.clone())).collect();
    let bytes = Frame { columns }.arrow().unwrap();
    parse_form(&bytes.into(), Form::Arrow, &three(), predict(3))
}

fn bits(rows: &Rows) -> Vec<u64> {
    rows.values.iter().map(|x| if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() }).collect()
}

fn told(refused: Result<Rows, Problem>) -> Vec<(String, String)> {
    let problem = refused.unwrap_err();
    assert_eq!(problem.code, ErrorCode::Invalid, "{}", problem.detail);
    problem.faults.into_iter().map(|fault| (fault.pointer, fault.detail)).collect()
}

fn expected() -> Vec<u64> {
    [30.5, 1e3, 1.0, 4.0, f64::NAN, 0.0, -0.0, 2.0, 2.0]
        .map(|x| if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() })
        .to_vec()
}

#[test]
fn columns_are_found_by_name_in_any_order() {
    let rows = csv("city,age,income\noslo,30.5,1e3\nrome, 4 ,\nNA,-0,2\n").unwrap();
    assert_eq!((rows.count, rows.many, bits(&rows)), (3, true, expected()));
    let text = |text: &str| text.to_owned();
    let cities = Values::OneOf(Choices::Text(vec![text("oslo"), text("rome"), text("NA")]), vec![0, 1, 2]);
    let incomes = Values::OneOf(Choices::Whole(vec![1000, 2]), vec![0, 9, 1]);
    let rows = arrow(&[("income", incomes), ("age", Values::Floats(vec![30.5, 4.0, -0.0])), ("city", cities)]).unwrap();
    assert_eq!((rows.count, rows.many, bits(&rows)), (3, true, expected()));
}

#[test]
fn columns_that_are_not_those_of_the_model_are_named_all_at_once() {
    let expected = ["/city", "/age", "/colour"];
    let faults = told(csv("age,age,income,colour\n1,2,3,4\n"));
    assert_eq!(faults.iter().map(|(pointer, _)| pointer.as_str()).collect::<Vec<_>>(), expected);
    assert!(faults[2].1.contains("its features are age, income, city"), "{faults:?}");
    let floats = || Values::Floats(vec![1.0]);
    let faults = told(arrow(&[("age", floats()), ("income", floats()), ("colour", floats())]));
    assert_eq!(faults.iter().map(|(pointer, _)| pointer.as_str()).collect::<Vec<_>>(), ["/city", "/colour"]);
}

#[test]
fn a_value_at_fault_is_told_with_row_line_and_column() {
    for (row, detail) in [
        ("x,1,rome", "row 2 (line 3), column \"age\" must be a number, not \"x\""),
        (",1,rome", "row 2 (line 3), column \"age\" must be a number; this model was not trained with missing values"),
        ("inf,1,rome", "row 2 (line 3), column \"age\" must be a number within the range of a 32-bit float"),
        ("1,1e39,rome", "row 2 (line 3), column \"income\" must be a number within the range of a 32-bit float"),
        ("1,2,paris", "row 2 (line 3), column \"city\" must be one of the categories \"rome\", \"oslo\", \"NA\""),
        ("1,2", "row 2 (line 3) has 2 cells where the header has 3"),
        ("1,2,rome,4", "row 2 (line 3) has 4 cells where the header has 3"),
    ] {
        let faults = told(csv(&format!("age,income,city\n1,2,rome\n{row}\n")));
        assert_eq!(faults, [("/rows/1".to_owned(), detail.to_owned())]);
    }
    let text = |texts: &[&str]| Choices::Text(texts.iter().map(|text| (*text).to_owned()).collect());
    let rome = || Values::OneOf(text(&["rome"]), vec![0, 0]);
    let floats = |values: &[f64]| Values::Floats(values.to_vec());
    let faults =
        told(arrow(&[("age", floats(&[f64::NAN, f64::INFINITY])), ("income", floats(&[1e39, 0.0])), ("city", rome())]));
    let pointers: Vec<_> = faults.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(pointers, ["/rows/0/age", "/rows/0/income", "/rows/1/age"]);
    let ages = Values::OneOf(text(&["30"]), vec![0, 0]);
    let faults = told(arrow(&[("age", ages), ("income", floats(&[1.0, 2.0])), ("city", rome())]));
    assert_eq!(faults, [(String::new(), "column \"age\" holds texts where numbers are needed".to_owned())]);
}

#[test]
fn what_is_no_table_and_too_many_rows_are_refused() {
    for body in ["", "\n\n", "1.5,2.5\n3,4\n", "{\"rows\":[[1,2,3]]}", "\u{0}\u{0}"] {
        let code = csv(body).unwrap_err().code;
        assert!(code == ErrorCode::BadRequest || code == ErrorCode::Invalid, "{body:?}");
    }
    assert_eq!(csv("age,income,city\n1,2,\"ro").unwrap_err().code, ErrorCode::Invalid, "a quote that is not closed");
    assert_eq!(told(csv("age,income,city\n")), [(String::new(), "must be at least one row".to_owned())]);
    let many = format!("age,income,city\n{}", "1,2,rome\n".repeat(4));
    assert_eq!(told(csv(&many)), [(String::new(), "must be at most 3 rows".to_owned())]);
    // Eight rows in a byte: refused before they become numbers.
    let truths = Values::OneOf(Choices::Bool(vec![true]), vec![0; 1 << 20]);
    let cities = Values::OneOf(Choices::Bool(vec![true]), vec![9; 1 << 20]);
    let refused = told(arrow(&[("age", truths.clone()), ("income", truths), ("city", cities)]));
    assert_eq!(refused, [(String::new(), "must be at most 3 rows".to_owned())]);
    let whole = parse_form(&Bytes::from_static(b"ARROW1"), Form::Arrow, &three(), predict(3)).unwrap_err();
    assert_eq!(whole.code, ErrorCode::BadRequest, "{}", whole.detail);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_or_give_a_part_of_a_row(body in "(age,income,city\n)?([0-9a-z,.\"\n ]|rome|oslo){0,60}") {
        if let Ok(rows) = csv(&body) {
            prop_assert_eq!(rows.values.len(), rows.count as usize * 3);
        }
    }

    #[test]
    fn numbers_of_a_csv_are_those_that_were_written(values in proptest::collection::vec(-1e30f64..1e30, 1..=3)) {
        let lines: Vec<String> = values.iter().map(|x| format!("{x:?},{x},rome\n")).collect();
        let rows = csv(&format!("age,income,city\n{}", lines.concat())).unwrap();
        let given: Vec<u64> = values.iter().flat_map(|x| [*x, *x, 0.0]).map(f64::to_bits).collect();
        prop_assert_eq!(bits(&rows), given);
    }
}
