//! Answers as JSON, written into one buffer from what the worker sent; or as tables.

mod columns;
mod explanation;

use arborgate_contracts::registry::{Manifest, Task};
use arborgate_contracts::wire::{Answer, Asked};

use super::ask::Ask;
use arborgate_tables::Frame;
use columns::Columns;
use explanation::Explanation;

/// What of a version's answers is the same in each.
#[derive(Debug)]
pub struct Template {
    task: Task,
    outputs: usize,
    /// Values a row, and labels, where they are asked.
    width: usize,
    labels: usize,
    /// For each output, for each class: `value` and `"label"`, as JSON.
    classes: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
    explanation: Explanation,
    columns: Columns,
    /// `"model":…,"version":…}`
    tail: Vec<u8>,
    /// A guess of a row's bytes.
    row_bytes: usize,
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Vec<u8> {
    // Texts, numbers and booleans always have a JSON.
    serde_json::to_vec(value).unwrap_or_default()
}

impl Template {
    /// Of a manifest.
    pub fn new(manifest: &Manifest) -> Self {
        let classes: Vec<Vec<_>> = manifest
            .classes
            .iter()
            .map(|output| output.iter().map(|class| (json(&class.value), json(&class.label))).collect())
            .collect();
        let mut tail = b",\"model\":".to_vec();
        tail.extend(json(manifest.model.as_str()));
        tail.extend_from_slice(b",\"version\":");
        tail.extend(json(manifest.version.as_str()));
        tail.push(b'}');
        let all: usize = classes.iter().flatten().map(|(_, label)| label.len() + 24).sum();
        Self {
            task: manifest.task,
            outputs: manifest.outputs as usize,
            width: manifest.width(),
            labels: classes.len(),
            explanation: Explanation::new(manifest),
            columns: Columns::new(manifest),
            classes,
            tail,
            row_bytes: 64 + all,
        }
    }

    /// An answer to what was asked, as a table.
    pub fn frame(&self, answer: &Answer, ask: Ask) -> Frame {
        self.columns.frame(answer, ask)
    }

    /// One row's answer to what was asked.
    pub fn one(&self, answer: &Answer, ask: Ask) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.row_bytes + self.tail.len());
        out.push(b'{');
        self.row(&mut out, &answer.values, &answer.labels, ask);
        out.extend_from_slice(&self.tail);
        out
    }

    /// Many rows' answer to what was asked.
    pub fn many(&self, answer: &Answer, ask: Ask) -> Vec<u8> {
        let rows = (answer.rows as usize).max(1);
        let (width, labels) = (answer.values.len() / rows, answer.labels.len() / rows);
        let mut out = Vec::with_capacity(self.row_bytes * rows + self.tail.len());
        let name = if ask.asked.has(Asked::CONTRIBUTIONS) { "explanations" } else { "predictions" };
        out.extend_from_slice(b"{\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":[");
        let mut values = answer.values.chunks(width.max(1));
        let mut indexes = answer.labels.chunks(labels.max(1));
        for i in 0..answer.rows {
            if i > 0 {
                out.push(b',');
            }
            out.push(b'{');
            self.row(&mut out, values.next().unwrap_or_default(), indexes.next().unwrap_or_default(), ask);
            out.push(b'}');
        }
        out.push(b']');
        out.extend_from_slice(&self.tail);
        out
    }

    /// Many rows' answer as the V1 inference protocol of KServe has it: what is predicted, and nothing else.
    pub fn instances(&self, answer: &Answer) -> Vec<u8> {
        let rows = (answer.rows as usize).max(1);
        let mut out = Vec::with_capacity(32 + rows * 8);
        out.extend_from_slice(b"{\"predictions\":[");
        let mut values = answer.values.chunks((answer.values.len() / rows).max(1));
        let mut labels = answer.labels.chunks((answer.labels.len() / rows).max(1));
        for i in 0..answer.rows {
            if i > 0 {
                out.push(b',');
            }
            self.predicted(&mut out, values.next().unwrap_or_default(), labels.next().unwrap_or_default());
        }
        out.extend_from_slice(b"]}");
        out
    }

    /// The class as the file has it, or the values.
    fn predicted(&self, out: &mut Vec<u8>, values: &[f64], labels: &[u32]) {
        let class = |i: usize| self.classes.get(i)?.get(*labels.get(i)? as usize);
        match self.task {
            Task::Regression => list(out, self.outputs, |out, i| number(out, values.get(i).copied())),
            Task::Classification | Task::OutlierDetection => {
                list(out, self.outputs, |out, i| out.extend_from_slice(class(i).map_or(b"null", |(value, _)| value)));
            }
        }
    }

    fn row(&self, out: &mut Vec<u8>, values: &[f64], labels: &[u32], ask: Ask) {
        let Ask { asked, .. } = ask;
        if asked == Asked::DEFAULT {
            self.prediction(out, values, labels);
            return self.probabilities(out, values);
        }
        if asked.has(Asked::CONTRIBUTIONS) {
            return self.explanation.row(out, values, ask.top_k);
        }
        let begin = out.len();
        let (own, margins) =
            values.split_at_checked(if asked.has(Asked::VALUES) { self.width } else { 0 }).unwrap_or_default();
        let (named, leaves) =
            labels.split_at_checked(if asked.has(Asked::LABELS) { self.labels } else { 0 }).unwrap_or_default();
        if asked.has(Asked::LABELS) {
            self.prediction(out, own, named);
        }
        if asked.has(Asked::VALUES) {
            self.probabilities(out, own);
        }
        if asked.has(Asked::MARGINS) {
            out.extend_from_slice(b",\"margins\":");
            all(out, margins, |out, margin| number(out, Some(*margin)));
        }
        if asked.has(Asked::LEAVES) {
            out.extend_from_slice(b",\"leaves\":");
            all(out, leaves, |out, leaf| out.extend_from_slice(leaf.to_string().as_bytes()));
        }
        // What comes first has no comma before it.
        if out.get(begin) == Some(&b',') {
            out.remove(begin);
        }
    }

    /// What is predicted, but for the probabilities.
    fn prediction(&self, out: &mut Vec<u8>, values: &[f64], labels: &[u32]) {
        out.extend_from_slice(b"\"prediction\":");
        let class = |i: usize| self.classes.get(i)?.get(*labels.get(i)? as usize);
        self.predicted(out, values, labels);
        match self.task {
            Task::Regression => {}
            Task::OutlierDetection => {
                out.extend_from_slice(b",\"label\":");
                out.extend_from_slice(class(0).map_or(b"null", |(_, label)| label));
                out.extend_from_slice(b",\"score\":");
                number(out, values.first().copied());
            }
            Task::Classification => {
                out.extend_from_slice(b",\"label\":");
                list(out, self.outputs, |out, i| out.extend_from_slice(class(i).map_or(b"null", |(_, label)| label)));
            }
        }
    }

    /// Of a classifier, with the comma before them.
    fn probabilities(&self, out: &mut Vec<u8>, values: &[f64]) {
        if self.task != Task::Classification {
            return;
        }
        out.extend_from_slice(b",\"probabilities\":");
        let mut values = values.iter().copied();
        list(out, self.outputs, |out, i| {
            out.push(b'{');
            for (n, (_, label)) in self.classes.get(i).into_iter().flatten().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(label);
                out.push(b':');
                number(out, values.next());
            }
            out.push(b'}');
        });
    }
}

/// A list of all.
fn all<T>(out: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// One item as itself, several as a list.
fn list(out: &mut Vec<u8>, items: usize, mut write: impl FnMut(&mut Vec<u8>, usize)) {
    if items == 1 {
        return write(out, 0);
    }
    out.push(b'[');
    for i in 0..items {
        if i > 0 {
            out.push(b',');
        }
        write(out, i);
    }
    out.push(b']');
}

/// The shortest text that reads back to the same bits; JSON has no NaN and no infinities.
fn number(out: &mut Vec<u8>, value: Option<f64>) {
    match value {
        // Writing to a Vec can not fail.
        Some(value) => drop(serde_json::to_writer(out, &value)),
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests;
