use arborgate_contracts::registry::FeatureType;
use arborgate_contracts::wire::Asked;
use proptest::prelude::*;

use super::*;

fn feature(name: &str, missing: bool) -> Feature {
    Feature::number(name, FeatureType::Number, missing)
}

pub(super) fn signature(features: &[Feature]) -> Signature {
    Signature::new(features, Task::Classification)
}

pub(super) fn predict(most: u32) -> Reading {
    Reading { purpose: Purpose::Predict, ask: Ask::of(Purpose::Predict), most, alone: true }
}

fn explain(most: u32) -> Reading {
    Reading { purpose: Purpose::Explain, ask: Ask::of(Purpose::Explain), most, alone: true }
}

fn two() -> Signature {
    signature(&[feature("a", false), feature("b/c", false)])
}

fn faults(body: &str) -> Vec<(String, String)> {
    let problem = parse(body.as_bytes(), &two(), predict(3)).unwrap_err();
    assert_eq!(problem.code, ErrorCode::Invalid, "{body}: {}", problem.detail);
    problem.faults.into_iter().map(|f| (f.pointer, f.detail)).collect()
}

fn pointers(body: &str) -> Vec<String> {
    faults(body).into_iter().map(|(pointer, _)| pointer).collect()
}

#[test]
fn one_row_by_names_in_any_order() {
    let rows = parse(br#" {"b/c": 2, "a": -1.5e0} "#, &two(), predict(3)).unwrap();
    let ask = Ask::of(Purpose::Predict);
    assert_eq!(rows, Rows { count: 1, values: vec![-1.5, 2.0], many: false, ask });
}

#[test]
fn many_rows_by_names_and_positions() {
    let rows = parse(br#"{"rows":[[1,2],{"b/c":4,"a":3}]}"#, &two(), predict(3)).unwrap();
    let ask = Ask::of(Purpose::Predict);
    assert_eq!(rows, Rows { count: 2, values: vec![1.0, 2.0, 3.0, 4.0], many: true, ask });
}

#[test]
fn a_feature_may_be_called_rows() {
    let signature = signature(&[feature("rows", false)]);
    assert_eq!(parse(br#"{"rows": 7}"#, &signature, predict(3)).unwrap().values, [7.0]);
}

#[test]
fn what_is_asked_stands_before_or_after_the_rows() {
    let asked = |body: &str| parse(body.as_bytes(), &two(), predict(3)).unwrap().ask.asked;
    let both = Asked::MARGINS.and(Asked::LEAVES);
    for body in [
        r#"{"a":1,"output":["margins","leaves"],"b/c":2}"#,
        r#"{"output":["leaves","mar\u0067ins"],"rows":[[1,2]]}"#,
        r#"{"rows":[[1,2]], "output" : [ "margins" , "leaves" ] }"#,
    ] {
        assert_eq!(asked(body), both, "{body}");
    }
    let top = |body: &str| parse(body.as_bytes(), &two(), explain(3)).unwrap().ask;
    assert_eq!(top(r#"{"rows":[[1,2]]}"#), Ask { asked: Asked::CONTRIBUTIONS, top_k: None });
    assert_eq!(top(r#"{"top_k":1,"a":1,"b/c":2}"#).top_k, Some(1));
    assert_eq!(top(r#"{"rows":[[1,2]],"top_k":70000}"#).top_k, Some(70_000));
}

#[test]
fn a_feature_may_be_called_as_an_option() {
    let signature = signature(&[feature("output", false), feature("top_k", false)]);
    let one = parse(br#"{"output": 7, "top_k": 8}"#, &signature, predict(3)).unwrap();
    assert_eq!((one.values, one.ask.asked), (vec![7.0, 8.0], Asked::DEFAULT));
    let body = br#"{"rows":[{"output": 7, "top_k": 8}],"output":["leaves"]}"#;
    let many = parse(body, &signature, predict(3)).unwrap();
    assert_eq!((many.values, many.ask.asked), (vec![7.0, 8.0], Asked::LEAVES));
}

#[test]
fn what_is_asked_wrongly_is_told_in_its_place() {
    for (output, pointer) in [
        (r#"["label","shap"]"#, "/output/1"),
        (r#"[]"#, "/output"),
        (r#""label""#, "/output"),
        (r#"[1]"#, "/output"),
        (r#"null"#, "/output"),
        (r#"{"label":true}"#, "/output"),
        (r#"1e400"#, "/output"),
        (r#"["leaves","leaves"]"#, "/output/1"),
    ] {
        for body in [
            format!(r#"{{"a":1,"b/c":2,"output":{output}}}"#),
            format!(r#"{{"output":{output},"rows":[[1,2]]}}"#),
            format!(r#"{{"rows":[[1,2]],"output":{output}}}"#),
        ] {
            assert_eq!(pointers(&body), [pointer], "{body}");
        }
    }
    assert_eq!(pointers(r#"{"output":["x"],"rows":[[1,1e400],["x",1]]}"#), ["/output/0", "/rows/0/1", "/rows/1/0"]);
    assert_eq!(pointers(r#"{"output":["label"],"rows":[[1,2]],"output":["label"]}"#), ["/output"]);
    let deep = format!(r#"{{"rows":[[1,2]],"output":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse(deep.as_bytes(), &two(), predict(3)).is_err());
    for top_k in ["0", "-1", "1.5", "\"3\"", "null", "4294967296", "1e400", "[1]"] {
        let body = format!(r#"{{"rows":[[1,2]],"top_k":{top_k}}}"#);
        let problem = parse(body.as_bytes(), &two(), explain(3)).unwrap_err();
        assert_eq!((problem.code, problem.faults[0].pointer.as_str()), (ErrorCode::Invalid, "/top_k"), "{top_k}");
    }
    // Of the other operation.
    assert_eq!(pointers(r#"{"a":1,"b/c":2,"top_k":3}"#), ["/top_k"]);
    assert!(faults(r#"{"rows":[[1,2]],"top_k":3}"#)[0].1.contains("only field"));
}

#[test]
fn missing_values_only_where_the_model_knows_them() {
    let signature = signature(&[feature("a", true), feature("b", true)]);
    let rows = parse(br#"{"a": null, "b": 1}"#, &signature, predict(3)).unwrap();
    assert!(rows.values[0].is_nan() && rows.values[1] == 1.0);
    let absent = parse(br#"{"a": 1}"#, &signature, predict(3)).unwrap_err();
    assert_eq!(absent.faults[0].detail, "is missing; must be a number or null");
    assert_eq!(pointers(r#"{"a": null, "b/c": 1}"#), ["/a"]);
}

#[test]
fn every_fault_is_named_with_its_path() {
    assert_eq!(
        faults(r#"{"a":"x","c":{"deep":[1]},"a":1}"#),
        [
            ("/a".to_owned(), "must be a number".to_owned()),
            ("/c".to_owned(), "is not a feature of this model; its features are a, b/c".to_owned()),
            ("/a".to_owned(), "is given twice".to_owned()),
            ("/b~1c".to_owned(), "is missing; must be a number".to_owned()),
        ]
    );
    assert_eq!(
        pointers(r#"{"rows":[{"a":true,"b/c":[]},[1],[1,2,3],7,[null,{}]]}"#.replace(",7,", ",").as_str()),
        ["/rows/0/a", "/rows/0/b~1c", "/rows/1", "/rows/2", ""]
    );
    assert_eq!(pointers(r#"{"rows":[7,[1,2],{"a":1}]}"#), ["/rows/0", "/rows/2/b~1c"]);
}

#[test]
fn numbers_out_of_range_are_faults_at_their_path() {
    for number in ["1e400", "-1e400", "1e39", "3.5e38"] {
        assert_eq!(pointers(&format!(r#"{{"a":{number},"b/c":1}}"#)), ["/a"], "{number}");
        assert_eq!(pointers(&format!(r#"{{"rows":[[1,2],[1,{number}]]}}"#)), ["/rows/1/1"], "{number}");
    }
    assert!(parse(br#"{"a":3.4028234663852886e38,"b/c":1e-400}"#, &two(), predict(1)).is_ok());
}

#[test]
fn every_fault_is_named_where_numbers_are_beyond_64_bits() {
    let out = "must be a number within the range of a 32-bit float".to_owned();
    assert_eq!(
        faults(r#"{"a":1e400,"c":-1e400,"b/c":-1e400}"#),
        [
            ("/a".to_owned(), out.clone()),
            ("/c".to_owned(), "is not a feature of this model; its features are a, b/c".to_owned()),
            ("/b~1c".to_owned(), out),
        ]
    );
    assert_eq!(
        pointers(r#"{"rows":[1e400,[1e400,"x"],{"a":1,"b/c":{"d":1e400}}]}"#),
        ["/rows/0", "/rows/1/0", "/rows/1/1", "/rows/2/b~1c"]
    );
    assert_eq!(pointers(r#"{"rows":[[1,2,1e400],[3,1e400]]}"#), ["/rows/0", "/rows/1/1"]);
    for whole in ["1e400", r#"{"rows":-1e400}"#, r#"{"a":1e400,"rows":[]}"#, r#"{"rows":[[1e400,1]],"a":1}"#] {
        assert_eq!(pointers(whole).last().unwrap(), "", "{whole}");
    }
    let cut_off = parse(br#"{"a":1e400,"b/c":"#, &two(), predict(3)).unwrap_err();
    assert_eq!(cut_off.code, ErrorCode::BadRequest, "{}", cut_off.detail);
}

#[test]
fn a_number_is_in_the_range_of_its_feature() {
    let double = Feature { kind: FeatureType::Double, ..feature("d", false) };
    let signature = signature(&[feature("a", false), double]);
    let rows = parse(br#"{"a":1,"d":-1.7976931348623157e308}"#, &signature, predict(1)).unwrap();
    assert_eq!(rows.values, [1.0, -f64::MAX]);
    let problem = parse(br#"{"a":1e39,"d":1e309}"#, &signature, predict(1)).unwrap_err();
    let told: Vec<_> = problem.faults.iter().map(|f| (f.pointer.as_str(), &f.detail[24..])).collect();
    assert_eq!(told, [("/a", "the range of a 32-bit float"), ("/d", "the range of a 64-bit float")]);
}

#[test]
fn what_is_not_json_says_where() {
    for body in
        ["", "{", r#"{"a":NaN}"#, r#"{"a":Infinity}"#, r#"{"a":1,}"#, r#"{"a":1} x"#, "\u{feff}{}", r#"{"a":01}"#]
    {
        let problem = parse(body.as_bytes(), &two(), predict(3)).unwrap_err();
        assert_eq!(problem.code, ErrorCode::BadRequest, "{body}");
        assert!(problem.detail.contains("line 1 column"), "{}", problem.detail);
    }
    assert_eq!(parse(&[b'{', 0xff, b'}'], &two(), predict(3)).unwrap_err().code, ErrorCode::BadRequest);
}

#[test]
fn other_forms_say_what_would_be_right() {
    for body in [
        "[]",
        "7",
        "null",
        "\"x\"",
        r#"{"rows":7}"#,
        r#"{"rows":[]}"#,
        r#"{"rows":[[1,2]],"a":1}"#,
        r#"{"a":1,"rows":[[1,2]]}"#,
    ] {
        assert!(!faults(body).is_empty(), "{body}");
    }
    assert!(faults(r#"{"rows":[[1,2],[1,2],[1,2],[1,2]]}"#)[0].1.contains("at most 3 rows"));
}

#[test]
fn depth_is_no_danger_and_faults_are_bounded() {
    let deep = format!(r#"{{"a":{}1{},"b/c":1}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse(deep.as_bytes(), &two(), predict(3)).is_err());
    let unknown = (0..1000).map(|i| format!(r#""x{i}":1"#)).collect::<Vec<_>>().join(",");
    let problem = parse(format!("{{{unknown}}}").as_bytes(), &two(), predict(3)).unwrap_err();
    assert_eq!(problem.faults.len(), TOLD + 1);
    assert!(problem.faults[TOLD].detail.contains("faults more"));
    assert!(problem.detail.starts_with("1002 faults"), "{}", problem.detail);
}

/// Whether a body is read at one go; then it must be read alike the other way.
fn is_plain(body: &[u8], signature: &Signature, reading: Reading) -> bool {
    let Some(read) = plain::read(body, signature.plain.as_ref().unwrap(), signature, reading) else { return false };
    let other = parse_any(body, signature, reading).unwrap_or_else(|problem| {
        panic!("{}: {}", String::from_utf8_lossy(body), problem.detail);
    });
    let bits = |rows: &Rows| rows.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&read), bits(&other), "{}", String::from_utf8_lossy(body));
    assert_eq!((read.count, read.many, read.ask), (other.count, other.many, other.ask));
    true
}

#[test]
fn what_programs_send_is_read_at_one_go() {
    for body in [
        r#"{"rows":[[1,2]]}"#,
        " {\t\"rows\" :\r\n[ [ 1 , -2.5e-3 ] , [ 0 , 1e22 ] ] } \n",
        r#"{"rows":[[-0,-0.0],[1E5,0.1]],"output":["leaves"]}"#,
        r#"{"rows":[[3.4028234663852886e38,1e-400]]}"#,
    ] {
        assert!(is_plain(body.as_bytes(), &two(), predict(3)), "{body}");
    }
    let missing = signature(&[feature("a", true), feature("b", false)]);
    assert!(is_plain(br#"{"rows":[[null,1],[2,3]],"top_k":2}"#, &missing, explain(3)));
    for body in [
        r#"{"rows":[[null,null]]}"#,
        r#"{"rows":[[1,2],[1,2],[1,2],[1,2]]}"#,
        r#"{"rows":[]}"#,
        r#"{"rows":[[]]}"#,
        r#"{"rows":[[1]]}"#,
        r#"{"rows":[[1,2,3]]}"#,
        r#"{"rows":[[1,2],]}"#,
        r#"{"rows":[[1,2]]} x"#,
        r#"{"rows":[[1,2]]}}"#,
        r#"{"rows":[[1,2]],"rows":[[3,4]]}"#,
        r#"{"rows":[[1,2]],"output":["leaves"],"output":["leaves"]}"#,
        r#"{"rows":[[1,2]],"output":["shap"]}"#,
        r#"{"rows":[[1,2]],}"#,
        r#"{"rows":[[1,1e39]]}"#,
        r#"{"rows":[["1",2]]}"#,
        r#"{"a":1,"b/c":2}"#,
    ] {
        assert!(!is_plain(body.as_bytes(), &missing, predict(3)), "{body}");
    }
    // A feature of that name comes first.
    assert!(signature(&[feature("rows", false)]).plain.is_none());
}

proptest! {
    #[test]
    fn numbers_are_read_as_serde_reads_them(values in proptest::collection::vec(-1e30f64..1e30, 2..=2)) {
        let body = format!(r#"{{"rows":[[{:?},{:?}]]}}"#, values[0], values[1]);
        prop_assert_eq!(parse(body.as_bytes(), &two(), predict(3)).unwrap().values, values);
    }

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&body, &two(), predict(3));
    }

    #[test]
    fn no_json_makes_it_panic_or_give_a_part_of_a_row(body in r#"([\[\]{}:,"ab0-9.e/cnul rows]|1e400){0,48}"#) {
        if let Ok(rows) = parse(body.as_bytes(), &two(), predict(3)) {
            prop_assert_eq!(rows.values.len(), rows.count as usize * 2);
        }
    }

    #[test]
    fn rows_of_any_numbers_are_read_at_one_go_and_alike(
        values in proptest::collection::vec(any::<f64>().prop_filter("a float of 32 bits", |x| x.abs() < 3e38), 2..64),
        exponents: bool,
        spaces in "[ \t\n\r]{0,2}",
    ) {
        let number = |x: &f64| if exponents { format!("{x:e}") } else { format!("{x}") };
        let rows: Vec<String> = values
            .chunks_exact(2)
            .map(|row| format!("[{spaces}{}{spaces},{}]", number(&row[0]), number(&row[1])))
            .collect();
        let body = format!("{{\"rows\":{spaces}[{}]}}", rows.join(","));
        prop_assert!(is_plain(body.as_bytes(), &two(), predict(99)));
        let given: Vec<u64> = values.chunks_exact(2).flatten().map(|value| value.to_bits()).collect();
        let read = parse(body.as_bytes(), &two(), predict(99)).unwrap();
        prop_assert_eq!(read.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), given);
    }

    #[test]
    fn what_is_read_at_one_go_is_read_alike_the_other_way(body in r#"\{"rows":\[(\[[0-9.eE+\-nul, ]{1,12}\],?){1,3}\](,"output":\["leaves"\])?\}"#) {
        is_plain(body.as_bytes(), &two(), predict(3));
    }

    #[test]
    fn no_change_of_a_byte_is_read_otherwise(at in 0usize..60, byte: u8) {
        let mut body = br#"{"rows":[[1.25,-2e3],[0.1,20]],"output":["leaves","margins"]}"#.to_vec();
        let len = body.len();
        body[at % len] = byte;
        is_plain(&body, &two(), predict(3));
    }
}
