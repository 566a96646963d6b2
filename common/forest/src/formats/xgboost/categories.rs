//! The names of categories, which XGBoost keeps since 3.1 (`src/data/cat_container.cc`).

use super::document::Document;
use crate::error::{Error, quote};
use crate::limits::Limits;
use crate::model::Label;

/// The categories of one feature.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) labels: Vec<Label>,
    /// Whether all texts are of ASCII.
    pub(super) ascii: bool,
    /// Whether all texts are UTF-8, and all bytes belong to one.
    pub(super) whole: bool,
}

/// `cats`: for each feature its categories, none if it has none. Empty if nothing was given by name.
pub(super) fn read<'b, D: Document<'b>>(document: &mut D, limits: &Limits) -> Result<Vec<Names>, Error> {
    let mut features = Vec::new();
    document.object(&mut |document, key| match &**key {
        "enc" => document.array(&mut |document, count| {
            if count >= limits.max_features {
                return Err(Error::limit("features", limits.max_features));
            }
            features.push(feature(document, limits)?);
            Ok(())
        }),
        // where a feature's categories begin among those of all, and their order by name: both follow from the names
        "feature_segments" | "sorted_idx" => document.skip(),
        other => Err(document.wrong(format!("`{}` is no part of categories that are known here", quote(other)))),
    })?;
    Ok(features)
}

/// Texts as bytes one after another and where each begins, or integers and what type they are of.
fn feature<'b, D: Document<'b>>(document: &mut D, limits: &Limits) -> Result<Names, Error> {
    let mut offsets: Option<Vec<u32>> = None;
    let mut kind = None;
    let mut values: Vec<i64> = Vec::new();
    document.object(&mut |document, key| match &**key {
        "offsets" => document.ints(offsets.insert(Vec::new())),
        "values" => document.ints(&mut values),
        "type" => {
            kind = Some(document.int()?);
            Ok(())
        }
        other => Err(document.wrong(format!("`{}` is no part of categories that are known here", quote(other)))),
    })?;
    let labels = match (offsets, kind) {
        (Some(offsets), None) => texts(&offsets, &values, limits)?,
        (None, Some(kind)) => integers(kind, values).map(|labels| Names { labels, ascii: true, whole: true }),
        _ => None,
    };
    labels.ok_or_else(|| document.wrong("is neither texts nor integers that differ, as categories are"))
}

fn texts(offsets: &[u32], bytes: &[i64], limits: &Limits) -> Result<Option<Names>, Error> {
    // written as signed bytes
    let byte = |byte: &i64| u8::try_from(*byte).ok().or_else(|| i8::try_from(*byte).ok().map(i8::cast_unsigned));
    let Some(bytes) = bytes.iter().map(byte).collect::<Option<Vec<u8>>>() else { return Ok(None) };
    // no two are the same, so one at most is empty
    if offsets.len() > bytes.len().saturating_add(2) {
        return Ok(None);
    }
    let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    let mut whole = first == 0 && last as usize == bytes.len();
    let mut labels = Vec::with_capacity(offsets.len());
    for pair in offsets.windows(2) {
        let [from, to] = *pair else { return Ok(None) };
        let Some(text) = bytes.get(from as usize..to as usize) else { return Ok(None) };
        if text.len() > limits.max_text {
            return Err(Error::limit("bytes of a name or label", limits.max_text));
        }
        whole &= str::from_utf8(text).is_ok();
        labels.push(Label::Text(String::from_utf8_lossy(text).into_owned()));
    }
    Ok(Some(Names { labels, ascii: bytes.is_ascii(), whole }))
}

/// By the numbers of types of `Value::ValueKind` in `include/xgboost/json.h`. UBJSON has no unsigned integers but bytes:
/// they are written as signed ones of the same bits.
fn integers(kind: i64, mut values: Vec<i64>) -> Option<Vec<Label>> {
    let bits = match kind {
        9 | 11 | 13 | 15 => None,
        10 => Some(8),
        12 => Some(16),
        14 => Some(32),
        16 => Some(63),
        _ => return None,
    };
    if let Some(bits) = bits.filter(|bits| *bits < 63) {
        values.iter_mut().filter(|value| **value < 0).for_each(|value| *value += 1 << bits);
    }
    let mut sorted = values.clone();
    sorted.sort_unstable();
    if !sorted.is_sorted_by(|a, b| a < b) {
        return None;
    }
    drop(sorted);
    (bits.is_none() || values.iter().all(|value| *value >= 0)).then(|| values.into_iter().map(Label::Int).collect())
}
