//! The fields of a body beside its rows: what is asked of them. They are read after the place that they stand in is known,
//! and told with it.

use std::borrow::Cow;

use serde::de::DeserializeSeed;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Reader;
use crate::models::ask::{Purpose, TOP_K, kinds};

/// Bytes of an option's text: no legal one has more.
const LONGEST: usize = 4096;

/// An option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Output,
    TopK,
}

impl Name {
    /// By the name of a field.
    pub(super) fn find(name: &str, purpose: Purpose) -> Option<Self> {
        match (name, purpose) {
            ("output", Purpose::Predict) => Some(Self::Output),
            ("top_k", Purpose::Explain) => Some(Self::TopK),
            _ => None,
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::TopK => "top_k",
        }
    }
}

/// The value of the option at which the reader stands.
pub(super) struct Given<'r, 's>(pub(super) &'r mut Reader<'s>, pub(super) Name);

impl<'de> DeserializeSeed<'de> for Given<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // As text: whatever it is, no tree is made of it.
        let text = <&RawValue>::deserialize(deserializer)?.get();
        let Self(reader, name) = self;
        if reader.given.contains(&name) {
            reader.fault(None, "is given twice");
            return Ok(());
        }
        reader.given.push(name);
        match name {
            Name::Output => output(reader, text),
            Name::TopK => match serde_json::from_str(text) {
                Ok(top_k @ 1..) => reader.ask.top_k = Some(top_k),
                _ => reader.fault(None, TOP_K),
            },
        }
        Ok(())
    }
}

fn output(reader: &mut Reader<'_>, text: &str) {
    let names: Option<Vec<Cow<'_, str>>> = Some(text).filter(|text| text.len() <= LONGEST).and_then(read);
    let Some(names) = names else {
        reader.fault(None, "must be a list of kinds of output, such as [\"label\", \"margins\"]");
        return;
    };
    match kinds(names.iter().map(|name| &**name), reader.signature.task) {
        Ok(asked) => reader.ask.asked = asked,
        Err(faults) => {
            for (place, detail) in faults {
                match place {
                    Some(place) => reader.fault_at(&format!("/output/{place}"), detail),
                    None => reader.fault(None, detail),
                }
            }
        }
    }
}

fn read(text: &str) -> Option<Vec<Cow<'_, str>>> {
    serde_json::from_str(text).ok()
}
