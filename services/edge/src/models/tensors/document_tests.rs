use proptest::prelude::*;

use super::*;

fn pointers(body: &[u8], framing: Framing) -> Vec<String> {
    let problem = Document::new(body, framing).and_then(|document| document.read().map(drop)).unwrap_err();
    problem.faults.into_iter().map(|fault| fault.pointer).collect()
}

fn wrong(json: &str) -> Vec<String> {
    pointers(json.as_bytes(), Framing::Json)
}

#[test]
fn a_request_is_read_with_its_buffers_in_their_order() {
    let json = r#"{"id":"7","inputs":[
        {"name":"a","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}},
        {"name":"b","datatype":"INT8","shape":[2],"data":[1,2],"parameters":null},
        {"name":"c","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":5}}],
        "outputs":[{"name":"p","parameters":{"binary_data":false}}],"parameters":{"binary_data_output":true}}"#;
    let body = [json.as_bytes(), &1.5_f32.to_le_bytes(), &[1, 0, 0, 0, b'x']].concat();
    let document = Document::new(&body, Framing::Binary(json.len())).unwrap();
    let read = document.read().unwrap();
    assert_eq!((read.id.as_deref(), read.parameters.binary_data_output), (Some("7"), Some(true)));
    assert!(matches!(read.inputs[0].elements, Elements::Raw(bytes) if bytes == 1.5_f32.to_le_bytes()));
    assert!(matches!(read.inputs[1].elements, Elements::Json { text: "[1,2]", nan: false }));
    assert!(matches!(read.inputs[2].elements, Elements::Raw([1, 0, 0, 0, b'x'])));
    assert_eq!(read.outputs.unwrap()[0].parameters.binary_data, Some(false));
}

#[test]
fn lengths_that_lie_are_told_in_their_place() {
    let json = r#"{"inputs":[{"name":"a","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}"#;
    let body = |rest: usize| [json.as_bytes(), &vec![0; rest]].concat();
    let size = "/inputs/0/parameters/binary_data_size";
    assert_eq!(pointers(&body(3), Framing::Binary(json.len())), [size]);
    assert_eq!(pointers(&body(0), Framing::Json), [size]);
    assert_eq!(pointers(&body(5), Framing::Binary(json.len())), ["/inputs"]);
    assert_eq!(pointers(&body(0), Framing::Binary(json.len() + 1)), ["Inference-Header-Content-Length"]);
    let huge = json.replace(":4}", ":18446744073709551615}");
    assert_eq!(pointers(huge.as_bytes(), Framing::Binary(huge.len())), [size]);
    // Cut within the JSON, it is none.
    let cut = Document::new(json.as_bytes(), Framing::Binary(20)).unwrap();
    assert_eq!(cut.read().unwrap_err().code, ErrorCode::BadRequest);
}

#[test]
fn every_wrong_member_is_told_in_its_place() {
    let input = |more: &str| format!(r#"{{"inputs":[{{"name":"a","datatype":"FP32","shape":[1],"data":[1]{more}}}]}}"#);
    assert!(Document::new(input("").as_bytes(), Framing::Json).unwrap().read().is_ok());
    for (json, pointer) in [
        ("{}".to_owned(), ""),
        ("[]".to_owned(), ""),
        (r#"{"inputs":[]}"#.to_owned(), "/inputs"),
        (r#"{"inputs":7}"#.to_owned(), "/inputs"),
        (r#"{"inputs":[7]}"#.to_owned(), "/inputs/0"),
        (input("").replace("FP32", "FP31"), "/inputs/0/datatype"),
        (input("").replace("FP32", "fp32"), "/inputs/0/datatype"),
        (input("").replace("[1],", "[-1],"), "/inputs/0/shape/0"),
        (input("").replace("[1],", "[],"), "/inputs/0/shape"),
        (input("").replace("[1],", "[1.5],"), "/inputs/0/shape/0"),
        (input("").replace("[1],", "[4294967296,4294967296],"), "/inputs/0/shape"),
        (input("").replace("[1],", "[9223372036854775808],"), "/inputs/0/shape/0"),
        (input("").replace("[1],", "[1,1,1,1,1,1,1,1,1],"), "/inputs/0/shape"),
        (input(r#","dtaa":1"#), "/inputs/0/dtaa"),
        (input(r#","parameters":{"binary_data_size":4}"#), "/inputs/0/data"),
        (input(r#","parameters":{"shared_memory_region":"x"}"#), "/inputs/0/parameters/shared_memory_region"),
        (input(r#","parameters":{"x":[1]}"#), "/inputs/0/parameters"),
        (input("").replace(r#","data":[1]"#, ""), "/inputs/0/data"),
        (input("").replace(r#""name":"a","#, ""), "/inputs/0"),
    ] {
        let told = wrong(&json);
        assert!(told.len() == 1 && told[0].starts_with(pointer), "{json}: {told:?}");
    }
    let two = r#"{"inputs":[{"name":"a","datatype":"X","shape":[-1],"data":[]},{"name":1}],"outputs":[{}]}"#;
    assert_eq!(wrong(two), ["/inputs/0/datatype", "/inputs/0/shape/0", "/inputs/1/name", "/outputs/0"]);
}

#[test]
fn what_is_no_json_is_told_with_its_line_and_column() {
    let told = |body: &[u8]| Document::new(body, Framing::Json).and_then(|d| d.read().map(drop)).unwrap_err();
    assert!(told(b"{\"inputs\": [NaN,\n nope]}").detail.contains("at line 2 column 3"));
    assert!(told(b"{\"id\": \"\xff\"}").detail.contains("no UTF-8 at byte 8"));
    assert_eq!(told(b"").code, ErrorCode::BadRequest);
}

#[test]
fn a_literal_nan_is_read() {
    let body = br#"{"inputs":[{"name":"a","datatype":"FP32","shape":[2],"data":[1,NaN]}]}"#;
    let document = Document::new(body, Framing::Json).unwrap();
    assert!(matches!(document.read().unwrap().inputs[0].elements, Elements::Json { text: "[1,{ }]", nan: true }));
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300), len in 0_usize..400) {
        for framing in [Framing::Json, Framing::Binary(len)] {
            if let Ok(document) = Document::new(&body, framing) {
                let _ = document.read();
            }
        }
    }

    #[test]
    fn a_shape_multiplies_or_is_refused(dimensions in proptest::collection::vec(any::<i64>(), 0..10)) {
        if let Ok(read) = shape(&dimensions) {
            let product = read.iter().try_fold(1_u64, |product, dimension| product.checked_mul(*dimension));
            prop_assert!(product.is_some_and(|product| i64::try_from(product).is_ok()));
        }
    }
}
