//! The bodies of `POST /v2/models/{model}/infer`, JSON and binary: none makes the reader panic or need more memory than its
//! bytes allow, every fault has its place, and rows that are read are read from binary as the same bits.
#![no_main]

#[path = "../../common/forest/tests/common/counting.rs"]
mod counting;

use std::sync::LazyLock;

use arborgate_contracts::registry::{Feature, FeatureType, Task};
use arborgate_edge::front::problem::Problem;
use arborgate_edge::models::ask::{Ask, Purpose};
use arborgate_edge::models::rows::{Reading, Rows, Signature, from_tensors};
use arborgate_edge::models::tensors::{Datatype, Document, Faults, Framing};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// Rows of a request, at most.
const MOST: u32 = 1000;
/// Times the body, and what the smallest needs: 64 faults with their texts, mostly.
const MEMORY: (usize, usize) = (24, 256 << 10);

/// All are numbers, one of which may be missing.
static NUMBERS: LazyLock<Signature> = LazyLock::new(|| {
    let features = ["a", "b", "c"].map(|name| Feature::number(name, FeatureType::Number, name == "b"));
    Signature::new(&features, Task::Classification)
});

/// One of every type.
static MIXED: LazyLock<Signature> = LazyLock::new(|| {
    let texts = Feature {
        categories: vec![json!("rome"), json!("oslo")],
        ..Feature::number("city", FeatureType::Category, true)
    };
    let numbers =
        Feature { categories: vec![json!(1), json!(7)], ..Feature::number("grade", FeatureType::Category, false) };
    let more = [("age", FeatureType::Double), ("code", FeatureType::Code), ("word", FeatureType::Text)];
    let more = more.map(|(name, kind)| Feature::number(name, kind, true));
    Signature::new(&[&[texts, numbers], &more[..]].concat(), Task::Regression)
});

fn rows_of(body: &[u8], framing: Framing, signature: &Signature) -> Result<Rows, Problem> {
    let document = Document::new(body, framing)?;
    let read = document.read()?;
    let reading = Reading { purpose: Purpose::Predict, ask: Ask::of(Purpose::Predict), most: MOST, alone: true };
    let mut faults = Faults::default();
    let content_type = read.parameters.content_type.as_deref();
    let rows = from_tensors(&read.inputs, content_type, signature, reading, &mut faults);
    faults.or(())?;
    Ok(rows.expect("rows or a fault"))
}

/// NaN is not equal to itself; its bits are.
fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| if value.is_nan() { u64::MAX } else { value.to_bits() }).collect()
}

fn read(body: &[u8], framing: Framing, signature: &Signature) {
    let (outcome, peak) = counting::peak(|| rows_of(body, framing, signature));
    let most = MEMORY.0 * body.len() + MEMORY.1;
    assert!(peak <= most, "{peak} bytes of memory for a body of {}: {outcome:?}", body.len());
    match outcome {
        Err(problem) => {
            assert!(problem.status().is_client_error() && !problem.detail.is_empty(), "{problem:?}");
            let named = |pointer: &str| pointer.starts_with('/') || !pointer.contains('/');
            assert!(problem.faults.iter().all(|fault| named(&fault.pointer)), "{problem:?}");
        }
        Ok(rows) => {
            assert!((1..=MOST).contains(&rows.count));
            assert_eq!(rows.values.len(), rows.count as usize * signature.columns());
            if std::ptr::eq(signature, &*NUMBERS) {
                again(&rows);
            }
        }
    }
}

/// As one matrix in binary.
fn again(rows: &Rows) {
    let buffer: Vec<u8> = rows.values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let json = json!({"inputs": [{"name": "input__0", "datatype": "FP64", "shape": [rows.count, NUMBERS.columns()],
        "parameters": {"binary_data_size": buffer.len()}}]})
    .to_string();
    let body = [json.as_bytes(), &buffer].concat();
    let found = rows_of(&body, Framing::Binary(json.len()), &NUMBERS).expect("what was read reads");
    assert_eq!((found.count, bits(&found.values)), (rows.count, bits(&rows.values)));
}

/// A number that is as it should be, or is drawn.
fn either(drawn: u8, should: usize) -> usize {
    if drawn & 0x80 == 0 { should } else { usize::from(drawn & 0x7f) }
}

fn datatype(drawn: u8) -> Datatype {
    Datatype::ALL[usize::from(drawn) % Datatype::ALL.len()]
}

/// An input with `data` as its elements, and what follows the JSON.
fn input(name: &str, datatype: Datatype, shape: &[usize], data: &[u8], binary: bool) -> (Vec<u8>, Vec<u8>) {
    let head = format!(r#"{{"name":"{name}","datatype":"{}","shape":{shape:?},"#, datatype.name());
    if binary {
        let json = format!(r#"{head}"parameters":{{"binary_data_size":{}}}}}"#, data.len());
        (json.into_bytes(), data.to_vec())
    } else {
        ([head.as_bytes(), b"\"data\":[", data, b"]}"].concat(), Vec::new())
    }
}

fn request(inputs: Vec<(Vec<u8>, Vec<u8>)>, signature: &Signature) {
    let (jsons, buffers): (Vec<_>, Vec<_>) = inputs.into_iter().unzip();
    let json = [br#"{"inputs":["#, &jsons.join(&b","[..])[..], b"]}"].concat();
    read(&[&json[..], &buffers.concat()].concat(), Framing::Binary(json.len()), signature);
}

/// How many elements there are, about.
fn elements(datatype: Datatype, data: &[u8], binary: bool) -> usize {
    let separated = data.iter().filter(|byte| **byte == b',').count() + 1;
    datatype.size().filter(|_| binary).map_or(separated, |size| data.len() / size)
}

/// All features in one tensor.
fn matrix(drawn: &[u8], binary: bool, signature: &Signature) {
    let Some((&[kind, rows, columns], data)) = drawn.split_first_chunk::<3>() else { return };
    let (kind, columns) = (datatype(kind), either(columns, signature.columns()));
    let rows = either(rows, elements(kind, data, binary) / columns.max(1));
    request(vec![input("input__0", kind, &[rows, columns], data, binary)], signature);
}

/// A tensor a feature, whose elements are between bytes that are in no text.
fn columns(drawn: &[u8], binary: bool, names: &[&str], signature: &Signature) {
    let Some((&[rows], rest)) = drawn.split_first_chunk::<1>() else { return };
    let Some((kinds, rest)) = rest.split_at_checked(names.len()) else { return };
    let mut data = rest.split(|byte| *byte == 0xff);
    let tensor = |(name, kind): (&&str, &u8)| {
        let (kind, data) = (datatype(*kind), data.next().unwrap_or_default());
        input(name, kind, &[either(rows, elements(kind, data, binary))], data, binary)
    };
    request(names.iter().zip(kinds).map(tensor).collect(), signature);
}

fuzz_target!(|drawn: &[u8]| {
    let Some((&kind, rest)) = drawn.split_first() else { return };
    let (signature, names): (_, &[&str]) = if kind & 1 == 0 {
        (&*NUMBERS, &["a", "b", "c"])
    } else {
        (&*MIXED, &["city", "grade", "age", "code", "word"])
    };
    let binary = kind & 2 != 0;
    match kind >> 2 {
        0 => matrix(rest, binary, signature),
        1 => columns(rest, binary, names, signature),
        2 => read(&[br#"{"inputs":["#, rest, b"]}"].concat(), Framing::Json, signature),
        3 => {
            let Some((len, rest)) = rest.split_first_chunk::<2>() else { return };
            read(rest, Framing::Binary(usize::from(u16::from_le_bytes(*len))), signature);
        }
        _ => read(rest, Framing::Json, signature),
    }
});
