//! The document with the models in it: what is fixed, and between its members what is said of each model.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::names::{Name, folded, identifiers};
use super::schema::{Members, Schema};
use super::typed::{Called, TAG, of};
use crate::models::catalog::Served;
use crate::operations::OPERATIONS;

/// Features and classes of all models that are told, at most: a document is read whole.
const MOST_TOLD: usize = 100_000;

/// Where the members begin that models add to, in the document's text. A line break is never within a text of JSON, so that
/// each is there once.
const TAGS: &str = "\n  \"tags\": [";
const PATHS: &str = "\n  \"paths\": {";
const SCHEMAS: &str = "\n    \"schemas\": {";

/// The document of no model, and what is known of it.
pub(super) struct Fixed {
    text: String,
    /// What is called in it, folded.
    taken: HashSet<String>,
    /// Of an operation that predicts.
    refusals: Map<String, Value>,
    most_rows: u32,
}

impl Fixed {
    /// Of its text; `refusals` are the statuses of an operation that predicts with their descriptions.
    pub(super) fn new(text: String, refusals: impl Iterator<Item = (u16, &'static str)>, most_rows: u32) -> Self {
        let document: Value = serde_json::from_str(&text).unwrap_or_default();
        let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
        let schemas = schemas.into_iter().flat_map(|schemas| schemas.keys()).map(String::as_str);
        let taken = OPERATIONS.iter().map(|operation| operation.id).chain(schemas).map(folded).collect();
        let refusal = |description| {
            let content = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
            json!({"description": description, "content": content})
        };
        let refusals = refusals.map(|(status, description)| (status.to_string(), refusal(description)));
        Self { refusals: refusals.collect(), text, taken, most_rows }
    }

    /// Its text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The text with an operation for each form of rows of each model, by the version that is told of it.
    pub(super) fn with(&self, models: &[Arc<Served>]) -> String {
        let told = told(models);
        let mut untold = models.len() - told;
        // Also those that are not told keep the names of the others as they are.
        let names: Vec<Name> = models.iter().map(|served| Name::of_model(served.manifest.model.as_str())).collect();
        let called = |place: usize, identifier: &str| {
            models.get(place).map(|served| Called::after(identifier, &served.manifest).all()).unwrap_or_default()
        };
        let identifiers = identifiers(&names, called, &self.taken);
        let (mut paths, mut schemas, mut known) = (Vec::new(), Vec::new(), HashSet::new());
        for (served, identifier) in models.iter().zip(&identifiers).take(told) {
            let typed = of(served, &Called::after(identifier, &served.manifest), self.most_rows, &self.refusals);
            // Names that stay alike whatever stands behind them would have to be sought out.
            if !typed.schemas.iter().all(|(name, _)| known.insert(folded(name))) {
                untold += 1;
                continue;
            }
            paths.extend(typed.paths);
            schemas.extend(typed.schemas);
        }
        self.spliced(untold, paths, schemas)
    }

    fn spliced(&self, untold: usize, paths: Vec<(String, Value)>, schemas: Vec<(String, Schema)>) -> String {
        if paths.is_empty() {
            return self.text.clone();
        }
        let more = match untold {
            0 => String::new(),
            untold => format!(
                " {untold} models more are left out: there would be too much in one document, or too many names alike."
            ),
        };
        let tag =
            json!({"name": TAG, "description": format!("Each model that is deployed, with its own types.{more}")});
        let mut text = self.text.clone();
        for (at, written) in [(TAGS, tag.to_string()), (PATHS, within(paths)), (SCHEMAS, within(schemas))] {
            if let Some(begin) = text.find(at) {
                text.insert_str(begin + at.len(), &format!("\n{written},"));
            }
        }
        text
    }
}

/// How many of the models are told: those before the first that is too much.
fn told(models: &[Arc<Served>]) -> usize {
    let mut all: usize = 0;
    let size = |served: &Arc<Served>| {
        let manifest = &served.manifest;
        let categories: usize = manifest.features.iter().map(|feature| 1 + feature.categories.len()).sum();
        categories + manifest.classes.iter().map(Vec::len).sum::<usize>()
    };
    models
        .iter()
        .take_while(|served| {
            all = all.saturating_add(size(served));
            all <= MOST_TOLD
        })
        .count()
}

/// An object's members without its braces.
fn within<T: Serialize>(members: Vec<(String, T)>) -> String {
    // Names, numbers and texts always have a JSON.
    let json = serde_json::to_string(&Members(members)).unwrap_or_default();
    json.trim_start_matches('{').strip_suffix('}').unwrap_or_default().to_owned()
}
