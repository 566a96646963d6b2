//! Reads a pickle into inert values. It is a machine that knows the opcodes and a closed list of globals; it calls nothing,
//! and does not know what a model is.

mod call;
mod container;
mod joblib;
pub(crate) mod known;
mod machine;
pub(crate) mod numpy;
mod opcode;
mod scikit;
pub(crate) mod value;

use crate::error::Error;
use crate::limits::Limits;
use value::{Arena, Value};

/// A pickle that was read to its end.
#[derive(Debug)]
pub(crate) struct Pickle<'a> {
    pub(crate) arena: Arena<'a>,
    pub(crate) root: Value,
    /// Bytes of the file.
    pub(crate) size: usize,
}

impl Pickle<'_> {
    /// Of the object that the file holds.
    pub(crate) fn class(&self) -> Option<known::Known> {
        self.arena.instance(self.root).map(|instance| instance.class)
    }
}

/// # Errors
/// [`Error::Global`], [`Error::Pickle`], [`Error::Amplification`], [`Error::Limit`], [`Error::Trailing`].
pub(crate) fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Pickle<'a>, Error> {
    let (arena, root) = machine::Machine::new(bytes, limits).run()?;
    Ok(Pickle { arena, root, size: bytes.len() })
}
