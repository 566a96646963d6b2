//! Texts and labels out of numpy arrays: `feature_names_in_` and `classes_`.

use super::attributes::Reader;
use crate::error::Error;
use crate::formats::pickle::numpy::{Array, Data, Kind};
use crate::formats::pickle::value::Value;
use crate::model::Label;

/// Where an array stands, for errors.
pub(in crate::formats) struct Place<'t> {
    pub(in crate::formats) path: &'t str,
    pub(in crate::formats) value: Value,
}

impl Reader<'_> {
    fn fault(&self, place: &Place<'_>, message: impl Into<String>) -> Error {
        Error::content(place.path, self.arena.offset(place.value), message)
    }

    /// The length of a vector, within `most`.
    fn length(&self, place: &Place<'_>, array: &Array<'_>, what: &'static str, most: usize) -> Result<usize, Error> {
        match array.shape.as_slice() {
            [length] if *length <= most => Ok(*length),
            [_] => Err(Error::limit(what, most)),
            shape => Err(self.fault(place, format!("has shape {shape:?} where a vector was expected"))),
        }
    }

    /// An array of texts, as objects or of fixed width.
    pub(in crate::formats) fn names(&mut self, place: &Place<'_>, array: &Array<'_>) -> Result<Vec<String>, Error> {
        self.length(place, array, "features", self.limits.max_features)?;
        let labels = self.vector(place, array)?;
        let name = |label| match label {
            Label::Text(text) => Ok(text),
            _ => Err(self.fault(place, "has a name that is no str")),
        };
        labels.into_iter().map(name).collect()
    }

    /// The classes of one output.
    pub(in crate::formats) fn labels(&mut self, place: &Place<'_>, array: &Array<'_>) -> Result<Vec<Label>, Error> {
        self.length(place, array, "classes", self.limits.max_classes)?;
        self.vector(place, array)
    }

    fn vector(&mut self, place: &Place<'_>, array: &Array<'_>) -> Result<Vec<Label>, Error> {
        self.claim(place.value, place.path)?;
        if let Data::Objects(values) = &array.data {
            return values.iter().map(|value| self.label(place, *value)).collect();
        }
        let dtype = &array.dtype;
        if dtype.kind == Kind::Text && dtype.size / 4 > self.limits.max_text {
            return Err(Error::limit("bytes of a name or label", self.limits.max_text));
        }
        let unlike = |this: &Self| this.fault(place, format!("has dtype {}, which no label has", dtype.name()));
        let elements = array.elements().ok_or_else(|| unlike(self))?;
        self.spend(elements.len().saturating_mul(dtype.size), place.path)?;
        let label = |element: &[u8]| match dtype.kind {
            Kind::Bool => dtype.bool(element).map(Label::Bool),
            Kind::Int | Kind::Uint => dtype.int(element).map(Label::Int),
            Kind::Float => dtype.float(element).map(Label::Float),
            Kind::Text => dtype.text(element).map(Label::Text),
            Kind::Opaque | Kind::Object | Kind::Record(_) => None,
        };
        elements.map(label).collect::<Option<Vec<_>>>().ok_or_else(|| unlike(self))
    }

    fn label(&mut self, place: &Place<'_>, value: Value) -> Result<Label, Error> {
        match value {
            Value::Bool(bool) => return Ok(Label::Bool(bool)),
            Value::Int(int) => return Ok(Label::Int(int)),
            Value::Float(float) => return Ok(Label::Float(float)),
            _ => {}
        }
        if let Some(int) = self.arena.int(value) {
            return Ok(Label::Int(int));
        }
        let Some(text) = self.arena.text(value) else {
            return Err(self.fault(place, format!("has {} as a label", self.arena.kind(value))));
        };
        if text.len() > self.limits.max_text {
            return Err(Error::limit("bytes of a name or label", self.limits.max_text));
        }
        self.spend(text.len(), place.path)?;
        Ok(Label::Text(text.to_owned()))
    }
}
