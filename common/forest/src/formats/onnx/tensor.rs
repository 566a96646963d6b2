//! `TensorProto`: a tensor's numbers, of which there must be as many as its shape says.

use super::proto::{once, refused, unknown};
use super::wire::{Bytes, Field, fault, words};
use crate::error::{Error, quote};
use crate::limits::Limits;

/// Dimensions of a tensor.
const MAX_RANK: usize = 8;

/// `TensorProto`; its numbers stay in the file until they are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tensor<'b> {
    pub(super) name: &'b str,
    pub(super) element: i64,
    pub(super) rank: usize,
    dims: [i64; MAX_RANK],
    raw: Option<Bytes<'b>>,
    message: Bytes<'b>,
}

/// Element types of `TensorProto.DataType`.
pub(super) mod element {
    pub(in super::super) const FLOAT: i64 = 1;
    pub(in super::super) const UINT8: i64 = 2;
    pub(in super::super) const INT32: i64 = 6;
    pub(in super::super) const INT64: i64 = 7;
    pub(in super::super) const STRING: i64 = 8;
    pub(in super::super) const DOUBLE: i64 = 11;
}

impl<'b> Tensor<'b> {
    pub(super) fn read(message: Bytes<'b>, limits: &Limits) -> Result<Self, Error> {
        let (mut name, mut element, mut raw) = (None, None, None);
        let (mut dims, mut rank) = ([0; MAX_RANK], 0);
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => field.ints(&mut |dim| {
                    if let Some(slot) = dims.get_mut(rank) {
                        *slot = dim;
                    }
                    rank = rank.saturating_add(1);
                })?,
                2 => once(&mut element, field.int()?, &field, "a tensor")?,
                8 => once(&mut name, field.bytes()?.text(limits.max_text)?, &field, "a tensor")?,
                9 => once(&mut raw, field.bytes()?, &field, "a tensor")?,
                // its data, doc_string, metadata_props
                4..=7 | 10..=12 | 16 => {}
                14 if field.int()? == 0 => {}
                13 | 14 => {
                    let advice = "save the model with its data in one file (`onnx.save_model(model, path)`)";
                    return Err(refused(&field, "a tensor's data is external", advice));
                }
                _ => return Err(unknown("a tensor", &field)),
            }
        }
        if rank > MAX_RANK {
            return Err(Error::limit("dimensions of a tensor", MAX_RANK));
        }
        let (name, element) = (name.unwrap_or_default(), element.unwrap_or_default());
        Ok(Self { name, element, rank, dims, raw, message })
    }

    /// Of the last dimension; 1 of a scalar.
    pub(super) fn last_dim(&self) -> i64 {
        self.rank.checked_sub(1).and_then(|last| self.dims.get(last)).copied().unwrap_or(1)
    }

    fn fault(&self, message: &str) -> Error {
        fault(self.message.offset, format!("tensor `{}` {message}", quote(self.name)))
    }

    /// What was read must be as much as the shape says.
    fn whole<T>(&self, data: Vec<T>) -> Result<Vec<T>, Error> {
        let mut dims = self.dims.iter().take(self.rank);
        let count = dims.try_fold(1_usize, |count, dim| count.checked_mul(usize::try_from(*dim).ok()?));
        if count == Some(data.len()) { Ok(data) } else { Err(self.fault("has other data than its shape says")) }
    }

    /// The fields of one number, unless the data is raw.
    fn unpacked(&self, number: u64) -> impl Iterator<Item = Result<Field<'b>, Error>> {
        let raw = self.raw.is_some();
        self.message.fields().filter(move |field| !raw && field.as_ref().map_or(true, |field| field.number == number))
    }

    /// Floats or doubles, widened; which, [`Tensor::element`] says.
    pub(super) fn numbers(&self) -> Result<Vec<f64>, Error> {
        let mut data = Vec::new();
        match (self.element, self.raw) {
            (element::FLOAT, Some(raw)) => {
                data.extend(words(raw)?.iter().map(|word| f64::from(f32::from_le_bytes(*word))));
            }
            (element::DOUBLE, Some(raw)) => data.extend(words(raw)?.iter().map(|word| f64::from_le_bytes(*word))),
            (element::FLOAT, None) => {
                self.unpacked(4).try_for_each(|field| field?.floats(&mut |x| data.push(f64::from(x))))?;
            }
            (element::DOUBLE, None) => {
                self.unpacked(10).try_for_each(|field| field?.doubles(&mut |x| data.push(x)))?;
            }
            _ => return Err(self.fault("is not of floats or doubles")),
        }
        self.whole(data)
    }

    /// Whole numbers: of 64 or 32 bits, or bytes.
    pub(super) fn ints(&self) -> Result<Vec<i64>, Error> {
        let mut data = Vec::new();
        match (self.element, self.raw) {
            (element::INT64, Some(raw)) => data.extend(words(raw)?.iter().map(|word| i64::from_le_bytes(*word))),
            (element::INT32, Some(raw)) => {
                data.extend(words(raw)?.iter().map(|word| i64::from(i32::from_le_bytes(*word))));
            }
            (element::UINT8, Some(raw)) => data.extend(raw.bytes.iter().map(|byte| i64::from(*byte))),
            (element::INT64, None) => self.unpacked(7).try_for_each(|field| field?.ints(&mut |x| data.push(x)))?,
            (element::INT32 | element::UINT8, None) => {
                self.unpacked(5).try_for_each(|field| field?.ints(&mut |x| data.push(x)))?;
            }
            _ => return Err(self.fault("is not of whole numbers")),
        }
        self.whole(data)
    }
}
