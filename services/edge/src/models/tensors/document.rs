//! A request of the REST form: JSON, and after it the buffers of those inputs that say `binary_data_size`, in the JSON's
//! order. Each length is held against the bytes that are there before anything is made of it.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use arborgate_contracts::{ErrorCode, Fault};
use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::datatype::Datatype;
use super::elements::Elements;
use super::faults::Faults;
use super::lenient;
use super::parameters::Parameters;
use crate::front::pointer;
use crate::front::problem::Problem;

/// Inputs or requested outputs, at most.
const MOST: usize = 1 << 16;
/// Dimensions, at most.
const RANK: usize = 8;
const LONGEST_NAME: usize = 1024;

/// How a body is made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// All of it is JSON.
    Json,
    /// So many bytes are, then come buffers.
    Binary(usize),
}

/// A body taken apart into its JSON and its buffers.
pub struct Document<'b> {
    json: Cow<'b, str>,
    /// Whether `NaN` was in the JSON.
    nan: bool,
    buffers: &'b [u8],
}

/// A tensor of a request.
#[derive(Debug)]
pub struct Tensor<'a> {
    /// As the client calls it.
    pub name: Cow<'a, str>,
    /// Of its elements.
    pub datatype: Datatype,
    /// How many in each dimension.
    pub shape: Vec<u64>,
    /// Its elements.
    pub elements: Elements<'a>,
    /// `content_type` among its parameters.
    pub content_type: Option<String>,
    /// Where it stands in the request.
    pub pointer: String,
}

/// An output that a request names.
#[derive(Debug)]
pub struct Requested {
    /// As the client calls it.
    pub name: String,
    /// `classification` and `binary_data`.
    pub parameters: Parameters,
}

/// A request.
#[derive(Debug)]
pub struct Read<'a> {
    /// It comes back in the answer.
    pub id: Option<String>,
    /// Of the request.
    pub parameters: Parameters,
    /// In their order.
    pub inputs: Vec<Tensor<'a>>,
    /// Absent: those that are answered unless any is named.
    pub outputs: Option<Vec<Requested>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Head<'a> {
    #[serde(default)]
    id: Option<String>,
    // The path says them.
    #[serde(default, rename = "model_name")]
    _model_name: Option<IgnoredAny>,
    #[serde(default, rename = "model_version")]
    _model_version: Option<IgnoredAny>,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow)]
    inputs: Few<&'a RawValue>,
    #[serde(default, borrow)]
    outputs: Option<Few<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Input<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    datatype: Cow<'a, str>,
    shape: Vec<i64>,
    #[serde(default)]
    parameters: Parameters,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Output {
    name: String,
    #[serde(default)]
    parameters: Parameters,
}

/// A list of no more than a model can have.
struct Few<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = Few<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Few<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element()? {
                    if all.len() == MOST {
                        return Err(A::Error::custom(format!("must be at most {MOST}")));
                    }
                    all.push(one);
                }
                Ok(Few(all))
            }
        }
        deserializer.deserialize_seq(List(PhantomData))
    }
}

/// Reads a piece of JSON; else the place in it, as the rest of a JSON pointer, and what is wrong there.
fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, (String, serde_json::Error)> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer::below(error.path());
        (pointer, error.into_inner())
    })?;
    json.end().map_err(|error| (String::new(), error))?;
    Ok(value)
}

/// What serde says, without where in the text.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or_default();
    reason.get(..reason.floor_char_boundary(256)).unwrap_or_default().to_owned()
}

impl<'b> Document<'b> {
    /// Of a body; what says how much of it is JSON may be wrong.
    pub fn new(body: &'b [u8], framing: Framing) -> Result<Self, Problem> {
        let (json, buffers) = match framing {
            Framing::Json => (body, &[][..]),
            Framing::Binary(len) => body.split_at_checked(len).ok_or_else(|| {
                let detail = format!("is {len}, and the body has {} bytes", body.len());
                Problem::invalid(vec![Fault { pointer: "Inference-Header-Content-Length".to_owned(), detail }])
            })?,
        };
        let text = std::str::from_utf8(json).map_err(|error| {
            let detail = format!("the JSON of the body is no UTF-8 at byte {}", error.valid_up_to());
            Problem::new(ErrorCode::BadRequest, detail)
        })?;
        let json = lenient::readable(text);
        Ok(Self { nan: matches!(json, Cow::Owned(_)), json, buffers })
    }

    /// The request in it.
    pub fn read(&self) -> Result<Read<'_>, Problem> {
        let head: Head<'_> = read(&self.json).map_err(|(pointer, error)| {
            if error.is_data() {
                return Problem::invalid(vec![Fault { pointer, detail: reason(&error) }]);
            }
            let place = format!("line {} column {}", error.line(), error.column());
            Problem::new(ErrorCode::BadRequest, format!("the body is not JSON: {} at {place}", reason(&error)))
        })?;
        let mut faults = Faults::default();
        let mut buffers = self.buffers;
        let mut inputs = Vec::with_capacity(head.inputs.0.len());
        for (at, text) in head.inputs.0.into_iter().enumerate() {
            inputs.extend(self.tensor(text.get(), at, &mut buffers, &mut faults));
        }
        if inputs.is_empty() && faults.is_empty() {
            faults.at("/inputs", "must be at least one tensor");
        }
        if !buffers.is_empty() && faults.is_empty() {
            let told = self.buffers.len() - buffers.len();
            let detail = format!(
                "the body has {} bytes after its JSON, and the inputs' binary_data_size are {told} together",
                self.buffers.len()
            );
            faults.at("/inputs", detail);
        }
        let outputs = head.outputs.map(|outputs| requested(&outputs.0, &mut faults));
        faults.or(Read { id: head.id, parameters: head.parameters, inputs, outputs })
    }

    /// An input; its buffer is taken from the front of `buffers`.
    fn tensor<'a>(
        &'a self,
        text: &'a str,
        at: usize,
        buffers: &mut &'b [u8],
        faults: &mut Faults,
    ) -> Option<Tensor<'a>> {
        let pointer = format!("/inputs/{at}");
        let input: Input<'a> = match read(text) {
            Ok(input) => input,
            Err((place, error)) => {
                faults.at(&format!("{pointer}{place}"), reason(&error));
                return None;
            }
        };
        let mut fault = |place: &str, detail: String| faults.at(&format!("{pointer}{place}"), detail);
        if input.name.len() > LONGEST_NAME {
            fault("/name", format!("must be at most {LONGEST_NAME} bytes"));
        }
        let datatype = Datatype::find(&input.datatype);
        if datatype.is_none() {
            fault("/datatype", Datatype::wanted());
        }
        let shape = shape(&input.shape).map_err(|(place, detail)| fault(&format!("/shape{place}"), detail)).ok();
        if input.parameters.shared_memory {
            fault("/parameters/shared_memory_region", "is not offered; send the elements".to_owned());
            return None;
        }
        let elements = match (input.data, input.parameters.binary_data_size) {
            (Some(_), Some(_)) => Err(("/data", "must not be there beside binary_data_size".to_owned())),
            (None, None) => {
                Err(("/data", "is missing; must be a list, or binary_data_size among the parameters".to_owned()))
            }
            (Some(data), None) => Ok(Elements::Json { text: data.get(), nan: self.nan }),
            (None, Some(size)) => {
                let whole = usize::try_from(size).ok().and_then(|size| buffers.split_at_checked(size));
                let whole = whole.map(|(own, rest)| {
                    *buffers = rest;
                    Elements::Raw(own)
                });
                whole.ok_or_else(|| {
                    let detail = format!("is {size}, and the body has {} bytes left", buffers.len());
                    ("/parameters/binary_data_size", detail)
                })
            }
        };
        let elements = elements.map_err(|(place, detail)| fault(place, detail)).ok();
        let content_type = input.parameters.content_type;
        Some(Tensor {
            name: input.name,
            datatype: datatype?,
            shape: shape?,
            elements: elements?,
            content_type,
            pointer,
        })
    }
}

/// Dimensions that multiply to a number of elements; else the place among them, and what is wrong.
pub fn shape(dimensions: &[i64]) -> Result<Vec<u64>, (String, String)> {
    if dimensions.is_empty() || dimensions.len() > RANK {
        return Err((String::new(), format!("must be 1 to {RANK} dimensions")));
    }
    let mut all = Vec::with_capacity(dimensions.len());
    let mut product: i64 = 1;
    for (at, dimension) in dimensions.iter().enumerate() {
        let own = u64::try_from(*dimension).map_err(|_| (format!("/{at}"), "must not be negative".to_owned()))?;
        all.push(own);
        product = product
            .checked_mul(*dimension)
            .ok_or_else(|| (String::new(), "multiplies past the greatest 64-bit integer".to_owned()))?;
    }
    Ok(all)
}

fn requested(outputs: &[&RawValue], faults: &mut Faults) -> Vec<Requested> {
    let mut all = Vec::with_capacity(outputs.len());
    for (at, text) in outputs.iter().enumerate() {
        match read::<Output>(text.get()) {
            Ok(output) if output.parameters.shared_memory => {
                faults.at(&format!("/outputs/{at}/parameters/shared_memory_region"), "is not offered");
            }
            Ok(output) => all.push(Requested { name: output.name, parameters: output.parameters }),
            Err((place, error)) => faults.at(&format!("/outputs/{at}{place}"), reason(&error)),
        }
    }
    all
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
