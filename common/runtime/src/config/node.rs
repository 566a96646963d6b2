//! The tree in which the layers of a configuration are merged: TOML values, each with its origin, and the texts of
//! variables and flags, whose type is decided by who reads them.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Origin, Problem};

// no Debug: the tree holds secrets
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) node: Node,
    pub(super) origin: Origin,
}

#[derive(Clone)]
pub(super) enum Node {
    Table(BTreeMap<String, Entry>),
    Array(Vec<Entry>),
    Bool(bool),
    Integer(i64),
    Float(f64),
    String(String),
    /// From a variable or a flag.
    Text(String),
}

impl Entry {
    /// Lays `over` on this: tables, also those written in a text, are merged key by key; all else is replaced.
    pub(super) fn merge(&mut self, over: Self) {
        let over = match over {
            Self { node: Node::Text(text), origin } if matches!(self.node, Node::Table(_)) => {
                inline(&text, &origin).unwrap_or(Self { node: Node::Text(text), origin })
            }
            other => other,
        };
        if let (Node::Text(text), Node::Table(_)) = (&self.node, &over.node)
            && let Some(table) = inline(text, &self.origin)
        {
            *self = table;
        }
        match (&mut self.node, over) {
            (Node::Table(base), Self { node: Node::Table(entries), origin }) => {
                for (key, entry) in entries {
                    match base.get_mut(&key) {
                        Some(below) => below.merge(entry),
                        None => drop(base.insert(key, entry)),
                    }
                }
                if self.origin == Origin::Default {
                    self.origin = origin;
                }
            }
            (_, over) => *self = over,
        }
    }

    /// Sets a text at a path, making the tables that lead to it.
    pub(super) fn set(&mut self, path: &[String], text: String, origin: Origin) {
        let leaf = Self { node: Node::Text(text), origin: origin.clone() };
        let over = path.iter().rev().fold(leaf, |inner, key| Self {
            node: Node::Table(BTreeMap::from([(key.clone(), inner)])),
            origin: origin.clone(),
        });
        self.merge(over);
    }

    /// The deepest entry on the path.
    pub(super) fn nearest(&self, path: &[String]) -> &Self {
        let below = match (&self.node, path.split_first()) {
            (Node::Table(table), Some((key, rest))) => table.get(key).map(|entry| (entry, rest)),
            (Node::Array(items), Some((index, rest))) => {
                index.parse().ok().and_then(|index: usize| items.get(index)).map(|entry| (entry, rest))
            }
            _ => None,
        };
        below.map_or(self, |(entry, rest)| entry.nearest(rest))
    }

    /// Replaces the deepest key of the path that exists by what `other` has there, or removes it. False if the path
    /// leads nowhere.
    pub(super) fn restore(&mut self, path: &[String], other: Option<&Self>) -> bool {
        let (Node::Table(table), Some((key, rest))) = (&mut self.node, path.split_first()) else { return false };
        let below = match other.map(|entry| &entry.node) {
            Some(Node::Table(other)) => other.get(key),
            _ => None,
        };
        let Some(entry) = table.get_mut(key) else { return false };
        if entry.restore(rest, below) {
            return true;
        }
        match below {
            Some(below) if entry.origin != Origin::Default => *entry = below.clone(),
            _ => drop(table.remove(key)),
        }
        true
    }
}

/// Reads a TOML document. A syntax error tells its line and never repeats the text, which may be a secret.
pub(super) fn parse(text: &str, file: Option<&Path>) -> Result<Entry, Vec<Problem>> {
    let lines = Lines { text, file };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<Problem> = errors
        .iter()
        .map(|error| Problem {
            key: String::new(),
            origin: lines.origin(error.span().map_or(0, |span| span.start)),
            message: error.message().replace('\n', ", "),
        })
        .collect();
    let entry = lines.table(table.into_inner(), lines.origin(0), &mut problems);
    if problems.is_empty() { Ok(entry) } else { Err(problems) }
}

/// The text of a variable or flag read as a TOML value, if it is one.
pub(super) fn value(text: &str, origin: &Origin) -> Option<Entry> {
    let value = DeValue::parse(text).ok()?.into_inner();
    let mut problems = Vec::new();
    let mut entry = Lines { text, file: None }.value(value, origin.clone(), &mut problems);
    entry.own(origin);
    problems.is_empty().then_some(entry)
}

fn inline(text: &str, origin: &Origin) -> Option<Entry> {
    value(text, origin).filter(|entry| matches!(entry.node, Node::Table(_)))
}

impl Entry {
    fn own(&mut self, origin: &Origin) {
        self.origin = origin.clone();
        match &mut self.node {
            Node::Table(table) => table.values_mut().for_each(|entry| entry.own(origin)),
            Node::Array(items) => items.iter_mut().for_each(|entry| entry.own(origin)),
            _ => {}
        }
    }
}

struct Lines<'a> {
    text: &'a str,
    file: Option<&'a Path>,
}

impl Lines<'_> {
    fn origin(&self, offset: usize) -> Origin {
        let Some(file) = self.file else { return Origin::Default };
        let line = self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        Origin::File { path: file.to_owned(), line: Some(line) }
    }

    fn table(&self, table: DeTable<'_>, origin: Origin, problems: &mut Vec<Problem>) -> Entry {
        let entries = table
            .into_iter()
            .map(|(key, value)| {
                let origin = self.origin(key.span().start);
                (key.into_inner().into_owned(), self.value(value.into_inner(), origin, problems))
            })
            .collect();
        Entry { node: Node::Table(entries), origin }
    }

    fn value(&self, value: DeValue<'_>, origin: Origin, problems: &mut Vec<Problem>) -> Entry {
        let node = match value {
            DeValue::Table(table) => return self.table(table, origin, problems),
            DeValue::Array(items) => Node::Array(self.items(items.into_iter(), &origin, problems)),
            DeValue::Boolean(value) => Node::Bool(value),
            DeValue::String(value) => Node::String(value.into_owned()),
            DeValue::Datetime(value) => Node::String(value.to_string()),
            DeValue::Float(value) => Node::Float(value.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Integer(value) => match i64::from_str_radix(value.as_str(), value.radix()) {
                Ok(value) => Node::Integer(value),
                Err(_) => {
                    let message = "an integer of more than 64 bits".to_owned();
                    problems.push(Problem { key: String::new(), origin: origin.clone(), message });
                    Node::Integer(0)
                }
            },
        };
        Entry { node, origin }
    }

    fn items<'i>(
        &self,
        items: impl Iterator<Item = Spanned<DeValue<'i>>>,
        origin: &Origin,
        problems: &mut Vec<Problem>,
    ) -> Vec<Entry> {
        items
            .map(|item| {
                let origin = if self.file.is_some() { self.origin(item.span().start) } else { origin.clone() };
                self.value(item.into_inner(), origin, problems)
            })
            .collect()
    }
}
