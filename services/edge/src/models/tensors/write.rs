//! Answers of the REST form: JSON, and after it the buffers of the outputs that are wanted in binary.

use super::answer::{Filled, OutputTensor};

/// An answer's body.
#[derive(Debug)]
pub struct Written {
    /// JSON, then buffers.
    pub body: Vec<u8>,
    /// Bytes of the JSON, where buffers follow or may follow.
    pub json: Option<usize>,
}

/// Bytes of a number in JSON, about.
const NUMBER: usize = 20;

fn json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Texts and numbers always have a JSON, and a Vec takes all of it; what is not finite is `null`.
    drop(serde_json::to_writer(out, value));
}

/// Writes an answer.
pub fn written(model: &str, version: &str, id: Option<&str>, outputs: &[OutputTensor<'_>]) -> Written {
    let binary = outputs.iter().any(|output| output.binary);
    let size =
        |output: &OutputTensor<'_>| if output.binary { buffer_size(&output.filled) } else { json_size(&output.filled) };
    let mut out = Vec::with_capacity(512 + outputs.iter().map(|output| 128 + size(output)).sum::<usize>());
    out.extend_from_slice(b"{\"model_name\":");
    json(&mut out, model);
    out.extend_from_slice(b",\"model_version\":");
    json(&mut out, version);
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        json(&mut out, id);
    }
    out.extend_from_slice(b",\"outputs\":[");
    for (at, output) in outputs.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        head(&mut out, output);
    }
    out.extend_from_slice(b"]}");
    let json = binary.then_some(out.len());
    for output in outputs.iter().filter(|output| output.binary) {
        buffer(&mut out, &output.filled);
    }
    Written { body: out, json }
}

fn head(out: &mut Vec<u8>, output: &OutputTensor<'_>) {
    out.extend_from_slice(b"{\"name\":");
    json(out, output.name);
    out.extend_from_slice(b",\"datatype\":\"");
    out.extend_from_slice(output.filled.datatype().name().as_bytes());
    out.extend_from_slice(b"\",\"shape\":");
    json(out, &output.shape);
    if output.binary {
        let size = buffer_size(&output.filled);
        out.extend_from_slice(format!(",\"parameters\":{{\"binary_data_size\":{size}}}}}").as_bytes());
        return;
    }
    out.extend_from_slice(b",\"data\":");
    match &output.filled {
        Filled::Bool(of) => json(out, of),
        Filled::Int64(of) => json(out, of),
        Filled::Uint32(of) => json(out, of),
        Filled::Fp64(of) => json(out, of),
        Filled::Bytes(of) => json(out, of),
    }
    out.push(b'}');
}

fn json_size(filled: &Filled<'_>) -> usize {
    match filled {
        Filled::Bool(of) => of.len() * 6,
        Filled::Int64(of) => of.len() * 8,
        Filled::Uint32(of) => of.len() * 8,
        Filled::Fp64(of) => of.len() * NUMBER,
        Filled::Bytes(of) => of.iter().map(|text| text.len() + 4).sum(),
    }
}

/// Bytes of a buffer.
pub(super) fn buffer_size(filled: &Filled<'_>) -> usize {
    match filled {
        Filled::Bool(of) => of.len(),
        Filled::Int64(of) => of.len() * 8,
        Filled::Uint32(of) => of.len() * 4,
        Filled::Fp64(of) => of.len() * 8,
        Filled::Bytes(of) => of.iter().map(|text| 4 + text.len()).sum(),
    }
}

/// Appends the elements, little-endian.
pub fn buffer(out: &mut Vec<u8>, filled: &Filled<'_>) {
    match filled {
        Filled::Bool(of) => out.extend(of.iter().map(|of| u8::from(*of))),
        Filled::Int64(of) => of.iter().for_each(|of| out.extend_from_slice(&of.to_le_bytes())),
        Filled::Uint32(of) => of.iter().for_each(|of| out.extend_from_slice(&of.to_le_bytes())),
        Filled::Fp64(of) => of.iter().for_each(|of| out.extend_from_slice(&of.to_le_bytes())),
        Filled::Bytes(of) => {
            for text in of {
                // A label or a class of a model is no 4 GiB long.
                out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}
