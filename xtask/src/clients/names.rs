//! What the generators call a model's features and classes: as the document says by `x-identifier`, where a name is no
//! identifier. openapi-generator knows one identifier for a name, wherever it stands.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::error::{Error, Result};

/// Writes the generator's configuration for a document.
pub(super) fn write(document: &Path, into: &Path) -> Result {
    let text = fs::read(document).map_err(Error::io("can not read the document"))?;
    let document = serde_json::from_slice(&text).map_err(|error| Error::Wrong(format!("the document: {error}")))?;
    let config = json!({"nameMappings": mappings(&document)?}).to_string();
    fs::write(into, config).map_err(Error::io("can not write the generator's configuration"))
}

/// By name. Where two models have two identifiers for it, it is the longer one: that of the model which has names alike.
fn mappings(document: &Value) -> Result<BTreeMap<&str, &str>> {
    let mut mappings = BTreeMap::new();
    for (_, schema) in schemas(document) {
        for (name, property) in properties(schema) {
            let Some(identifier) = property.get("x-identifier").and_then(Value::as_str) else { continue };
            let known = mappings.entry(name).or_insert(identifier);
            if known.len() < identifier.len() {
                *known = identifier;
            }
        }
    }
    for (schema, of) in schemas(document) {
        let mut seen = HashSet::new();
        let called = |name| mappings.get(name).copied().unwrap_or(name);
        if let Some((name, _)) = properties(of).find(|(name, _)| !seen.insert(called(name))) {
            let text = format!("{schema} and another model call {name:?} differently: generate their clients apart");
            return Err(Error::Wrong(text));
        }
    }
    Ok(mappings)
}

fn schemas(document: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
    schemas.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
}

fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, property)| (name.as_str(), property))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(schemas: Value) -> Value {
        json!({"components": {"schemas": schemas}})
    }

    #[test]
    fn a_name_has_the_identifier_that_tells_it_apart() {
        let one = json!({"properties": {"a-b": {"x-identifier": "a_b"}, "plain": {}}});
        let two = json!({"properties": {"a-b": {"x-identifier": "a_b_f0"}, "a_b": {"x-identifier": "a_b_f1"}}});
        let both = document(json!({"OneRow": one, "TwoRow": two, "Text": {"type": "string"}}));
        assert_eq!(mappings(&both).unwrap(), BTreeMap::from([("a-b", "a_b_f0"), ("a_b", "a_b_f1")]));
    }

    #[test]
    fn two_names_of_a_schema_are_never_called_alike() {
        let one = json!({"properties": {"a-b": {"x-identifier": "a_b"}, "a_b_f0": {}}});
        let two = json!({"properties": {"a-b": {"x-identifier": "a_b_f0"}, "a_b": {"x-identifier": "a_b_f1"}}});
        let both = document(json!({"OneRow": one, "TwoRow": two}));
        assert!(mappings(&both).unwrap_err().to_string().contains("OneRow"));
    }
}
