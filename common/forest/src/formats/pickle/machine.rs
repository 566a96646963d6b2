//! The stack machine of the pickle protocols 0 to 5, with every operation that would call something replaced by one that
//! records it. Follows CPython's `Lib/pickle.py`.

use std::borrow::Cow;

use super::opcode::{self as op, Cursor, long, raw_unicode_escape};
use super::value::{Arena, Bytes, Object, SLOT, Value};
use crate::error::Error;
use crate::limits::Limits;

/// What one pickle has of its own. joblib nests a second one within the first for an array of objects.
#[derive(Debug, Default)]
pub(super) struct Frame {
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: Vec<Value>,
}

/// One run over one file.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) arena: Arena<'a>,
    pub(super) frame: Frame,
    pub(super) outer: Option<Frame>,
    max_stack: usize,
    /// Where the opcode under way stands.
    pub(super) at: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8], limits: &Limits) -> Self {
        Self {
            cursor: Cursor::new(bytes),
            arena: Arena::new(bytes.len(), limits),
            frame: Frame::default(),
            outer: None,
            max_stack: limits.max_pickle_stack,
            at: 0,
        }
    }

    /// To the last `STOP`, which must end the file.
    pub(super) fn run(mut self) -> Result<(Arena<'a>, Value), Error> {
        loop {
            self.at = self.cursor.offset();
            let opcode = self.cursor.u8("an opcode")?;
            if opcode != op::STOP {
                self.step(opcode)?;
                continue;
            }
            let result = self.pop()?;
            if !self.frame.stack.is_empty() || !self.frame.marks.is_empty() {
                return Err(self.wrong("values are left on the stack at the end"));
            }
            match self.outer.take() {
                Some(outer) => {
                    self.frame = outer;
                    self.end_nested(result)?;
                }
                None if self.cursor.remaining() > 0 => {
                    let (offset, count) = (self.cursor.offset(), self.cursor.remaining());
                    return Err(Error::Trailing { of: "pickle", offset, count });
                }
                None => return Ok((self.arena, result)),
            }
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), Error> {
        match opcode {
            op::PROTO => match self.cursor.u8("a protocol")? {
                0..=5 => Ok(()),
                protocol => Err(self.wrong(format!("protocol {protocol} is not known; 5 is the newest"))),
            },
            op::FRAME => {
                let length = self.cursor.u64()?;
                let fits = usize::try_from(length).is_ok_and(|length| length <= self.cursor.remaining());
                if fits { Ok(()) } else { Err(self.wrong("a frame ends after the file; it is cut off")) }
            }
            op::NONE => self.push(Value::None),
            op::NEWTRUE => self.push(Value::Bool(true)),
            op::NEWFALSE => self.push(Value::Bool(false)),
            op::INT | op::LONG | op::BININT | op::BININT1 | op::BININT2 | op::LONG1 | op::LONG4 => self.int(opcode),
            op::FLOAT => {
                let float = self.cursor.number_line("")?;
                self.push(Value::Float(float))
            }
            op::BINFLOAT => {
                let float = self.cursor.f64_be()?;
                self.push(Value::Float(float))
            }
            op::UNICODE => {
                let text = raw_unicode_escape(self.cursor.line()?, self.at)?;
                self.push_object(Object::Text(text))
            }
            op::SHORT_BINUNICODE | op::BINUNICODE | op::BINUNICODE8 => {
                let text = self.cursor.counted_text(width(opcode))?;
                self.push_object(Object::Text(Cow::Borrowed(text)))
            }
            op::SHORT_BINBYTES | op::BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => {
                let bytes = self.cursor.counted(width(opcode), "bytes")?;
                self.push_object(Object::Bytes(Bytes::File(bytes)))
            }
            op::POP | op::POP_MARK | op::DUP | op::MARK => self.shuffle(opcode),
            op::GET | op::BINGET | op::LONG_BINGET | op::PUT | op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => {
                self.memo(opcode)
            }
            op::GLOBAL | op::STACK_GLOBAL | op::INST => self.global(opcode),
            op::REDUCE => self.reduce(),
            op::NEWOBJ => self.new_object(),
            op::BUILD => self.build(),
            _ => self.container(opcode),
        }
    }

    pub(super) fn wrong(&self, message: impl Into<String>) -> Error {
        Error::pickle(self.at, message)
    }

    pub(super) fn push(&mut self, value: Value) -> Result<(), Error> {
        if self.frame.stack.len() >= self.max_stack {
            return Err(Error::limit("values on a pickle's stack", self.max_stack));
        }
        self.frame.stack.push(value);
        Ok(())
    }

    pub(super) fn push_object(&mut self, object: Object<'a>) -> Result<(), Error> {
        let value = self.arena.add(self.at, object)?;
        self.push(value)
    }

    /// The last value since the last mark.
    pub(super) fn pop(&mut self) -> Result<Value, Error> {
        let floor = self.frame.marks.last().copied().unwrap_or(0);
        let value = if self.frame.stack.len() > floor { self.frame.stack.pop() } else { None };
        value.ok_or_else(|| self.wrong("nothing is on the stack"))
    }

    pub(super) fn top(&self) -> Result<Value, Error> {
        let floor = self.frame.marks.last().copied().unwrap_or(0);
        let value = if self.frame.stack.len() > floor { self.frame.stack.last().copied() } else { None };
        value.ok_or_else(|| self.wrong("nothing is on the stack"))
    }

    /// All values since the last mark, which goes too.
    pub(super) fn pop_mark(&mut self) -> Result<Vec<Value>, Error> {
        let mark = self.frame.marks.pop().ok_or_else(|| self.wrong("no mark is on the stack"))?;
        Ok(self.frame.stack.split_off(mark.min(self.frame.stack.len())))
    }

    fn int(&mut self, opcode: u8) -> Result<(), Error> {
        let value = match opcode {
            op::BININT => i64::from(self.cursor.i32()?),
            op::BININT1 => i64::from(self.cursor.u8("a number")?),
            op::BININT2 => i64::from(self.cursor.u16()?),
            op::LONG => self.cursor.number_line("L")?,
            op::INT => match self.cursor.text_line()? {
                "00" => return self.push(Value::Bool(false)),
                "01" => return self.push(Value::Bool(true)),
                digits => digits.parse().map_err(|_| self.wrong("a number is none, or needs more than 64 bits"))?,
            },
            _ => {
                let bytes = self.cursor.counted(if opcode == op::LONG1 { 1 } else { 4 }, "a number")?;
                match long(bytes) {
                    Some(value) => value,
                    None => return self.push_object(Object::BigInt),
                }
            }
        };
        self.push(Value::Int(value))
    }

    fn shuffle(&mut self, opcode: u8) -> Result<(), Error> {
        match opcode {
            op::MARK => {
                if self.frame.marks.len() >= self.max_stack {
                    return Err(Error::limit("marks on a pickle's stack", self.max_stack));
                }
                self.frame.marks.push(self.frame.stack.len());
                Ok(())
            }
            op::DUP => {
                let value = self.top()?;
                self.push(value)
            }
            op::POP if self.frame.marks.last() != Some(&self.frame.stack.len()) => self.pop().map(drop),
            _ => self.pop_mark().map(drop),
        }
    }

    /// Numbers of memo entries run from 0 without gaps, as every pickler writes them.
    fn memo(&mut self, opcode: u8) -> Result<(), Error> {
        let next = self.frame.memo.len();
        let index = match opcode {
            op::GET | op::PUT => self.cursor.number_line::<usize>("")?,
            op::BINGET | op::BINPUT => usize::from(self.cursor.u8("a memo number")?),
            op::LONG_BINGET | op::LONG_BINPUT => usize::try_from(self.cursor.u32()?).unwrap_or(usize::MAX),
            _ => next,
        };
        if matches!(opcode, op::GET | op::BINGET | op::LONG_BINGET) {
            let value = self.frame.memo.get(index).copied();
            let value = value.ok_or_else(|| self.wrong(format!("memo {index} was never put")))?;
            return self.push(value);
        }
        let value = self.top()?;
        if index == next {
            self.arena.charge(SLOT, self.at)?;
            self.frame.memo.push(value);
            return Ok(());
        }
        match self.frame.memo.get_mut(index) {
            Some(entry) => *entry = value,
            None => return Err(self.wrong(format!("memo {index} comes where {next} would be next"))),
        }
        Ok(())
    }
}

/// How wide the length is that stands before a text or bytes.
fn width(opcode: u8) -> usize {
    match opcode {
        op::SHORT_BINUNICODE | op::SHORT_BINBYTES => 1,
        op::BINUNICODE | op::BINBYTES => 4,
        _ => 8,
    }
}
