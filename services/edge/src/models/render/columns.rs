//! Answers as tables. A column is called as the member in the JSON answer is, joined by dots: `probabilities.setosa`. Of an
//! explanation each contribution is a row, beside the row, the output or class and the base that it belongs to.

use arborgate_contracts::registry::{Manifest, Task};
use arborgate_contracts::wire::{Answer, Asked};
use arborgate_tables::{Choices, Frame, Values};
use serde_json::Value;

use super::explanation::{Margin, chosen, margin};
use crate::models::ask::Ask;

/// What of a version's tables is the same in each.
#[derive(Debug)]
pub(super) struct Columns {
    task: Task,
    outputs: usize,
    width: usize,
    /// For each output the classes as the file has them, and as a person calls them.
    classes: Vec<(Choices, Vec<String>)>,
    features: Vec<String>,
}

/// Classes of one type, if they are; else as texts.
fn choices<'v>(values: impl Iterator<Item = &'v Value> + Clone) -> Choices {
    if let Some(whole) = values.clone().map(Value::as_i64).collect() {
        return Choices::Whole(whole);
    }
    if let Some(truths) = values.clone().map(Value::as_bool).collect() {
        return Choices::Bool(truths);
    }
    if let Some(floats) = values.clone().map(Value::as_f64).collect() {
        return Choices::Numbers(floats);
    }
    Choices::Text(values.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect())
}

/// Every `width`th item from `at` on: a column of what stands row after row.
fn column<T: Copy>(items: &[T], at: usize, width: usize) -> Vec<T> {
    items.iter().skip(at).step_by(width.max(1)).copied().collect()
}

impl Columns {
    pub(super) fn new(manifest: &Manifest) -> Self {
        let of = |output: &Vec<arborgate_contracts::registry::Class>| {
            let labels = output.iter().map(|class| class.label.clone()).collect();
            (choices(output.iter().map(|class| &class.value)), labels)
        };
        Self {
            task: manifest.task,
            outputs: manifest.outputs as usize,
            width: manifest.width(),
            classes: manifest.classes.iter().map(of).collect(),
            features: manifest.features.iter().map(|feature| feature.name.clone()).collect(),
        }
    }

    /// A table of an answer.
    pub(super) fn frame(&self, answer: &Answer, ask: Ask) -> Frame {
        let asked = ask.asked;
        if asked.has(Asked::CONTRIBUTIONS) {
            return self.explanations(answer, ask.top_k);
        }
        let rows = (answer.rows as usize).max(1);
        let (width, labels) = (answer.values.len() / rows, answer.labels.len() / rows);
        let float = |at| Values::Floats(column(&answer.values, at, width));
        let index = |at| column(&answer.labels, at, labels);
        let mut columns = Vec::new();
        if asked.has(Asked::LABELS) {
            self.predictions(&mut columns, index, float);
        }
        if asked.has(Asked::VALUES) && self.task == Task::Classification {
            let names = self
                .classes
                .iter()
                .enumerate()
                .flat_map(|(output, (_, labels))| labels.iter().map(move |label| (output, label)));
            for (at, (output, label)) in names.enumerate() {
                columns.push((format!("{}.{label}", self.name("probabilities", output)), float(at)));
            }
        }
        if asked.has(Asked::MARGINS) {
            let before = if asked.has(Asked::VALUES) { self.width } else { 0 };
            let margin = |at| (format!("margins.{}", at - before), float(at));
            columns.extend((before..width).map(margin));
        }
        if asked.has(Asked::LEAVES) {
            let before = if asked.has(Asked::LABELS) { self.classes.len() } else { 0 };
            let leaf = |at| (format!("leaves.{}", at - before), Values::Whole(index(at)));
            columns.extend((before..labels).map(leaf));
        }
        Frame { columns }
    }

    /// What is predicted, but for the probabilities.
    fn predictions(
        &self,
        columns: &mut Vec<(String, Values)>,
        index: impl Fn(usize) -> Vec<u32>,
        float: impl Fn(usize) -> Values,
    ) {
        for (output, (values, _)) in self.classes.iter().enumerate() {
            columns.push((self.name("prediction", output), Values::OneOf(values.clone(), index(output))));
        }
        for (output, (_, labels)) in self.classes.iter().enumerate() {
            columns.push((self.name("label", output), Values::OneOf(Choices::Text(labels.clone()), index(output))));
        }
        match self.task {
            Task::Classification => {}
            Task::OutlierDetection => columns.push(("score".to_owned(), float(0))),
            Task::Regression => columns.extend((0..self.outputs).map(|at| (self.name("prediction", at), float(at)))),
        }
    }

    /// Of several outputs with its place.
    fn name(&self, name: &str, output: usize) -> String {
        if self.outputs > 1 { format!("{name}.{output}") } else { name.to_owned() }
    }

    fn explanations(&self, answer: &Answer, top_k: Option<u32>) -> Frame {
        let each = self.features.len() + 1;
        let rows = (answer.rows as usize).max(1);
        let count = answer.values.len() / rows / each;
        let margins: Vec<Margin> = (0..count).map(|at| self.margin(at, count)).collect();
        let (mut row, mut of) = (Vec::new(), Vec::new());
        let (mut feature, mut contribution, mut base) = (Vec::new(), Vec::new(), Vec::new());
        for (at, values) in answer.values.chunks_exact(each).enumerate() {
            let (own, mean) = values.split_at_checked(each - 1).unwrap_or_default();
            for chosen in chosen(own, top_k) {
                row.push((at / count.max(1)) as u32);
                of.push((at % count.max(1)) as u32);
                feature.push(chosen as u32);
                contribution.push(own.get(chosen).copied().unwrap_or(f64::NAN));
                base.push(mean.first().copied().unwrap_or(f64::NAN));
            }
        }
        let mut columns = vec![("row".to_owned(), Values::Whole(row))];
        let wholes = |get: fn(&Margin) -> Option<usize>| -> Option<Vec<i64>> {
            margins.iter().map(|margin| get(margin).and_then(|of| i64::try_from(of).ok())).collect()
        };
        for (name, get) in [("output", (|m| m.output) as fn(&Margin) -> Option<usize>), ("margin", |m| m.number)] {
            if let Some(numbers) = wholes(get) {
                columns.push((name.to_owned(), Values::OneOf(Choices::Whole(numbers), of.clone())));
            }
        }
        let labels: Option<Vec<String>> = margins.iter().map(|margin| self.label(margin)).collect();
        if let Some(labels) = labels {
            columns.push(("label".to_owned(), Values::OneOf(Choices::Text(labels), of)));
        }
        columns.push(("feature".to_owned(), Values::OneOf(Choices::Text(self.features.clone()), feature)));
        columns.push(("contribution".to_owned(), Values::Floats(contribution)));
        columns.push(("base".to_owned(), Values::Floats(base)));
        Frame { columns }
    }

    fn margin(&self, at: usize, count: usize) -> Margin {
        let classes: Vec<usize> = self.classes.iter().map(|(_, labels)| labels.len()).collect();
        margin(at, count, self.outputs, self.task == Task::Classification, &classes)
    }

    fn label(&self, margin: &Margin) -> Option<String> {
        let (output, class) = margin.class?;
        self.classes.get(output)?.1.get(class).cloned()
    }
}
