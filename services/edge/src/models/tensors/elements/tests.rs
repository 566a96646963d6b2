use proptest::prelude::*;

use super::*;

/// Every element with its place, or what is wrong with the whole.
fn all(elements: Elements<'_>, datatype: Datatype, shape: &[u64]) -> Result<Vec<(String, Place)>, String> {
    struct Kept(Vec<(String, Place)>);
    impl Take for Kept {
        fn take(&mut self, element: Element<'_>, place: Place) {
            let text = match element {
                Element::Missing => "missing".to_owned(),
                Element::Value(scalar) => format!("{scalar:?}"),
                Element::Wrong(detail) => format!("wrong: {detail}"),
            };
            self.0.push((text, place));
        }
    }
    let mut kept = Kept(Vec::new());
    elements.each(datatype, shape, &mut kept)?;
    Ok(kept.0)
}

fn read(text: &str, datatype: Datatype, shape: &[u64]) -> Result<Vec<(String, Place)>, String> {
    all(Elements::Json { text, nan: true }, datatype, shape)
}

fn values(text: &str, datatype: Datatype) -> Vec<String> {
    read(text, datatype, &[9]).unwrap().into_iter().map(|(text, _)| text).collect()
}

#[test]
fn numbers_are_cast_to_what_the_datatype_holds() {
    assert_eq!(values("[0.1, 2, -3]", Datatype::Fp64), ["Float(0.1)", "Float(2.0)", "Float(-3.0)"]);
    assert_eq!(values("[0.1]", Datatype::Fp32), ["Float(0.10000000149011612)"]);
    assert_eq!(values("[0.1]", Datatype::Fp16), ["Float(0.0999755859375)"]);
    assert_eq!(values("[255, 1.0]", Datatype::Uint8), ["Unsigned(255)", "Unsigned(1)"]);
    assert_eq!(values("[-128]", Datatype::Int8), ["Signed(-128)"]);
    assert_eq!(values("[18446744073709551615]", Datatype::Uint64), ["Unsigned(18446744073709551615)"]);
    assert_eq!(values("[true, 0]", Datatype::Bool), ["Bool(true)", "Bool(false)"]);
    assert_eq!(values(r#"["a\n", ""]"#, Datatype::Bytes), [r#"Text("a\n")"#, r#"Text("")"#]);
    assert_eq!(values("[null, { }]", Datatype::Int32), ["missing", "missing"]);
}

#[test]
fn what_a_datatype_does_not_hold_is_wrong() {
    for (text, datatype) in [
        ("[256]", Datatype::Uint8),
        ("[-1]", Datatype::Uint64),
        ("[128]", Datatype::Int8),
        ("[1.5]", Datatype::Int64),
        ("[1e300]", Datatype::Int64),
        ("[9223372036854775808]", Datatype::Int64),
        ("[65536]", Datatype::Fp16),
        ("[1e39]", Datatype::Fp32),
        ("[true]", Datatype::Fp32),
        ("[\"1\"]", Datatype::Fp32),
        ("[2]", Datatype::Bool),
        ("[\"true\"]", Datatype::Bool),
        ("[1]", Datatype::Bytes),
        ("[false]", Datatype::Bytes),
    ] {
        let told = values(text, datatype);
        assert!(told.len() == 1 && told[0].starts_with("wrong: must be"), "{text} {datatype:?}: {told:?}");
    }
}

#[test]
fn lists_are_flat_or_as_the_shape_is() {
    let places =
        |text, shape: &[u64]| read(text, Datatype::Fp64, shape).map(|all| all.into_iter().map(|(_, p)| p).collect());
    assert_eq!(places("[1,2,3,4]", &[2, 2]), Ok(vec![Place::Flat; 4]));
    assert_eq!(places("[[1,2],[3,4]]", &[2, 2]), Ok(vec![Place::Nested; 4]));
    for wrong in [
        "[[1,2],[3]]",
        "[[1,2]]",
        "[[1,2],3]",
        "[1,[2]]",
        "[[1,[2]],[3,4]]",
        "[[[1,2]]]",
        "[[1,2],{\"a\":1}]",
        "{}",
        "1",
        "[1,2] 3",
    ] {
        assert!(read(wrong, Datatype::Fp64, &[2, 2]).is_err(), "{wrong}");
    }
    // Deeper than its shape it is not read at all.
    assert!(read(&"[".repeat(1000), Datatype::Fp64, &[2, 2]).is_err());
    assert!(read("[1e999]", Datatype::Fp64, &[1]).unwrap_err().contains("out of range"));
    let plain = all(Elements::Json { text: "[{}]", nan: false }, Datatype::Fp64, &[1]);
    assert!(plain.unwrap_err().contains("object"));
}

#[test]
fn texts_may_not_go_past_the_end() {
    let raw = |bytes: &[u8]| all(Elements::Raw(bytes), Datatype::Bytes, &[2]);
    let two = [2, 0, 0, 0, b'h', b'i', 0, 0, 0, 0];
    assert_eq!(raw(&two).unwrap().len(), 2);
    assert!(raw(&two[..9]).unwrap_err().contains("within the length that begins at 6"));
    let long = [255, 255, 255, 255, b'x'];
    assert!(raw(&long).unwrap_err().contains("a text of 4294967295 bytes at byte 0"));
    let invalid = [1, 0, 0, 0, 0xff];
    assert_eq!(raw(&invalid).unwrap()[0].0, "wrong: must be a text in UTF-8");
}

#[test]
fn bool_is_a_byte_of_two_values() {
    let raw = all(Elements::Raw(&[0, 1, 2]), Datatype::Bool, &[3]).unwrap();
    assert_eq!((raw[0].0.as_str(), raw[1].0.as_str()), ("Bool(false)", "Bool(true)"));
    assert!(raw[2].0.starts_with("wrong"));
}

#[test]
fn typed_integers_are_held_to_the_smaller_datatype() {
    let ints = all(Elements::Ints(&[127, 128]), Datatype::Int8, &[2]).unwrap();
    assert!(ints[0].0 == "Unsigned(127)" && ints[1].0.starts_with("wrong"), "{ints:?}");
}

proptest! {
    #[test]
    fn binary_is_read_as_it_was_written(values in proptest::collection::vec(any::<f64>(), 0..50)) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let read = all(Elements::Raw(&bytes), Datatype::Fp64, &[values.len() as u64]).unwrap();
        let told: Vec<String> = values.iter().map(|value| format!("{:?}", Scalar::Float(*value))).collect();
        prop_assert_eq!(read.into_iter().map(|(text, _)| text).collect::<Vec<_>>(), told);
    }

    #[test]
    fn texts_are_read_as_they_were_written(texts in proptest::collection::vec(".{0,8}", 0..20)) {
        let one = |text: &String| [&u32::try_from(text.len()).unwrap().to_le_bytes()[..], text.as_bytes()].concat();
        let bytes: Vec<u8> = texts.iter().flat_map(one).collect();
        let read = all(Elements::Raw(&bytes), Datatype::Bytes, &[texts.len() as u64]).unwrap();
        let told: Vec<String> = texts.iter().map(|text| format!("{:?}", Scalar::Text(text))).collect();
        prop_assert_eq!(read.into_iter().map(|(text, _)| text).collect::<Vec<_>>(), told);
    }

    #[test]
    fn no_bytes_make_it_panic_or_give_more_than_there_can_be(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for datatype in Datatype::ALL {
            let elements = Elements::Raw(&bytes);
            if let Ok(read) = all(elements, datatype, &[3]) {
                prop_assert!(read.len() <= elements.at_most(datatype));
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic_or_give_more_than_there_can_be(text in r#"[\[\]{}0-9,."a-e -]{0,60}"#) {
        let elements = Elements::Json { text: &text, nan: true };
        for datatype in [Datatype::Fp32, Datatype::Bytes, Datatype::Bool, Datatype::Int8] {
            if let Ok(read) = all(elements, datatype, &[2, 2]) {
                prop_assert!(read.len() <= elements.at_most(datatype));
            }
        }
    }
}
