//! Merges the layers and reads the value, going on after a fault so that all of them are told at once.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::de::{Fault, list};
use super::error::{ConfigError, Origin, Problem};
use super::node::{self, Entry};

/// What a variable's name must begin with.
const PREFIX: &str = "ARBORGATE__";
const FILE_LIMIT: u64 = 1024 * 1024;
const DEPTH_LIMIT: usize = 16;
const PROBLEM_LIMIT: usize = 64;

/// The configuration variables of this process.
///
/// # Errors
/// One whose value is not UTF-8.
pub fn process_env() -> Result<Vec<(String, String)>, ConfigError> {
    let mut variables = Vec::new();
    let mut problems = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        match value.into_string() {
            Ok(value) => variables.push((name.to_owned(), value)),
            Err(_) => problems.push(Problem {
                key: String::new(),
                origin: Origin::Env(name.to_owned()),
                message: "the value is not UTF-8".to_owned(),
            }),
        }
    }
    if problems.is_empty() { Ok(variables) } else { Err(ConfigError { problems }) }
}

/// Reads `T` from `defaults_toml`, then `user_file`, then those of `env` that are configuration, then `overrides`
/// (dotted keys), each layer over the one before. `T` and what it holds should deny unknown fields.
///
/// # Errors
/// Every fault that was found, at most 64.
pub fn load<T: DeserializeOwned>(
    defaults_toml: &str,
    user_file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    overrides: &[(String, String)],
) -> Result<T, ConfigError> {
    load_validated(defaults_toml, user_file, env, overrides, |_, _| {})
}

/// [`load`], with rules of the caller's own that types can not say.
///
/// # Errors
/// As [`load`], and what `validate` reported.
pub fn load_validated<T: DeserializeOwned>(
    defaults_toml: &str,
    user_file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    overrides: &[(String, String)],
    validate: impl FnOnce(&T, &mut Report<'_>),
) -> Result<T, ConfigError> {
    let mut problems = Vec::new();
    let defaults = node::parse(defaults_toml, None).map_err(|problems| ConfigError { problems })?;
    let mut merged = defaults.clone();
    if let Some(file) = user_file {
        match read_file(file) {
            Ok(entry) => merged.merge(entry),
            Err(found) => problems.extend(found),
        }
    }
    merge_texts(&mut merged, env, overrides, &mut problems);
    let value = read(&merged, &defaults, &mut problems);
    match value {
        Some(value) if problems.is_empty() => {
            let mut report = Report { merged: &merged, problems };
            validate(&value, &mut report);
            if report.problems.is_empty() { Ok(value) } else { Err(ConfigError { problems: report.problems }) }
        }
        _ => Err(ConfigError { problems }),
    }
}

/// Collects what a caller's own rules find wrong.
pub struct Report<'a> {
    merged: &'a Entry,
    problems: Vec<Problem>,
}

impl Report<'_> {
    /// Reports a fault of the dotted `key`; its origin is looked up.
    pub fn add(&mut self, key: &str, message: impl Into<String>) {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        let origin = self.merged.nearest(&path).origin.clone();
        self.problems.push(Problem { key: key.to_owned(), origin, message: message.into() });
    }
}

fn read_file(path: &Path) -> Result<Entry, Vec<Problem>> {
    let fault = |message: String| {
        let origin = Origin::File { path: path.to_owned(), line: None };
        vec![Problem { key: String::new(), origin, message }]
    };
    let mut text = Zeroizing::new(String::new());
    File::open(path)
        .and_then(|file| file.take(FILE_LIMIT + 1).read_to_string(&mut text))
        .map_err(|error| fault(format!("can not be read: {error}")))?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(fault(format!("is larger than the {FILE_LIMIT} bytes that a configuration may have")));
    }
    node::parse(&text, Some(path))
}

fn merge_texts(
    merged: &mut Entry,
    env: impl IntoIterator<Item = (String, String)>,
    overrides: &[(String, String)],
    problems: &mut Vec<Problem>,
) {
    let mut variables: Vec<_> = env.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    // an outer table before the keys within it
    variables.sort();
    for (name, value) in variables {
        let path = name.trim_start_matches(PREFIX).split("__").map(str::to_lowercase).collect();
        set(merged, path, value, Origin::Env(name), problems);
    }
    for (key, value) in overrides {
        set(merged, key.split('.').map(str::to_owned).collect(), value.clone(), Origin::Flag, problems);
    }
}

fn set(merged: &mut Entry, path: Vec<String>, value: String, origin: Origin, problems: &mut Vec<Problem>) {
    if path.len() > DEPTH_LIMIT || path.iter().any(String::is_empty) {
        let message = "names no key: between two levels there are exactly two underscores, or one dot".to_owned();
        problems.push(Problem { key: path.join("."), origin, message });
    } else {
        merged.set(&path, value, origin);
    }
}

/// Reads again after each fault, with what was at fault put back to its default, until there is none. The value is
/// the caller's only if no problem was added.
fn read<T: DeserializeOwned>(merged: &Entry, defaults: &Entry, problems: &mut Vec<Problem>) -> Option<T> {
    let mut tree = merged.clone();
    let mut removed: Vec<Vec<String>> = Vec::new();
    while problems.len() < PROBLEM_LIMIT {
        let error = match serde_path_to_error::deserialize::<_, T>(tree.clone()) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let mut path: Vec<String> = error.path().iter().filter_map(segment).collect();
        let message = match error.into_inner() {
            Fault::UnknownKey { key, known } => {
                if path.last() != Some(&key) {
                    path.push(key.clone());
                }
                unknown(&key, known)
            }
            Fault::MissingKey(key) => {
                path.push(key.to_owned());
                // taken away after an earlier fault: nothing to add, and nothing more can be read
                if !removed.contains(&path) {
                    problems.push(problem(merged, &path, "is required and has no default".to_owned()));
                }
                return None;
            }
            Fault::Other(message) => message,
        };
        problems.push(problem(&tree, &path, message));
        if !tree.restore(&path, Some(defaults)) {
            return None;
        }
        removed.push(path);
    }
    None
}

fn problem(tree: &Entry, path: &[String], message: String) -> Problem {
    Problem { key: path.join("."), origin: tree.nearest(path).origin.clone(), message }
}

fn segment(segment: &serde_path_to_error::Segment) -> Option<String> {
    use serde_path_to_error::Segment;
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// Names the nearest known key, or all of them where there are few.
fn unknown(key: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|name| (strsim::jaro_winkler(key, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0));
    match nearest {
        Some((_, name)) => format!("unknown key; did you mean `{name}`?"),
        None if known.is_empty() => "unknown key; there are none here".to_owned(),
        None => format!("unknown key; known here: {}", list(known)),
    }
}

#[cfg(test)]
mod tests;
