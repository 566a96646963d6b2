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
mod tests {
    use std::collections::BTreeMap;

    use arborgate_contracts::registry::{Class, Feature, FeatureType, MANIFEST_FORMAT};
    use serde_json::{Value, json};

    use super::*;

    fn manifest(task: Task, classes: Vec<Vec<Class>>, outputs: u32) -> Manifest {
        Manifest {
            format: MANIFEST_FORMAT,
            model: "iris".parse().unwrap(),
            version: "1".parse().unwrap(),
            digest: String::new(),
            size: 0,
            object: String::new(),
            source: String::new(),
            task,
            features: vec![Feature::number("x", FeatureType::Number, false)],
            classes,
            outputs,
            margins: 1,
            trees: 1,
            nodes: 1,
            created_at: String::new(),
            created_by: String::new(),
            description: String::new(),
            labels: BTreeMap::new(),
            provenance: None,
            example: None,
        }
    }

    fn class(value: Value, label: &str) -> Class {
        Class { value, label: label.to_owned() }
    }

    fn read(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    fn ask(asked: Asked) -> Ask {
        Ask { asked, top_k: None }
    }

    fn default() -> Ask {
        ask(Asked::DEFAULT)
    }

    fn answer(rows: u32, values: &[f64], labels: &[u32]) -> Answer {
        Answer { queued_us: 0, computed_us: 0, rows, values: values.into(), labels: labels.into() }
    }

    #[test]
    fn a_classifier_answers_with_class_label_and_probabilities() {
        let classes = vec![vec![class(json!(0), "se\"tosa"), class(json!(1), "other")]];
        let template = Template::new(&manifest(Task::Classification, classes, 1));
        let expected = json!({
            "prediction": 1, "label": "other", "probabilities": {"se\"tosa": 0.1, "other": 0.9}, "model": "iris", "version": "1"
        });
        assert_eq!(read(&template.one(&answer(1, &[0.1, 0.9], &[1]), default())), expected);
        let many = read(&template.many(&answer(2, &[0.1, 0.9, 1.0, 0.0], &[1, 0]), default()));
        assert_eq!(many["predictions"][0]["label"], "other");
        assert_eq!(
            many["predictions"][1],
            json!({"prediction": 0, "label": "se\"tosa", "probabilities": {"se\"tosa": 1.0, "other": 0.0}})
        );
    }

    #[test]
    fn nothing_is_told_but_what_was_asked() {
        let classes = vec![vec![class(json!(0), "no"), class(json!(1), "yes")]];
        let classifier = Template::new(&manifest(Task::Classification, classes, 1));
        let one = |template: &Template, asked, values: &[f64], labels: &[u32]| {
            let mut read = read(&template.one(&answer(1, values, labels), ask(asked)));
            let tail = read.as_object_mut().unwrap();
            assert!(tail.remove("model").is_some() && tail.remove("version").is_some());
            read
        };
        let (label, values) = (Asked::LABELS, Asked::VALUES);
        let (margins, leaves) = (Asked::MARGINS, Asked::LEAVES);
        assert_eq!(one(&classifier, label, &[], &[1]), json!({"prediction": 1, "label": "yes"}));
        assert_eq!(one(&classifier, values, &[0.1, 0.9], &[]), json!({"probabilities": {"no": 0.1, "yes": 0.9}}));
        assert_eq!(one(&classifier, margins, &[2.5], &[]), json!({"margins": [2.5]}));
        assert_eq!(one(&classifier, leaves, &[], &[7, 0, 3]), json!({"leaves": [7, 0, 3]}));
        assert_eq!(
            one(&classifier, label.and(values).and(margins).and(leaves), &[0.1, 0.9, 2.5], &[1, 7, 0]),
            json!({"prediction": 1, "label": "yes", "probabilities": {"no": 0.1, "yes": 0.9}, "margins": [2.5], "leaves": [7, 0]})
        );
        let regressor = Template::new(&manifest(Task::Regression, vec![], 1));
        let both = Asked::DEFAULT.and(margins);
        assert_eq!(one(&regressor, both, &[0.5, 1.5], &[]), json!({"prediction": 0.5, "margins": [1.5]}));
        let many = read(&classifier.many(&answer(2, &[], &[1, 2, 3, 4]), ask(leaves)));
        assert_eq!(many["predictions"], json!([{"leaves": [1, 2]}, {"leaves": [3, 4]}]));
    }

    #[test]
    fn tables_have_a_column_for_each_member_of_the_json() {
        let classes = vec![vec![class(json!(0), "no"), class(json!(1), "y,es")]];
        let classifier = Template::new(&manifest(Task::Classification, classes, 1));
        let csv = |template: &Template, answer: &Answer, ask| {
            String::from_utf8(template.frame(answer, ask).csv().unwrap()).unwrap()
        };
        let two = answer(2, &[0.1, 0.9, 1.0, 0.0], &[1, 0]);
        assert_eq!(
            csv(&classifier, &two, default()),
            "prediction,label,probabilities.no,\"probabilities.y,es\"\n1,\"y,es\",0.1,0.9\n0,no,1.0,0.0\n"
        );
        let all = Asked::DEFAULT.and(Asked::MARGINS).and(Asked::LEAVES);
        let two = answer(2, &[0.1, 0.9, 2.5, 1.0, 0.0, -2.5], &[1, 7, 8, 0, 9, 3]);
        assert_eq!(csv(&classifier, &two, ask(all)).lines().nth(2).unwrap(), "0,no,1.0,0.0,-2.5,9,3",);
        let pair = vec![vec![class(json!("a"), "a"), class(json!("b"), "b")], vec![class(json!(true), "yes")]];
        let pair = Template::new(&manifest(Task::Classification, pair, 2));
        assert_eq!(
            csv(&pair, &answer(1, &[0.25, 0.75, 1.0], &[1, 0]), default()),
            "prediction.0,prediction.1,label.0,label.1,probabilities.0.a,probabilities.0.b,probabilities.1.yes\n\
             b,true,b,yes,0.25,0.75,1.0\n"
        );
        let regressor = Template::new(&manifest(Task::Regression, vec![], 1));
        assert_eq!(csv(&regressor, &answer(2, &[1.5, 2.5], &[]), default()), "prediction\n1.5\n2.5\n");
        let outlier = vec![vec![class(json!(-1), "-1"), class(json!(1), "1")]];
        let outlier = Template::new(&manifest(Task::OutlierDetection, outlier, 1));
        assert_eq!(csv(&outlier, &answer(1, &[-0.125], &[0]), default()), "prediction,label,score\n-1,-1,-0.125\n");
    }

    #[test]
    fn a_table_of_explanations_has_a_row_for_each_contribution() {
        let classes = vec![vec![class(json!(0), "no"), class(json!(1), "yes")]];
        let template = Template::new(&manifest(Task::Classification, classes, 1));
        let explained = answer(2, &[0.5, 0.25, -0.5, 0.25], &[]);
        let asked = Ask { asked: Asked::CONTRIBUTIONS, top_k: Some(3) };
        assert_eq!(
            String::from_utf8(template.frame(&explained, asked).csv().unwrap()).unwrap(),
            "row,label,feature,contribution,base\n0,yes,x,0.5,0.25\n1,yes,x,-0.5,0.25\n"
        );
        assert_eq!(
            read(&template.many(&explained, asked))["explanations"][1],
            json!({"outputs": [{"label": "yes", "base": 0.25, "contributions": [{"feature": "x", "contribution": -0.5}]}]})
        );
    }

    #[test]
    fn several_outputs_are_lists() {
        let classes = vec![vec![class(json!("a"), "a"), class(json!("b"), "b")], vec![class(json!(true), "yes")]];
        let template = Template::new(&manifest(Task::Classification, classes, 2));
        let read = read(&template.one(&answer(1, &[0.25, 0.75, 1.0], &[1, 0]), default()));
        assert_eq!(read["prediction"], json!(["b", true]));
        assert_eq!(read["probabilities"], json!([{"a": 0.25, "b": 0.75}, {"yes": 1.0}]));
    }

    #[test]
    fn an_outlier_detector_answers_with_class_and_score() {
        let classes = vec![vec![class(json!(-1), "-1"), class(json!(1), "1")]];
        let template = Template::new(&manifest(Task::OutlierDetection, classes, 1));
        let expected = json!({"prediction": -1, "label": "-1", "score": -0.125, "model": "iris", "version": "1"});
        assert_eq!(read(&template.one(&answer(1, &[-0.125], &[0]), default())), expected);
    }

    #[test]
    fn a_regressor_answers_with_values_to_the_bit() {
        let value = 0.1 + 0.2;
        let template = Template::new(&manifest(Task::Regression, vec![], 1));
        let one = read(&template.one(&answer(1, &[value], &[]), default()));
        assert_eq!(one["prediction"].as_f64().unwrap().to_bits(), f64::to_bits(value));
        let template = Template::new(&manifest(Task::Regression, vec![], 2));
        let many = read(&template.many(&answer(2, &[1.0, 2.0, 3.0, 4.0], &[]), default()));
        assert_eq!(many["predictions"], json!([{"prediction": [1.0, 2.0]}, {"prediction": [3.0, 4.0]}]));
    }
}
