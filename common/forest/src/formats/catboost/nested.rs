//! A tree of any shape (`grow_policy` Depthwise, Lossguide): nodes within nodes. What a row does not pass is left.
//! The parser bounds how deep they stand.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::json::Numbers;
use super::oblivious::number;
use super::splits::{Question, RawSplit};
use super::trees::Builder;
use crate::model::{Node, Split, TreeParts};

pub(super) struct NestedSeed<'s, 'b> {
    pub(super) builder: &'s mut Builder<'b>,
}

impl<'t> DeserializeSeed<'t> for NestedSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<(), D::Error> {
        let mut grower =
            Grower { builder: self.builder, parts: TreeParts::default(), sets: HashMap::new(), weighted: None };
        NodeSeed { grower: &mut grower }.deserialize(deserializer)?;
        let Grower { builder, mut parts, weighted, .. } = grower;
        if weighted != Some(true) {
            parts.cover = Vec::new();
        }
        parts.nodes.shrink_to_fit();
        parts.cover.shrink_to_fit();
        parts.values.shrink_to_fit();
        builder.push(parts)
    }
}

struct Grower<'s, 'b> {
    builder: &'s mut Builder<'b>,
    parts: TreeParts,
    /// Which set a category is.
    sets: HashMap<i64, u32>,
    /// Whether leaves have a weight.
    weighted: Option<bool>,
}

struct NodeSeed<'g, 's, 'b> {
    grower: &'g mut Grower<'s, 'b>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Split,
    Left,
    Right,
    Value,
    Weight,
}

/// The members of a node, whatever their order.
#[derive(Default)]
struct Members<'t> {
    split: Option<RawSplit<'t>>,
    left: Option<u32>,
    right: Option<u32>,
    value: Option<Numbers>,
    weight: Option<f64>,
}

impl<'t> DeserializeSeed<'t> for NodeSeed<'_, '_, '_> {
    type Value = u32;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'t> Visitor<'t> for NodeSeed<'_, '_, '_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<u32, A::Error> {
        let grower = self.grower;
        grower.builder.take(1, 1)?;
        let at = number(grower.parts.nodes.len())?;
        grower.parts.nodes.push(Node::Leaf(0));
        grower.parts.cover.push(0.0);
        let mut members = Members::default();
        while let Some(key) = map.next_key()? {
            let again = match key {
                Key::Split => members.split.replace(map.next_value()?).is_some(),
                Key::Left => members.left.replace(map.next_value_seed(NodeSeed { grower })?).is_some(),
                Key::Right => members.right.replace(map.next_value_seed(NodeSeed { grower })?).is_some(),
                Key::Value => members.value.replace(map.next_value()?).is_some(),
                Key::Weight => members.weight.replace(map.next_value()?).is_some(),
            };
            if again {
                return Err(A::Error::custom("a node has a member twice"));
            }
        }
        grower.close(at, members)?;
        Ok(at)
    }
}

impl Grower<'_, '_> {
    fn close<E: serde::de::Error>(&mut self, at: u32, members: Members<'_>) -> Result<(), E> {
        let (node, cover) = match members {
            Members { split: Some(split), left: Some(zero), right: Some(one), value: None, weight: None } => {
                (self.split(&split, zero, one)?, self.cover(zero) + self.cover(one))
            }
            Members { split: None, left: None, right: None, value: Some(value), weight } => {
                if *self.weighted.get_or_insert(weight.is_some()) != weight.is_some() {
                    return Err(E::custom("some leaves have a weight and some have none"));
                }
                (Node::Leaf(self.leaf(value)?), weight.unwrap_or(0.0))
            }
            _ => return Err(E::custom("a node is neither split, left and right nor value and weight")),
        };
        let at = at as usize;
        if let (Some(to), Some(slot)) = (self.parts.nodes.get_mut(at), self.parts.cover.get_mut(at)) {
            (*to, *slot) = (node, cover);
        }
        Ok(())
    }

    fn cover(&self, at: u32) -> f64 {
        self.parts.cover.get(at as usize).copied().unwrap_or(0.0)
    }

    fn split<E: serde::de::Error>(&mut self, raw: &RawSplit<'_>, zero: u32, one: u32) -> Result<Node, E> {
        let question = Question::new(raw, self.builder.features).map_err(E::custom)?;
        let sets = &mut self.parts.sets;
        let (test, zero_is_left) = question.test(|category| {
            if let Some(set) = self.sets.get(&category) {
                return Ok(*set);
            }
            let set = number(sets.len())?;
            sets.push(vec![category]);
            self.sets.insert(category, set);
            Ok(set)
        })?;
        let (left, right) = if zero_is_left { (zero, one) } else { (one, zero) };
        let Question { column, missing_left, .. } = question;
        Ok(Node::Split(Split { column, test, left, right, missing_left, zero_is_missing: false }))
    }

    fn leaf<E: serde::de::Error>(&mut self, Numbers(values): Numbers) -> Result<u32, E> {
        let margins = match self.builder.margins() {
            Some(margins) => margins,
            None => self.builder.answer::<E>(values.len())?.found(),
        };
        if values.len() != margins {
            let found = values.len();
            return Err(E::custom(format_args!("{found} values for a leaf where others have {margins}")));
        }
        let after = self.builder.answer::<E>(margins)?.margins();
        self.builder.take(0, after)?;
        let leaf = number(self.parts.values.len() / margins)?;
        self.parts.values.extend_from_slice(&values);
        Ok(leaf)
    }
}
