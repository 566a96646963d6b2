//! What was compared, by format and kind of model, as Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::common::reference::{Bound, Case};
use crate::compare::{Differs, Part, compare};

/// The most lines about one model.
const SHOWN: usize = 3;

#[derive(Debug, Default)]
pub(crate) struct Table {
    kinds: BTreeMap<(String, String), Line>,
    traits: BTreeMap<(String, String), Line>,
    versions: BTreeMap<(String, String), Line>,
    /// What does not hold, a line each.
    pub(crate) broken: Vec<String>,
}

#[derive(Debug, Default)]
struct Line {
    models: usize,
    refused: usize,
    differs: Differs,
    /// What is promised of values, of one model or another.
    promised: BTreeSet<String>,
}

impl Line {
    fn add(&mut self, differs: Option<Differs>, promised: &str) {
        self.models += 1;
        match differs {
            Some(differs) => self.differs = self.differs.with(differs),
            None => self.refused += 1,
        }
        self.promised.insert(promised.to_owned());
    }
}

impl Table {
    pub(crate) fn models(&self) -> usize {
        self.versions.values().map(|line| line.models).sum()
    }

    pub(crate) fn add(&mut self, format: &str, version: &str, case: &Case) {
        let facts = &case.facts;
        let library = shown(format);
        let kind = facts.source.rsplit(' ').next().unwrap_or_default();
        let promised = match (library, facts.values) {
            ("ONNX", _) => "1e-5 of leaves".to_owned(),
            (_, Bound::Bits) => "bits".to_owned(),
            (_, Bound::Ulp(most)) => format!("{most} ulp"),
            (_, Bound::Absolute(most)) => format!("{most:e}"),
        };
        let place = format!("{library} {version}, {}", facts.file);
        let differs = match compare(case) {
            Ok((differs, broken)) => {
                let more = broken.len().saturating_sub(SHOWN);
                self.broken.extend(broken.into_iter().take(SHOWN).map(|line| format!("{place}: {line}")));
                if more > 0 {
                    self.broken.push(format!("{place}: and {more} more"));
                }
                Some(differs)
            }
            Err(reason) => {
                self.broken.push(format!("{place}: {reason}"));
                None
            }
        };
        let key = |of: &str| (library.to_owned(), of.to_owned());
        self.kinds.entry(key(kind)).or_default().add(differs, &promised);
        self.versions.entry(key(version)).or_default().add(differs, &promised);
        for of in &facts.traits {
            self.traits.entry(key(of)).or_default().add(differs, &promised);
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = table("kind of model", &self.kinds);
        if !self.traits.is_empty() {
            text += "\n";
            text += &table("among them, with", &self.traits);
        }
        text += "\n";
        text + &table("version", &self.versions)
    }
}

fn shown(format: &str) -> &str {
    match format {
        "sklearn" | "sklearn_boosting" | "sklearn_forests" => "scikit-learn",
        "sklearn_vectors" => "scikit-learn, numpy's own exp and log",
        "xgboost" => "XGBoost",
        "lightgbm" => "LightGBM",
        "catboost" => "CatBoost",
        "onnx" => "ONNX",
        other => other,
    }
}

fn table(of: &str, lines: &BTreeMap<(String, String), Line>) -> String {
    let mut text = format!(
        "| format | {of} | models | rows | rows that differ: margins | values | labels | largest difference: margins | values | promised of values |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
    );
    let (mut models, mut all) = (0, Differs::default());
    for ((library, of), line) in lines {
        let refused = if line.refused > 0 { format!(" ({} refused)", line.refused) } else { String::new() };
        let shown = format!("{}{refused}", line.models);
        let promised: Vec<&str> = line.promised.iter().map(String::as_str).collect();
        row(&mut text, &format!("{library} | {of} | {shown}"), line.differs, &promised.join(" or "));
        models += line.models;
        all = all.with(line.differs);
    }
    if of != "among them, with" {
        row(&mut text, &format!("**all** | | **{models}**"), all, "");
    }
    text
}

fn row(text: &mut String, head: &str, differs: Differs, promised: &str) {
    let Differs { rows, margins, values, labels } = differs;
    let (in_margins, in_values) = (largest(margins), largest(values));
    let (margins, values) = (margins.rows, values.rows);
    // writing to a String can not fail
    let _ = writeln!(
        text,
        "| {head} | {rows} | {margins} | {values} | {labels} | {in_margins} | {in_values} | {promised} |"
    );
}

fn largest(of: Part) -> String {
    if of.rows == 0 { "0".to_owned() } else { format!("{} ulp, {:.1e}", of.ulp, of.relative) }
}
