//! The numbers of a tensor, from and to bytes.

use std::borrow::Cow;

use safetensors::{Dtype, View};

use super::TENSORS;
use crate::error::Error;

/// The types that may stand for a tensor.
pub(super) fn types(name: &str) -> Option<(&'static str, &'static [Dtype])> {
    TENSORS.iter().find(|(known, _)| *known == name).copied()
}

/// Bytes of a number of one of the types in [`TENSORS`].
pub(super) fn width(dtype: Dtype) -> usize {
    match dtype {
        Dtype::U8 => 1,
        Dtype::U16 => 2,
        Dtype::U32 | Dtype::F32 => 4,
        _ => 8,
    }
}

/// What is left of a tensor. Numbers are taken from its front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tensor<'a> {
    pub(super) name: &'static str,
    pub(super) dtype: Dtype,
    pub(super) rest: &'a [u8],
}

impl<'a> Tensor<'a> {
    pub(super) fn len(&self) -> usize {
        self.rest.len() / width(self.dtype)
    }

    pub(super) fn error(&self, message: impl Into<String>) -> Error {
        Error::content(format!("tensor `{}`", self.name), None, message)
    }

    /// The next numbers, as they are in the file.
    pub(super) fn take(&mut self, count: usize, tree: usize) -> Result<Self, Error> {
        let bytes = count.checked_mul(width(self.dtype));
        let Some((part, rest)) = bytes.and_then(|bytes| self.rest.split_at_checked(bytes)) else {
            return Err(self.error(format!("ends within tree {tree}, which needs {count} and finds {}", self.len())));
        };
        self.rest = rest;
        Ok(Self { rest: part, ..*self })
    }

    /// In place of what `out` holds.
    pub(super) fn ints(&self, out: &mut Vec<u32>) {
        out.clear();
        match self.dtype {
            Dtype::U8 => out.extend(self.rest.iter().map(|byte| u32::from(*byte))),
            Dtype::U16 => out.extend(self.words().iter().map(|word| u32::from(u16::from_le_bytes(*word)))),
            _ => out.extend(self.words().iter().map(|word| u32::from_le_bytes(*word))),
        }
    }

    pub(super) fn longs(&self) -> Vec<i64> {
        match self.dtype {
            Dtype::U8 => self.rest.iter().map(|byte| i64::from(*byte)).collect(),
            Dtype::U16 => self.words().iter().map(|word| i64::from(u16::from_le_bytes(*word))).collect(),
            Dtype::U32 => self.words().iter().map(|word| i64::from(u32::from_le_bytes(*word))).collect(),
            _ => self.words().iter().map(|word| i64::from_le_bytes(*word)).collect(),
        }
    }

    /// In place of what `out` holds.
    pub(super) fn floats(&self, out: &mut Vec<f64>) {
        out.clear();
        match self.dtype {
            Dtype::U16 => out.extend(self.words().iter().map(|word| f64::from(u16::from_le_bytes(*word)))),
            Dtype::U32 => out.extend(self.words().iter().map(|word| f64::from(u32::from_le_bytes(*word)))),
            Dtype::F32 => out.extend(self.words().iter().map(|word| f64::from(f32::from_le_bytes(*word)))),
            _ => out.extend(self.words().iter().map(|word| f64::from_le_bytes(*word))),
        }
    }

    fn words<const N: usize>(&self) -> &'a [[u8; N]] {
        self.rest.as_chunks().0
    }
}

/// A tensor to be written.
pub(super) struct Written {
    pub(super) dtype: Dtype,
    pub(super) shape: [usize; 1],
    pub(super) data: Vec<u8>,
}

impl View for Written {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}

/// Numbers, in the first of these types that holds all of them exactly.
pub(super) fn written<T: Number>(numbers: &[T], types: &[Dtype]) -> Written {
    let widest = types.last().copied().unwrap_or(Dtype::F64);
    let dtype = types.iter().copied().find(|dtype| numbers.iter().all(|number| number.fits(*dtype))).unwrap_or(widest);
    let mut data = Vec::with_capacity(numbers.len() * width(dtype));
    numbers.iter().for_each(|number| number.put(dtype, &mut data));
    Written { dtype, shape: [numbers.len()], data }
}

/// What a tensor is made of.
pub(super) trait Number {
    fn fits(&self, dtype: Dtype) -> bool;
    /// Only for a type that it fits.
    fn put(&self, dtype: Dtype, data: &mut Vec<u8>);
}

impl Number for i64 {
    fn fits(&self, dtype: Dtype) -> bool {
        match dtype {
            Dtype::U8 => u8::try_from(*self).is_ok(),
            Dtype::U16 => u16::try_from(*self).is_ok(),
            Dtype::U32 => u32::try_from(*self).is_ok(),
            _ => true,
        }
    }

    fn put(&self, dtype: Dtype, data: &mut Vec<u8>) {
        // little-endian: what fits is the first bytes
        data.extend(self.to_le_bytes().iter().take(width(dtype)));
    }
}

impl Number for u32 {
    fn fits(&self, dtype: Dtype) -> bool {
        i64::from(*self).fits(dtype)
    }

    fn put(&self, dtype: Dtype, data: &mut Vec<u8>) {
        i64::from(*self).put(dtype, data);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what does not come back does not fit")]
impl Number for f64 {
    fn fits(&self, dtype: Dtype) -> bool {
        let back = match dtype {
            Dtype::U16 => f64::from(*self as u16),
            Dtype::U32 => f64::from(*self as u32),
            Dtype::F32 => f64::from(*self as f32),
            _ => *self,
        };
        back.to_bits() == self.to_bits()
    }

    fn put(&self, dtype: Dtype, data: &mut Vec<u8>) {
        match dtype {
            Dtype::U16 => data.extend((*self as u16).to_le_bytes()),
            Dtype::U32 => data.extend((*self as u32).to_le_bytes()),
            Dtype::F32 => data.extend((*self as f32).to_le_bytes()),
            _ => data.extend(self.to_le_bytes()),
        }
    }
}
