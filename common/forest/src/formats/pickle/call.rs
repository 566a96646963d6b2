//! What a pickle would call: names of classes and functions, calls, new objects, and states for them. Nothing is called;
//! each result is made here by hand, or the call is only noted.

use super::joblib::Wrapper;
use super::known::Known;
use super::machine::Machine;
use super::numpy;
use super::opcode as op;
use super::value::{Bytes, Instance, Object, Value};
use crate::error::Error;

impl<'a> Machine<'a> {
    pub(super) fn global(&mut self, opcode: u8) -> Result<(), Error> {
        if opcode == op::STACK_GLOBAL {
            let (name, module) = (self.pop()?, self.pop()?);
            let (Some(module), Some(name)) = (self.arena.text(module), self.arena.text(name)) else {
                return Err(self.wrong("a global's name is no text"));
            };
            let known = Known::find(module, name, self.at)?;
            return self.push(Value::Global(known));
        }
        let (module, name) = (self.cursor.text_line()?, self.cursor.text_line()?);
        let known = Known::find(module, name, self.at)?;
        if opcode == op::INST {
            return Err(self.wrong("INST, which Python 3 does not write"));
        }
        self.push(Value::Global(known))
    }

    /// A call of a known function: the result is made here, or the call is only noted.
    pub(super) fn reduce(&mut self) -> Result<(), Error> {
        let (args, function) = (self.pop()?, self.pop()?);
        let Value::Global(function) = function else {
            return Err(self.wrong(format!("{} is called as a function", self.arena.kind(function))));
        };
        let list: Vec<Value> = match self.arena.tuple(args) {
            // no function below takes more
            Some(list) if list.len() <= 8 => list.to_vec(),
            _ => return Err(self.wrong("a function is called with no tuple of up to 8 arguments")),
        };
        let object = match function {
            Known::Reconstructor => self.reconstructor(&list)?,
            Known::Encode => self.encode(&list)?,
            Known::Dtype => Object::Dtype(numpy::make_dtype(&self.arena, &list, self.at)?),
            Known::FromBuffer => Object::Array(Box::new(numpy::array_from_buffer(&self.arena, &list, self.at)?)),
            Known::Scalar => Object::Array(Box::new(numpy::scalar(&self.arena, &list, self.at)?)),
            Known::ArrayReconstruct => match list.as_slice() {
                [Value::Global(Known::Ndarray), _, _] => instance(Known::Ndarray, args),
                _ => return Err(self.wrong("numpy's _reconstruct was asked for a subclass of its array")),
            },
            Known::ByteArray => self.byte_array(&list)?,
            Known::Tree | Known::Inert => instance(function, args),
            Known::Dict => Object::Dict(Vec::new()),
            Known::Object
            | Known::Ndarray
            | Known::ArrayWrapper
            | Known::Estimator(_)
            | Known::Part(_)
            | Known::Loss(_)
            | Known::Float64
            | Known::Float32
            | Known::LabelEncoder
            | Known::LightGbm(_)
            | Known::Xgboost(_) => {
                return Err(self.wrong("a class is called, in place of being made as Python's pickle makes it"));
            }
        };
        self.push_object(object)
    }

    /// `copyreg._reconstructor(cls, object, None)`.
    fn reconstructor(&self, args: &[Value]) -> Result<Object<'a>, Error> {
        match args {
            [Value::Global(class), Value::Global(Known::Object), Value::None] if is_plain(*class) => {
                Ok(instance(*class, Value::None))
            }
            _ => Err(self.wrong("copyreg._reconstructor was given other arguments than Python writes")),
        }
    }

    /// `bytearray(bytes)`, or `bytearray(text, 'latin-1')` in protocols below 3.
    fn byte_array(&mut self, args: &[Value]) -> Result<Object<'a>, Error> {
        match args {
            [bytes] if let Some(Object::Bytes(bytes)) = self.arena.get(*bytes) => Ok(Object::Bytes(bytes.clone())),
            _ => self.encode(args),
        }
    }

    /// `_codecs.encode(text, 'latin1')`.
    fn encode(&mut self, args: &[Value]) -> Result<Object<'a>, Error> {
        let (text, codec) = match args {
            [text, codec] => (self.arena.text(*text), self.arena.text(*codec)),
            _ => (None, None),
        };
        let (Some(text), Some("latin1" | "latin-1")) = (text, codec) else {
            return Err(self.wrong("_codecs.encode was given other arguments than Python writes"));
        };
        let length = text.len();
        let bytes: Option<Vec<u8>> = text.chars().map(|char| u8::try_from(char).ok()).collect();
        let bytes = bytes.ok_or_else(|| self.wrong("bytes were written as a text that is not Latin-1"))?;
        self.arena.charge(length, self.at)?;
        Ok(Object::Bytes(Bytes::Decoded(bytes.into())))
    }

    pub(super) fn new_object(&mut self) -> Result<(), Error> {
        let (args, class) = (self.pop()?, self.pop()?);
        match class {
            Value::Global(class) if is_plain(class) && self.arena.tuple(args).is_some_and(<[Value]>::is_empty) => {
                self.push_object(instance(class, args))
            }
            _ => Err(self.wrong("an object is made of what is no plain class, or with arguments")),
        }
    }

    pub(super) fn build(&mut self) -> Result<(), Error> {
        let state = self.pop()?;
        let target = self.top()?;
        let replacement = match self.arena.get(target) {
            Some(Object::Dtype(dtype)) => {
                Object::Dtype(std::rc::Rc::new(numpy::set_dtype_state(&self.arena, dtype, state, self.at)?))
            }
            Some(Object::Instance(instance)) if instance.class == Known::Ndarray => {
                Object::Array(Box::new(numpy::array_from_state(&mut self.arena, state, self.at)?))
            }
            Some(Object::Instance(instance)) if instance.class == Known::ArrayWrapper => return self.wrapped(state),
            Some(Object::Instance(instance)) if instance.state.is_none() => {
                Object::Instance(Box::new(Instance { class: instance.class, args: instance.args, state: Some(state) }))
            }
            _ => return Err(self.wrong(format!("{} can not take a state here", self.arena.kind(target)))),
        };
        if let Some(object) = self.arena.get_mut(target) {
            *object = replacement;
        }
        Ok(())
    }

    /// joblib's wrapper gives way to the array that stands behind it in the file.
    fn wrapped(&mut self, state: Value) -> Result<(), Error> {
        if self.outer.is_some() {
            return Err(self.wrong("joblib's array wrapper is nested in an array of objects"));
        }
        let wrapper = Wrapper::new(&self.arena, state, self.at)?;
        self.pop()?;
        if wrapper.is_nested() {
            self.outer = Some(std::mem::take(&mut self.frame));
            return Ok(());
        }
        let array = wrapper.read(&mut self.cursor)?;
        self.push_object(Object::Array(Box::new(array)))
    }

    /// The nested pickle has ended; its result takes the wrapper's place.
    pub(super) fn end_nested(&mut self, result: Value) -> Result<(), Error> {
        if self.arena.array(result).is_none() {
            return Err(self.wrong(format!("an array of objects is {}", self.arena.kind(result))));
        }
        self.push(result)
    }
}

/// Whether instances of a class are made from nothing and then given a state.
fn is_plain(class: Known) -> bool {
    matches!(
        class,
        Known::Estimator(_)
            | Known::Part(_)
            | Known::Loss(_)
            | Known::ArrayWrapper
            | Known::LabelEncoder
            | Known::LightGbm(_)
            | Known::Xgboost(_)
            | Known::Inert
    )
}

fn instance<'a>(class: Known, args: Value) -> Object<'a> {
    Object::Instance(Box::new(Instance { class, args, state: None }))
}
