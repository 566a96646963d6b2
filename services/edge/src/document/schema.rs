//! Schemas of OpenAPI 3.0 as they are written: of members in their order, which is that of generated clients' arguments.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Number, Value};

/// An object's members in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Members<T>(pub(super) Vec<(String, T)>);

impl<T: Serialize> Serialize for Members<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A value of an example.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Shown {
    /// One value.
    Value(Value),
    /// An object.
    Members(Members<Shown>),
    /// A list.
    List(Vec<Shown>),
}

/// A schema; what is not said is left out.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Schema {
    /// Of a schema by name, beside which nothing stands.
    #[serde(rename = "$ref", skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) all_of: Vec<Schema>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) nullable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) minimum: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) maximum: Option<Number>,
    #[serde(rename = "enum", skip_serializing_if = "Vec::is_empty")]
    pub(super) values: Vec<Value>,
    /// What generated clients call the values.
    #[serde(rename = "x-enum-varnames", skip_serializing_if = "Vec::is_empty")]
    pub(super) value_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) items: Option<Box<Schema>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) min_items: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_items: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) required: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) properties: Option<Members<Schema>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) additional_properties: Option<Additional>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) example: Option<Shown>,
    /// What a number is measured in.
    #[serde(rename = "x-unit", skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<String>,
    /// What generated clients call the member, where that is not its name.
    #[serde(rename = "x-identifier", skip_serializing_if = "Option::is_none")]
    pub(super) identifier: Option<String>,
}

/// Members that an object has beside those that are named.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Additional {
    /// None.
    Allowed(bool),
    /// Of this kind.
    Each(Box<Schema>),
}

impl Schema {
    /// Of a type of JSON.
    pub(super) fn of(kind: &'static str) -> Self {
        Self { kind: Some(kind), ..Self::default() }
    }

    /// Any number that a 64-bit float holds.
    pub(super) fn number() -> Self {
        Self { format: Some("double"), ..Self::of("number") }
    }

    /// Of a schema by name.
    pub(super) fn named(name: &str) -> Self {
        Self { reference: Some(format!("#/components/schemas/{name}")), ..Self::default() }
    }

    /// A list.
    pub(super) fn list(of: Self) -> Self {
        Self { items: Some(Box::new(of)), ..Self::of("array") }
    }

    /// An object that has each of these members.
    pub(super) fn object(members: Vec<(String, Self)>) -> Self {
        let required = members.iter().map(|(name, _)| name.clone()).collect();
        Self { required, properties: Some(Members(members)), ..Self::of("object") }
    }

    /// With a sentence; none if it is empty.
    pub(super) fn described(self, description: String) -> Self {
        Self { description: Some(description).filter(|text| !text.is_empty()), ..self }
    }

    /// So that something may stand beside it, which it may not beside a reference.
    pub(super) fn beside_reference(self) -> Self {
        if self.reference.is_none() { self } else { Self { all_of: vec![self], ..Self::default() } }
    }

    /// With what generated clients call it, where that is not its name.
    pub(super) fn called(self, name: &str, identifier: &str) -> Self {
        Self { identifier: (name != identifier).then(|| identifier.to_owned()), ..self }
    }
}
