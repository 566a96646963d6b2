//! `NaN` as Python's `json` writes it, which RFC 8259 does not know.

use std::borrow::Cow;

/// What stands for NaN where it was: of the same length, so that places stay what they are, and nowhere else a value.
const STANDS: &str = "{ }";

/// A text in which every `NaN` that is no part of a string is `{ }`.
pub(super) fn readable(text: &str) -> Cow<'_, str> {
    if !text.contains("NaN") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // Before each quotation mark outside of strings, then the string itself.
    while let Some((outside, string)) = rest.split_once('"') {
        out.push_str(&outside.replace("NaN", STANDS));
        out.push('"');
        let end = end_of_string(string);
        let (string, after) = string.split_at_checked(end).unwrap_or((string, ""));
        out.push_str(string);
        rest = after;
    }
    out.push_str(&rest.replace("NaN", STANDS));
    Cow::Owned(out)
}

/// Bytes to and with the quotation mark that ends a string; all if none does.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return at + 1,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_no_string_is_rewritten() {
        for (text, read) in [
            (r#"{"a":[1,NaN, 2]}"#, r#"{"a":[1,{ }, 2]}"#),
            (r#"["NaN",NaN,"a\"NaN",NaN]"#, r#"["NaN",{ },"a\"NaN",{ }]"#),
            (r#"["\\",NaN,"NaN"#, r#"["\\",{ },"NaN"#),
            ("NaN", "{ }"),
            ("[]", "[]"),
            (r#""NaN"#, r#""NaN"#),
        ] {
            assert_eq!(readable(text), read, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_length_stays(text in r#"["\\NaN,é\[\]]{0,40}"#) {
            proptest::prop_assert_eq!(readable(&text).len(), text.len());
        }
    }
}
