//! Attributes of a node by name, and that there are no others.

use super::proto::{Attribute, Node};
use super::tensor::Tensor;
use super::wire::Bytes;
use crate::error::{Error, quote};
use crate::limits::Limits;

impl<'b> Node<'b> {
    /// Refuses attributes other than these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Error> {
        match self.attributes.iter().find(|attribute| !known.contains(&attribute.name)) {
            None => Ok(()),
            Some(other) => Err(self.fault(format!("has an attribute `{}`, not known here", quote(other.name)))),
        }
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute<'b>> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// Calls with each whole number.
    pub(super) fn each_int(&self, name: &str, mut each: impl FnMut(i64)) -> Result<(), Error> {
        let Some(attribute) = self.attribute(name) else { return Ok(()) };
        attribute.of(8).try_for_each(|field| field?.ints(&mut each))
    }

    /// Empty if it is absent.
    pub(super) fn ints(&self, name: &str) -> Result<Vec<i64>, Error> {
        let mut count = 0;
        self.each_int(name, |_| count += 1)?;
        let mut ints = Vec::with_capacity(count);
        self.each_int(name, |int| ints.push(int))?;
        Ok(ints)
    }

    /// Calls with each float.
    fn each_float(&self, name: &str, mut each: impl FnMut(f32)) -> Result<(), Error> {
        let Some(attribute) = self.attribute(name) else { return Ok(()) };
        attribute.of(7).try_for_each(|field| field?.floats(&mut each))
    }

    /// Widened; empty if it is absent.
    pub(super) fn floats(&self, name: &str) -> Result<Vec<f64>, Error> {
        let mut count = 0;
        self.each_float(name, |_| count += 1)?;
        let mut floats = Vec::with_capacity(count);
        self.each_float(name, |float| floats.push(f64::from(float)))?;
        Ok(floats)
    }

    /// None if it is absent.
    pub(super) fn strings(&self, name: &str) -> impl Iterator<Item = Result<Bytes<'b>, Error>> {
        self.attribute(name).copied().into_iter().flat_map(|attribute| attribute.of(9)).map(|field| field?.bytes())
    }

    pub(super) fn int(&self, name: &str) -> Result<Option<i64>, Error> {
        self.attribute(name).map(|attribute| attribute.one(3)?.int()).transpose()
    }

    pub(super) fn float(&self, name: &str) -> Result<Option<f32>, Error> {
        self.attribute(name).map(|attribute| attribute.one(2)?.float()).transpose()
    }

    pub(super) fn text(&self, name: &str, limits: &Limits) -> Result<Option<&'b str>, Error> {
        self.attribute(name).map(|attribute| attribute.one(4)?.bytes()?.text(limits.max_text)).transpose()
    }

    pub(super) fn tensor(&self, name: &str, limits: &Limits) -> Result<Option<Tensor<'b>>, Error> {
        self.attribute(name).map(|attribute| Tensor::read(attribute.one(5)?.bytes()?, limits)).transpose()
    }
}
