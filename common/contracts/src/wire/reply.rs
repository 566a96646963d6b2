//! The reply: for each segment of the request, in its order, an answer or a refusal.

use bytes::{BufMut, Bytes, BytesMut};

use super::cursor::{Cursor, f64s, u32s};
use super::{LAYOUT, WireError};
use crate::error::ServiceError;

const MAGIC: &[u8; 2] = b"AR";
/// The least that a segment takes: a refusal without a text.
const SEGMENT_LEAST: usize = 5;

/// What one caller's rows gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Microseconds from arrival to the start of the work.
    pub queued_us: u32,
    /// Microseconds of work, of the batch that the rows were in.
    pub computed_us: u32,
    /// How many.
    pub rows: u32,
    /// Row after row, [`Reply::width`] each: of what was asked the values, the margins and the contributions.
    pub values: Vec<f64>,
    /// Row after row, [`Reply::labels`] each: of what was asked the indexes of the classes and of the leaves.
    pub labels: Vec<u32>,
}

/// A reply, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Floats a row.
    pub width: u32,
    /// Indexes a row.
    pub labels: u32,
    /// In the request's order.
    pub segments: Vec<Result<Answer, ServiceError>>,
}

/// Writes a reply.
#[derive(Debug)]
pub struct ReplyWriter {
    buffer: BytesMut,
    count_at: usize,
    segments: u32,
}

impl ReplyWriter {
    /// Begins a message; `capacity` is a guess of its bytes.
    pub fn new(width: u32, labels: u32, capacity: usize) -> Self {
        let mut buffer = BytesMut::with_capacity(capacity + 15);
        buffer.put_slice(MAGIC);
        buffer.put_u8(LAYOUT);
        buffer.put_u32_le(width);
        buffer.put_u32_le(labels);
        let count_at = buffer.len();
        buffer.put_u32_le(0);
        Self { buffer, count_at, segments: 0 }
    }

    /// Adds an answer: `values` holds `rows` times the width, `labels` `rows` times the labels a row.
    pub fn answer(&mut self, queued_us: u32, computed_us: u32, rows: u32, values: &[f64], labels: &[u32]) {
        let buffer = &mut self.buffer;
        buffer.reserve(13 + values.len() * 8 + labels.len() * 4);
        buffer.put_u8(0);
        buffer.put_u32_le(queued_us);
        buffer.put_u32_le(computed_us);
        buffer.put_u32_le(rows);
        for value in values {
            buffer.put_f64_le(*value);
        }
        for label in labels {
            buffer.put_u32_le(*label);
        }
        self.segments += 1;
    }

    /// Adds a refusal.
    pub fn refuse(&mut self, error: &ServiceError) {
        // An error of plain texts always has a JSON.
        let json = serde_json::to_vec(error).unwrap_or_default();
        self.buffer.put_u8(1);
        self.buffer.put_u32_le(json.len() as u32);
        self.buffer.put_slice(&json);
        self.segments += 1;
    }

    /// The message.
    pub fn finish(mut self) -> Bytes {
        if let Some(count) = self.buffer.get_mut(self.count_at..self.count_at + 4) {
            count.copy_from_slice(&self.segments.to_le_bytes());
        }
        self.buffer.freeze()
    }
}

impl Reply {
    /// Reads a message whole.
    pub fn read(message: &[u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor::new(message);
        cursor.start(MAGIC, &[LAYOUT])?;
        let width = cursor.u32("width")?;
        let labels = cursor.u32("labels")?;
        let count = cursor.u32("segment count")? as usize;
        if width == 0 && labels == 0 {
            return Err(cursor.illegal("width"));
        }
        if count > cursor.remaining() / SEGMENT_LEAST {
            return Err(cursor.illegal("segment count"));
        }
        let mut segments = Vec::with_capacity(count);
        for _ in 0..count {
            segments.push(match cursor.u8("status")? {
                0 => Ok(answer(&mut cursor, width, labels)?),
                1 => Err(refusal(&mut cursor)?),
                _ => return Err(cursor.illegal("status")),
            });
        }
        cursor.end()?;
        Ok(Self { width, labels, segments })
    }
}

fn answer(cursor: &mut Cursor<'_>, width: u32, labels: u32) -> Result<Answer, WireError> {
    let queued_us = cursor.u32("queued")?;
    let computed_us = cursor.u32("computed")?;
    let rows = cursor.u32("row count")?;
    let item = |n: u32, size: usize| (n as usize).checked_mul(size);
    let (Some(value_row), Some(label_row)) = (item(width, 8), item(labels, 4)) else {
        return Err(cursor.illegal("width"));
    };
    let values = f64s(cursor.block(rows as usize, value_row, "values")?).collect();
    let labels = u32s(cursor.block(rows as usize, label_row, "labels")?).collect();
    Ok(Answer { queued_us, computed_us, rows, values, labels })
}

fn refusal(cursor: &mut Cursor<'_>) -> Result<ServiceError, WireError> {
    let len = cursor.u32("error length")?;
    let json = cursor.take(len as usize, "error")?;
    serde_json::from_slice(json).map_err(|_| cursor.illegal("error"))
}
