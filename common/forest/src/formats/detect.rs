//! What a file is, by its content. Names what is not read here, so that the answer is not "malformed pickle".

use crate::error::Error;

const SAVE_WITH_JOBLIB: &str = "save the estimator itself with `joblib.dump(model, \"model.pkl\")`";
const SAVE_AS_JSON: &str = "load it in an XGBoost before 3.1 and save it by `save_model(\"model.json\")`";
const NEEDS_SKLEARN: &str = "train or export a scikit-learn forest";

/// How far into a text the keys that tell one JSON from another are looked for, in bytes.
const JSON_HEAD: usize = 64 * 1024;

/// First bytes, what they mean, what would work instead.
const MAGIC: &[(&[u8], &str, &str)] = &[
    (b"PK\x03\x04", "a zip archive (skops, PyTorch, Keras, npz)", SAVE_WITH_JOBLIB),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras)", SAVE_WITH_JOBLIB),
    (b"\x93NUMPY", "a numpy .npy array", SAVE_WITH_JOBLIB),
    (b"CBM1", "a CatBoost binary model", "save it with `model.save_model(\"model.json\", format=\"json\")`"),
    (b"binf", "an XGBoost model in its old binary format", SAVE_AS_JSON),
    (b"PAR1", "a Parquet file", SAVE_WITH_JOBLIB),
    (b"ARROW1", "an Arrow file", SAVE_WITH_JOBLIB),
    (b"GGUF", "a GGUF model", NEEDS_SKLEARN),
    (b"RDX", "an R data file", NEEDS_SKLEARN),
    (b"\x28\xb5\x2f\xfd", "a zstd stream", "decompress it first"),
    (b"ZF", "a file of joblib before 0.10", "load it in Python and save it with a current joblib"),
    (b"<?xml", "XML (PMML?)", SAVE_WITH_JOBLIB),
    (b"<PMML", "PMML", SAVE_WITH_JOBLIB),
    (b"<!DOCTYPE", "a web page", "the download gave a page in place of the file"),
    (b"<html", "a web page", "the download gave a page in place of the file"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself with `git lfs pull`"),
    (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", "a PyTorch file", NEEDS_SKLEARN),
];

/// XGBoost's UBJSON: an object whose first key has less than 256 bytes.
pub(crate) fn is_xgboost_ubjson(bytes: &[u8]) -> bool {
    bytes.starts_with(b"{L\0\0\0\0\0\0\0")
}

/// XGBoost's JSON: a model, or the snapshot of a learner. No JSON of CatBoost's: see [`is_catboost`].
pub(crate) fn is_xgboost_json(bytes: &[u8]) -> bool {
    match first_member(bytes) {
        Some(b"learner" | b"Config" | b"Model") => true,
        Some(_) => has(bytes, "\"learner\""),
        None => false,
    }
}

/// CatBoost's JSON, by the first member of the object. They are sorted by name, unless another program wrote them.
pub(crate) fn is_catboost(bytes: &[u8]) -> bool {
    match first_member(bytes) {
        Some(b"ctr_data" | b"features_info" | b"model_info" | b"oblivious_trees" | b"scale_and_bias") => true,
        Some(b"trees") => has(bytes, "\"features_info\""),
        _ => false,
    }
}

/// The name of a JSON object's first member, if it is a plain one.
fn first_member(bytes: &[u8]) -> Option<&[u8]> {
    let text = bytes.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start().strip_prefix(b"\"")?;
    text.split(|byte| *byte == b'"').next()
}

/// Whether something stands near the beginning.
fn has(bytes: &[u8], needle: &str) -> bool {
    let head = bytes.get(..bytes.len().min(JSON_HEAD)).unwrap_or_default();
    head.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Passes what may be a pickle, and refuses the rest by its name.
pub(crate) fn refuse_others(bytes: &[u8]) -> Result<(), Error> {
    if bytes.is_empty() {
        return Err(Error::Format { format: "an empty file", advice: SAVE_WITH_JOBLIB });
    }
    if let Some(&(_, format, advice)) = MAGIC.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return Err(Error::Format { format, advice });
    }
    if is_pickle(bytes) {
        return Ok(());
    }
    Err(other(bytes).map_or(Error::Unknown, |(format, advice)| Error::Format { format, advice }))
}

/// Protocol 2 and later say so. Earlier ones begin, for an object, with the name of a function on two lines.
fn is_pickle(bytes: &[u8]) -> bool {
    match bytes {
        [0x80, protocol, ..] => (2..=5).contains(protocol),
        [b'c', rest @ ..] => {
            let head = rest.get(..rest.len().min(256)).unwrap_or_default();
            let mut lines = head.split(|byte| *byte == b'\n');
            let name = |line: Option<&[u8]>| {
                line.is_some_and(|line| {
                    !line.is_empty() && line.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
                })
            };
            name(lines.next()) && name(lines.next()) && lines.next().is_some()
        }
        _ => false,
    }
}

fn other(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let head = bytes.get(..bytes.len().min(JSON_HEAD)).unwrap_or_default();
    let has = |needle: &str| has(bytes, needle);
    let text = head.trim_ascii_start();
    let format = match text {
        [b'{' | b'[', ..] if has("\"tree_info\"") || has("\"num_tree_per_iteration\"") => {
            return Some(("a LightGBM JSON dump", "save the model as text with `booster.save_model(\"model.txt\")`"));
        }
        [b'{' | b'[', ..] => Some("JSON"),
        _ if is_safetensors(bytes) => Some("a safetensors file"),
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => Some("a TensorFlow Lite model"),
        _ => None,
    };
    format.map(|format| (format, NEEDS_SKLEARN))
}

fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, [b'{', ..])) = bytes.split_first_chunk::<8>() else { return false };
    usize::try_from(u64::from_le_bytes(*length)).is_ok_and(|length| length <= bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8]) -> String {
        refuse_others(bytes).unwrap_err().to_string()
    }

    #[test]
    fn names_other_formats() {
        let cases: &[(&[u8], &str)] = &[
            (b"binf\0\0\0\x3f", "XGBoost model in its old binary format"),
            (b"{\"name\":\"tree\",\"num_class\":1,\"num_tree_per_iteration\":1}", "LightGBM JSON"),
            (b"{\"tree_info\":[]}", "booster.save_model"),
            (b"CBM1\x10\0\0\0", "CatBoost binary"),
            (b"\x89HDF\r\n\x1a\n\0\0", "HDF5"),
            (b"PK\x03\x04\x14\0", "zip archive"),
            (b"\x02\0\0\0\0\0\0\0{}", "safetensors"),
            (b"[1, 2]", "JSON"),
            (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
            (b"", "an empty file"),
        ];
        for (bytes, expected) in cases {
            let said = said(bytes);
            assert!(said.contains(expected), "{bytes:?}: {said}");
            assert!(said.contains("this version reads scikit-learn"), "{said}");
        }
    }

    #[test]
    fn knows_catboost_by_its_first_member() {
        for text in ["{\"model_info\":{},", " {\n \"ctr_data\": {", "{\"trees\":[],\"features_info\":{}}"] {
            assert!(is_catboost(text.as_bytes()), "{text}");
        }
        for text in ["{\"learner\":{\"features_info\":{}}}", "{\"trees\":[]}", "{\"", "[\"model_info\"]", ""] {
            assert!(!is_catboost(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn says_unknown_of_the_rest() {
        for bytes in [&b"a,b,c\n1,2,3\n"[..], b"col one,col two\n1,2\n3,4\n", b"\x80\x07.", b"\x80", b"\0"] {
            assert!(matches!(refuse_others(bytes), Err(Error::Unknown)), "{bytes:?}");
        }
    }

    #[test]
    fn lets_every_protocol_pass() {
        for bytes in [&b"\x80\x02c"[..], b"\x80\x05\x95", b"ccopy_reg\n_reconstructor\n(c"] {
            refuse_others(bytes).unwrap();
        }
    }

    #[test]
    fn knows_xgboost_by_its_members() {
        for text in [
            "{\"learner\":{\"attributes\":{}}}",
            "  {\n \"learner\" : {}}",
            "{\"Config\":{",
            "{\"version\":[],\"learner\":{}}",
        ] {
            assert!(is_xgboost_json(text.as_bytes()) && !is_catboost(text.as_bytes()), "{text}");
        }
        for text in ["[\"learner\"]", "{\"version\":[]}", "{\"model_info\":{", "{}", ""] {
            assert!(!is_xgboost_json(text.as_bytes()), "{text}");
        }
        assert!(is_xgboost_ubjson(b"{L\0\0\0\0\0\0\0\x07learner"));
        assert!(!is_xgboost_ubjson(b"{\"learner\""));
    }
}
