//! The request: written segment by segment into one buffer, read without copying rows twice.

use bytes::{BufMut, Bytes, BytesMut};

use super::cursor::{Cursor, f64s};
use super::{Asked, LAYOUT, LAYOUT_ASKING, WireError};
use crate::deadline::Deadline;
use crate::name::{ModelName, Version};
use crate::trace::TraceContext;

const MAGIC: &[u8; 2] = b"AP";
/// The least that a segment takes: its fixed fields.
const SEGMENT_FIXED: usize = 4 + 25 + 1 + 4;

/// The bytes that a segment takes.
pub fn segment_size(grant: &str, rows: usize, columns: usize) -> usize {
    SEGMENT_FIXED + grant.len().min(255) + rows * columns * 8
}

/// What all segments of a message share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchHeader {
    /// Of the model.
    pub model: ModelName,
    /// Of the version.
    pub version: Version,
    /// A row's values.
    pub columns: u32,
}

/// One caller's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// When they want no answer any more.
    pub deadline: Deadline,
    /// Their trace.
    pub trace: Option<TraceContext>,
    /// By what they may predict; at most 255 bytes.
    pub grant: Box<str>,
    /// How many.
    pub rows: u32,
    /// Row after row.
    pub values: Vec<f64>,
}

/// A request, read.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictRequest {
    /// Shared.
    pub header: BatchHeader,
    /// What all segments ask.
    pub asked: Asked,
    /// One for each caller.
    pub segments: Vec<Segment>,
}

/// Writes a request.
#[derive(Debug)]
pub struct RequestWriter {
    buffer: BytesMut,
    count_at: usize,
    segments: u32,
}

impl RequestWriter {
    /// Begins a message that asks for values and labels; `capacity` is a guess of its bytes.
    pub fn new(header: &BatchHeader, capacity: usize) -> Self {
        Self::asking(header, Asked::DEFAULT, capacity)
    }

    /// Begins a message that asks for something.
    pub fn asking(header: &BatchHeader, asked: Asked, capacity: usize) -> Self {
        let mut buffer =
            BytesMut::with_capacity(capacity + 16 + header.model.as_str().len() + header.version.as_str().len());
        buffer.put_slice(MAGIC);
        if asked == Asked::DEFAULT {
            buffer.put_u8(LAYOUT);
        } else {
            buffer.put_u8(LAYOUT_ASKING);
            buffer.put_u8(asked.bits());
        }
        put_short(&mut buffer, header.model.as_str());
        put_short(&mut buffer, header.version.as_str());
        buffer.put_u32_le(header.columns);
        let count_at = buffer.len();
        buffer.put_u32_le(0);
        Self { buffer, count_at, segments: 0 }
    }

    /// Adds one caller's rows: `values` holds `rows` times the header's columns.
    pub fn push(&mut self, deadline: Deadline, trace: Option<TraceContext>, grant: &str, rows: u32, values: &[f64]) {
        let buffer = &mut self.buffer;
        buffer.reserve(SEGMENT_FIXED + grant.len() + values.len() * 8);
        buffer.put_u32_le(deadline.remaining_ms());
        buffer.put_u128(trace.map_or(0, |t| t.trace_id));
        buffer.put_u64(trace.map_or(0, |t| t.span_id));
        buffer.put_u8(trace.map_or(0, |t| t.flags));
        put_short(buffer, grant);
        buffer.put_u32_le(rows);
        for value in values {
            buffer.put_f64_le(*value);
        }
        self.segments += 1;
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether no segment was added.
    pub fn is_empty(&self) -> bool {
        self.segments == 0
    }

    /// The message.
    pub fn finish(mut self) -> Bytes {
        if let Some(count) = self.buffer.get_mut(self.count_at..self.count_at + 4) {
            count.copy_from_slice(&self.segments.to_le_bytes());
        }
        self.buffer.freeze()
    }
}

/// A length in one byte and the text, cut at 255 bytes and at a character.
fn put_short(buffer: &mut BytesMut, text: &str) {
    let text = text.get(..text.floor_char_boundary(255)).unwrap_or_default();
    buffer.put_u8(text.len() as u8);
    buffer.put_slice(text.as_bytes());
}

impl PredictRequest {
    /// Reads a message whole. Deadlines are counted from now.
    pub fn read(message: &[u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor::new(message);
        let asked = match cursor.start(MAGIC, &[LAYOUT, LAYOUT_ASKING])? {
            LAYOUT => Asked::DEFAULT,
            _ => Asked::from_bits(cursor.u8("what is asked")?).ok_or_else(|| cursor.illegal("what is asked"))?,
        };
        let model = cursor.short_text("model")?.parse().map_err(|_| cursor.illegal("model"))?;
        let version = cursor.short_text("version")?.parse().map_err(|_| cursor.illegal("version"))?;
        let columns = cursor.u32("columns")?;
        let count = cursor.u32("segment count")? as usize;
        if columns == 0 {
            return Err(cursor.illegal("columns"));
        }
        if count > cursor.remaining() / SEGMENT_FIXED {
            return Err(cursor.illegal("segment count"));
        }
        let mut segments = Vec::with_capacity(count);
        for _ in 0..count {
            segments.push(segment(&mut cursor, columns)?);
        }
        cursor.end()?;
        Ok(Self { header: BatchHeader { model, version, columns }, asked, segments })
    }
}

fn segment(cursor: &mut Cursor<'_>, columns: u32) -> Result<Segment, WireError> {
    let deadline = Deadline::from_remaining_ms(cursor.u32("deadline")?);
    let trace_id = cursor.u128_be("trace id")?;
    let span_id = cursor.u64_be("span id")?;
    let flags = cursor.u8("trace flags")?;
    let trace = (trace_id != 0 && span_id != 0).then_some(TraceContext { trace_id, span_id, flags });
    let grant = cursor.short_text("grant")?.into();
    let rows = cursor.u32("row count")?;
    let width = (columns as usize).checked_mul(8).ok_or_else(|| cursor.illegal("columns"))?;
    let values = f64s(cursor.block(rows as usize, width, "rows")?).collect();
    Ok(Segment { deadline, trace, grant, rows, values })
}
