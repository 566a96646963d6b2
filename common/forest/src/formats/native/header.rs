//! The header of a file of ours. The crate keeps the last of two tensors of one name and buffers whatever there is, so
//! names, types and lengths are looked at here first; that tensors neither overlap nor leave gaps is the crate's check.

use std::fmt;

use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::tensor::{Tensor, types, width};
use super::{FORMAT, PREFIX};
use crate::error::{Error, quote};
use crate::limits::Limits;
use crate::model::{Categories, FeatureKind, Label, Parts};

/// What a header says, and the bytes that it speaks of.
pub(super) struct Header<'a> {
    pub(super) parts: Parts,
    tensors: Vec<Tensor<'a>>,
}

impl<'a> Header<'a> {
    pub(super) fn read(bytes: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        let cut = || Error::content("the header", 0, "is longer than the file: the file is cut off");
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| cut())?;
        let (header, data) = rest.split_at_checked(length).ok_or_else(cut)?;
        let parts = parts(&manifest(header)?, limits)?;
        let Named(mut named) = serde_json::from_slice(header).map_err(|error| in_header(&error, 8))?;
        named.sort_by_key(|(_, info)| info.data_offsets);
        let tensors = named.iter().map(|(name, info)| tensor(name, info, data)).collect::<Result<_, _>>()?;
        let end = named.last().map_or(0, |(_, info)| info.data_offsets.1);
        if end != data.len() {
            let offset = bytes.len() - data.len() + end;
            return Err(Error::Trailing { of: "last tensor", offset, count: data.len() - end });
        }
        let overlap = |error| Error::content("the header", 8, format!("tensors overlap or leave gaps: {error}"));
        Metadata::new(None, named).map_err(overlap)?;
        Ok(Self { parts, tensors })
    }

    /// Empty, if it is not there.
    pub(super) fn tensor(&self, name: &'static str) -> Tensor<'a> {
        let absent = Tensor { name, dtype: safetensors::Dtype::U8, rest: &[] };
        self.tensors.iter().find(|tensor| tensor.name == name).copied().unwrap_or(absent)
    }
}

/// Where the header's text is wrong.
fn in_header(error: &serde_json::Error, start: usize) -> Error {
    let offset = (error.line() == 1).then(|| start + error.column().saturating_sub(1));
    Error::content("the header", offset, quote_error(error))
}

/// The message without its place, which is another's; escaped and cut, for it may tell what stands in the file.
fn quote_error(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let message = said.split(" at line ").next().unwrap_or(&said);
    message.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The manifest's text, which stands first.
fn manifest(header: &[u8]) -> Result<String, Error> {
    let before = PREFIX.len() - 1;
    let text = header.get(before..).unwrap_or_default();
    match serde_json::Deserializer::from_slice(text).into_iter().next() {
        Some(Ok(text)) => Ok(text),
        Some(Err(error)) => Err(in_header(&error, 8 + before)),
        None => Err(Error::content("the header", 8, "has no manifest")),
    }
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    #[serde(rename = "format")]
    _format: u32,
    model: Parts,
}

/// Everything but the trees.
fn parts(manifest: &str, limits: &Limits) -> Result<Parts, Error> {
    let wrong = |error: &serde_json::Error| Error::content("the manifest", None, quote_error(error));
    let Version { format } = serde_json::from_str(manifest).map_err(|error| wrong(&error))?;
    if format != FORMAT {
        let message = format!("is {format} and this version knows {FORMAT}; read it with a newer version");
        return Err(Error::content("the manifest, format", None, message));
    }
    let parts = parse(manifest).map_err(|error| {
        Error::content(format!("the manifest, {}", quote(&error.path().to_string())), None, quote_error(error.inner()))
    })?;
    check(&parts, limits)?;
    Ok(parts)
}

/// The manifest of this version.
pub(super) fn parse(manifest: &str) -> Result<Parts, serde_path_to_error::Error<serde_json::Error>> {
    let mut json = serde_json::Deserializer::from_str(manifest);
    let Manifest { model, .. } = serde_path_to_error::deserialize(&mut json)?;
    Ok(model)
}

fn check(parts: &Parts, limits: &Limits) -> Result<(), Error> {
    let classes = parts.classes.iter().map(Vec::len).max().unwrap_or(0);
    for (what, found, limit) in [
        ("features", parts.features.len(), limits.max_features),
        ("outputs", parts.n_outputs, limits.max_outputs),
        ("classes", classes, limits.max_classes),
    ] {
        if found > limit {
            return Err(Error::limit(what, limit));
        }
    }
    let categories = parts.features.iter().filter_map(|feature| match &feature.kind {
        FeatureKind::Category(Categories::Named(labels)) => Some(labels),
        _ => None,
    });
    let labels = parts.classes.iter().chain(categories).flatten().filter_map(|label| match label {
        Label::Text(text) => Some(text),
        _ => None,
    });
    let names = parts.features.iter().filter_map(|feature| feature.name.as_ref());
    if labels.chain(names).any(|text| text.len() > limits.max_text) {
        return Err(Error::limit("bytes of a name", limits.max_text));
    }
    Ok(())
}

/// All tensors; each name is known and stands there once.
struct Named(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor)
    }
}

struct NamedVisitor;

impl<'de> Visitor<'de> for NamedVisitor {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
        // what is not the manifest has no place beside it
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Beside {
            #[serde(rename = "arborgate.forest")]
            _manifest: de::IgnoredAny,
        }
        let mut named: Vec<(String, TensorInfo)> = Vec::new();
        let mut metadata = false;
        while let Some(name) = map.next_key::<String>()? {
            let twice = if name == "__metadata__" { metadata } else { named.iter().any(|(other, _)| *other == name) };
            if twice {
                return Err(de::Error::custom(format_args!("`{}` stands there twice", quote(&name))));
            }
            if name == "__metadata__" {
                map.next_value::<Beside>()?;
                metadata = true;
            } else if types(&name).is_some() {
                let info = map
                    .next_value()
                    .map_err(|error: A::Error| de::Error::custom(format_args!("tensor `{name}`: {error}")))?;
                named.push((name, info));
            } else {
                return Err(de::Error::custom(format_args!("tensor `{}` is not known here", quote(&name))));
            }
        }
        Ok(Named(named))
    }
}

fn tensor<'a>(name: &str, info: &TensorInfo, data: &'a [u8]) -> Result<Tensor<'a>, Error> {
    let wrong = |message: String| Error::content(format!("tensor `{}`", quote(name)), None, message);
    let Some((name, types)) = types(name) else { return Err(wrong("is not known here".into())) };
    if !types.contains(&info.dtype) {
        return Err(wrong(format!("has numbers of type {}, which must be one of {types:?}", info.dtype)));
    }
    let [length] = info.shape[..] else {
        return Err(wrong(format!("has {} dimensions where there should be one", info.shape.len())));
    };
    let (start, end) = info.data_offsets;
    let Some(rest) = data.get(start..end) else {
        return Err(wrong(format!("is said to be at {start} to {end}, of {} bytes", data.len())));
    };
    if length.checked_mul(width(info.dtype)) != Some(rest.len()) {
        return Err(wrong(format!("has {} bytes for {length} numbers of type {}", rest.len(), info.dtype)));
    }
    Ok(Tensor { name, dtype: info.dtype, rest })
}
