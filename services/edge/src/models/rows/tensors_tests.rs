use arborgate_contracts::registry::{Feature, FeatureType, Task, Unseen};
use proptest::prelude::*;
use serde_json::json;

use super::super::tests::predict;
use super::*;
use crate::models::tensors::{Document, Framing};

fn signature() -> Signature {
    let number = |name, missing| Feature::number(name, FeatureType::Number, missing);
    Signature::new(&[number("a", false), number("b", true)], Task::Classification)
}

fn mixed() -> Signature {
    let categories = vec![json!("rome"), json!("oslo")];
    let city = Feature { categories, ..Feature::number("city", FeatureType::Category, true) };
    assert_eq!(city.unseen, Unseen::Refused);
    Signature::new(&[Feature::number("age", FeatureType::Double, true), city], Task::Regression)
}

fn read(signature: &Signature, body: &[u8], json: Option<usize>) -> Result<Rows, Vec<(String, String)>> {
    let framing = json.map_or(Framing::Json, Framing::Binary);
    let document = Document::new(body, framing).unwrap();
    let read = document.read().unwrap();
    let mut faults = Faults::default();
    let content_type = read.parameters.content_type.as_deref();
    let rows = from_tensors(&read.inputs, content_type, signature, predict(3), &mut faults);
    match faults.or(()) {
        Ok(()) => Ok(rows.unwrap()),
        Err(problem) => Err(problem.faults.into_iter().map(|fault| (fault.pointer, fault.detail)).collect()),
    }
}

fn json_rows(signature: &Signature, body: &serde_json::Value) -> Result<Rows, Vec<(String, String)>> {
    read(signature, body.to_string().as_bytes(), None)
}

fn matrix(datatype: &str, shape: serde_json::Value, data: serde_json::Value) -> serde_json::Value {
    json!({"inputs": [{"name": "input__0", "datatype": datatype, "shape": shape, "data": data}]})
}

#[test]
fn a_matrix_is_read_flat_and_nested() {
    for data in [json!([1, 2, 3, null]), json!([[1, 2], [3, null]])] {
        let rows = json_rows(&signature(), &matrix("FP32", json!([2, 2]), data)).unwrap();
        assert_eq!((rows.count, &rows.values[..3], rows.values[3].is_nan()), (2, &[1.0, 2.0, 3.0][..], true));
    }
}

#[test]
fn a_feature_may_come_by_itself() {
    let input = |name: &str, datatype: &str, shape: serde_json::Value, data: serde_json::Value| json!({"name": name, "datatype": datatype, "shape": shape, "data": data});
    let body = json!({"parameters": {"content_type": "pd"}, "inputs": [
        input("city", "BYTES", json!([2, 1]), json!(["oslo", null])),
        input("age", "FP64", json!([2]), json!([1.5, null])),
    ]});
    let rows = json_rows(&mixed(), &body).unwrap();
    assert_eq!((rows.count, rows.values[0], rows.values[1]), (2, 1.5, 1.0));
    assert!(rows.values[2].is_nan() && rows.values[3].is_nan());
    let lone = json!({"inputs": [input("age", "BOOL", json!([1]), json!([true]))]});
    let told = json_rows(&mixed(), &lone).unwrap_err();
    assert_eq!(
        told,
        [("/inputs".into(), "has no input 'city', which must be one of the categories \"rome\", \"oslo\"".into())]
    );
    let bools = json!({"inputs": [input("age", "BOOL", json!([2]), json!([true, false])), input("city", "BYTES", json!([2]), json!(["rome", "rome"]))]});
    assert_eq!(json_rows(&mixed(), &bools).unwrap().values, [1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn what_is_wrong_is_told_in_its_place() {
    let told = |body: &serde_json::Value| -> Vec<String> {
        json_rows(&signature(), body).unwrap_err().into_iter().map(|(pointer, _)| pointer).collect()
    };
    for (shape, data, pointer) in [
        (json!([2]), json!([1, 2]), "/inputs/0/shape"),
        (json!([1, 3]), json!([1, 2, 3]), "/inputs/0/shape"),
        (json!([1, 2, 1]), json!([1, 2]), "/inputs/0/shape"),
        (json!([0, 2]), json!([]), "/inputs/0/shape"),
        (json!([4, 2]), json!([1, 2, 3, 4, 5, 6, 7, 8]), "/inputs/0/shape"),
        (json!([9223372036854775807_i64, 1]), json!([1]), "/inputs/0/shape"),
        (json!([2, 2]), json!([1, 2, 3]), "/inputs/0"),
        (json!([2, 2]), json!([1, 2, 3, 4, 5]), "/inputs/0"),
        (json!([3, 2]), json!([]), "/inputs/0"),
        (json!([1, 2]), json!([null, 2]), "/inputs/0/data/0"),
        (json!([2, 2]), json!([1, 2, "x", 2]), "/inputs/0/data/2"),
        (json!([2, 2]), json!([[1, 2], [null, 2]]), "/inputs/0/data/1/0"),
        (json!([2, 2]), json!([[1, 2], [3]]), "/inputs/0/data"),
        (json!([1, 2]), json!([1e39, 2]), "/inputs/0/data/0"),
    ] {
        assert_eq!(told(&matrix("FP32", shape.clone(), data.clone())), [pointer], "{shape} {data}");
    }
    let other = json!({"inputs": [{"name": "foo", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]});
    assert_eq!(told(&other), ["/inputs/0/name"]);
    let np = json!({"parameters": {"content_type": "np"}, "inputs": [{"name": "foo", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]});
    assert_eq!(json_rows(&signature(), &np).unwrap().values, [1.0, 2.0]);
    let one =
        |name: &str, rows: usize| json!({"name": name, "datatype": "INT32", "shape": [rows], "data": vec![1; rows]});
    assert_eq!(told(&json!({"inputs": [one("a", 1), one("c", 1)]})), ["/inputs/1/name", "/inputs"]);
    assert_eq!(told(&json!({"inputs": [one("a", 1), one("a", 1), one("b", 1)]})), ["/inputs/1/name"]);
    assert_eq!(told(&json!({"inputs": [one("a", 1), one("b", 2)]})), ["/inputs/1/shape"]);
    let texts = matrix("BYTES", json!([1, 2]), json!(["1", "2"]));
    assert_eq!(told(&texts), ["/inputs/0/data/0", "/inputs/0/data/1"]);
}

fn binary(datatype: &str, rows: usize, size: usize, buffer: &[u8]) -> (Vec<u8>, usize) {
    let json = json!({"inputs": [{"name": "X", "datatype": datatype, "shape": [rows, 2],
        "parameters": {"binary_data_size": size}}]});
    let json = json.to_string().into_bytes();
    let len = json.len();
    ([json, buffer.to_vec()].concat(), len)
}

#[test]
fn a_buffer_has_as_many_bytes_as_its_shape_takes() {
    for (rows, bytes) in [(1, 7), (1, 9), (2, 8), (3, 8)] {
        let (body, len) = binary("FP32", rows, bytes, &vec![0; bytes]);
        let told = read(&signature(), &body, Some(len)).unwrap_err();
        assert!(told[0].0 == "/inputs/0" && told[0].1.contains("takes"), "{told:?}");
    }
}

#[test]
fn a_value_out_of_bounds_in_a_buffer_is_told_with_its_row() {
    let bytes = |values: [f64; 4]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let (body, len) = binary("FP64", 2, 32, &bytes([1.0, f64::NAN, f64::NAN, 1e39]));
    let told = read(&signature(), &body, Some(len)).unwrap_err();
    assert_eq!(told.len(), 2);
    assert!(told[0].1.starts_with("row 1, feature 'a': must be a number; this model was not"), "{told:?}");
    assert!(told[1].1.starts_with("row 1, feature 'b': must be a number within"), "{told:?}");
    let (body, len) = binary("FP64", 2, 32, &bytes([1.0, f64::NAN, -0.0, f64::INFINITY]));
    assert_eq!(read(&signature(), &body, Some(len)).unwrap_err().len(), 1);
}

proptest! {
    /// The fast way gives what the slow one gives.
    #[test]
    fn a_matrix_of_floats_is_read_alike_in_json_and_binary(
        values in proptest::collection::vec(prop_oneof![8 => -1e6..1e6_f32, 1 => Just(f32::NAN), 1 => Just(f32::INFINITY)], 6)
    ) {
        let singles: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let doubles: Vec<u8> = values.iter().flat_map(|value| f64::from(*value).to_le_bytes()).collect();
        let (single, len) = binary("FP32", 3, 24, &singles);
        let single = read(&signature(), &single, Some(len));
        let (double, len) = binary("FP64", 3, 48, &doubles);
        let double = read(&signature(), &double, Some(len));
        let text = format!(
            r#"{{"inputs":[{{"name":"X","datatype":"FP32","shape":[3,2],"data":[{}]}}]}}"#,
            values.iter().map(|v| if v.is_infinite() { "1e300".to_owned() } else { v.to_string() }).collect::<Vec<_>>().join(",")
        );
        let json = read(&signature(), text.as_bytes(), None);
        let bits = |rows: &Rows| rows.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        match (&single, &double, &json) {
            (Ok(single), Ok(double), Ok(json)) => {
                prop_assert_eq!(bits(single).len(), 6);
                prop_assert_eq!(bits(double), bits(single));
                for (one, other) in json.values.iter().zip(&single.values) {
                    prop_assert!(one == other || (one.is_nan() && other.is_nan()));
                }
            }
            (Err(single), Err(double), Err(json)) => {
                prop_assert_eq!(single, double);
                prop_assert_eq!(single.len(), json.len());
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn halves_are_read(values in proptest::collection::vec(-1000..1000_i16, 4)) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| half::f16::from_f32((*value).into()).to_le_bytes()).collect();
        let (body, len) = binary("FP16", 2, 8, &bytes);
        let rows = read(&signature(), &body, Some(len)).unwrap();
        prop_assert_eq!(rows.values, values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>());
    }
}
