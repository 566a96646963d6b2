//! Tuples, lists, dicts and sets of a pickle.

use super::machine::Machine;
use super::opcode::{self as op, refused};
use super::value::{Object, SLOT, Value};
use crate::error::Error;

impl Machine<'_> {
    pub(super) fn container(&mut self, opcode: u8) -> Result<(), Error> {
        match opcode {
            op::EMPTY_TUPLE => self.push_object(Object::Tuple(Box::default())),
            op::EMPTY_LIST => self.push_object(Object::List(Vec::new())),
            op::EMPTY_DICT => self.push_object(Object::Dict(Vec::new())),
            op::EMPTY_SET => self.push_object(Object::Set),
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                let mut values: Vec<Value> = Vec::with_capacity(3);
                for _ in op::TUPLE1..=opcode {
                    values.push(self.pop()?);
                }
                values.reverse();
                self.push_object(Object::Tuple(values.into()))
            }
            op::TUPLE => {
                let values = self.pop_mark()?;
                self.push_object(Object::Tuple(values.into()))
            }
            op::LIST => {
                let values = self.pop_mark()?;
                self.push_object(Object::List(Vec::new()))?;
                self.extend(values)
            }
            op::DICT => {
                let values = self.pop_mark()?;
                self.push_object(Object::Dict(Vec::new()))?;
                self.set_items(&values)
            }
            op::FROZENSET => {
                self.pop_mark()?;
                self.push_object(Object::Set)
            }
            op::APPEND => {
                let value = self.pop()?;
                self.extend(vec![value])
            }
            op::APPENDS => {
                let values = self.pop_mark()?;
                self.extend(values)
            }
            op::SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])
            }
            op::SETITEMS => {
                let values = self.pop_mark()?;
                self.set_items(&values)
            }
            op::ADDITEMS => {
                self.pop_mark()?;
                match self.arena.get(self.top()?) {
                    Some(Object::Set) => Ok(()),
                    _ => Err(self.wrong("items are added to what is no set")),
                }
            }
            _ => Err(self.wrong(format!("opcode 0x{opcode:02x}: {}", refused(opcode)))),
        }
    }

    /// Appends to the list on the stack.
    fn extend(&mut self, values: Vec<Value>) -> Result<(), Error> {
        self.arena.charge(values.len().saturating_mul(SLOT), self.at)?;
        let target = self.top()?;
        match self.arena.get_mut(target) {
            Some(Object::List(list)) => list.extend(values),
            _ => return Err(self.wrong(format!("{} is appended to", self.arena.kind(target)))),
        }
        Ok(())
    }

    /// Sets keys and values, alternating, in the dict on the stack.
    fn set_items(&mut self, values: &[Value]) -> Result<(), Error> {
        self.arena.charge(values.len().saturating_mul(SLOT), self.at)?;
        let (pairs, []) = values.as_chunks::<2>() else {
            return Err(self.wrong("a key of a dict has no value"));
        };
        let target = self.top()?;
        match self.arena.get_mut(target) {
            Some(Object::Dict(entries)) => entries.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            _ => return Err(self.wrong(format!("{} is given items", self.arena.kind(target)))),
        }
        Ok(())
    }
}
