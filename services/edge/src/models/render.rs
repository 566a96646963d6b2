//! Answers as JSON, written into one buffer from what the worker sent.

use arborgate_contracts::registry::{Manifest, Task};
use arborgate_contracts::wire::Answer;

/// What of a version's answers is the same in each.
#[derive(Debug)]
pub struct Template {
    task: Task,
    outputs: usize,
    /// For each output, for each class: `value` and `"label"`, as JSON.
    classes: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
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
        let labels: usize = classes.iter().flatten().map(|(_, label)| label.len() + 24).sum();
        Self { task: manifest.task, outputs: manifest.outputs as usize, classes, tail, row_bytes: 64 + labels }
    }

    /// One row's answer.
    pub fn one(&self, answer: &Answer) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.row_bytes + self.tail.len());
        out.push(b'{');
        self.row(&mut out, &answer.values, &answer.labels);
        out.extend_from_slice(&self.tail);
        out
    }

    /// Many rows' answer.
    pub fn many(&self, answer: &Answer) -> Vec<u8> {
        let rows = (answer.rows as usize).max(1);
        let (width, labels) = ((answer.values.len() / rows).max(1), answer.labels.len() / rows);
        let mut out = Vec::with_capacity(self.row_bytes * rows + self.tail.len());
        out.extend_from_slice(b"{\"predictions\":[");
        let mut indexes = answer.labels.chunks(labels.max(1));
        for (i, values) in answer.values.chunks(width).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.push(b'{');
            self.row(&mut out, values, indexes.next().unwrap_or_default());
            out.push(b'}');
        }
        out.push(b']');
        out.extend_from_slice(&self.tail);
        out
    }

    fn row(&self, out: &mut Vec<u8>, values: &[f64], labels: &[u32]) {
        out.extend_from_slice(b"\"prediction\":");
        match self.task {
            Task::Regression => list(out, self.outputs, |out, i| number(out, values.get(i).copied())),
            Task::OutlierDetection => {
                let class = labels.first().and_then(|label| self.classes.first()?.get(*label as usize));
                out.extend_from_slice(class.map_or(b"null", |(value, _)| value));
                out.extend_from_slice(b",\"label\":");
                out.extend_from_slice(class.map_or(b"null", |(_, label)| label));
                out.extend_from_slice(b",\"score\":");
                number(out, values.first().copied());
            }
            Task::Classification => {
                let class = |i: usize| {
                    let index = *labels.get(i)? as usize;
                    self.classes.get(i)?.get(index)
                };
                list(out, self.outputs, |out, i| out.extend_from_slice(class(i).map_or(b"null", |(value, _)| value)));
                out.extend_from_slice(b",\"label\":");
                list(out, self.outputs, |out, i| out.extend_from_slice(class(i).map_or(b"null", |(_, label)| label)));
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
    }
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
            trees: 1,
            nodes: 1,
            created_at: String::new(),
            created_by: String::new(),
        }
    }

    fn class(value: Value, label: &str) -> Class {
        Class { value, label: label.to_owned() }
    }

    fn read(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
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
        assert_eq!(read(&template.one(&answer(1, &[0.1, 0.9], &[1]))), expected);
        let many = read(&template.many(&answer(2, &[0.1, 0.9, 1.0, 0.0], &[1, 0])));
        assert_eq!(many["predictions"][0]["label"], "other");
        assert_eq!(
            many["predictions"][1],
            json!({"prediction": 0, "label": "se\"tosa", "probabilities": {"se\"tosa": 1.0, "other": 0.0}})
        );
    }

    #[test]
    fn several_outputs_are_lists() {
        let classes = vec![vec![class(json!("a"), "a"), class(json!("b"), "b")], vec![class(json!(true), "yes")]];
        let template = Template::new(&manifest(Task::Classification, classes, 2));
        let read = read(&template.one(&answer(1, &[0.25, 0.75, 1.0], &[1, 0])));
        assert_eq!(read["prediction"], json!(["b", true]));
        assert_eq!(read["probabilities"], json!([{"a": 0.25, "b": 0.75}, {"yes": 1.0}]));
    }

    #[test]
    fn an_outlier_detector_answers_with_class_and_score() {
        let classes = vec![vec![class(json!(-1), "-1"), class(json!(1), "1")]];
        let template = Template::new(&manifest(Task::OutlierDetection, classes, 1));
        let expected = json!({"prediction": -1, "label": "-1", "score": -0.125, "model": "iris", "version": "1"});
        assert_eq!(read(&template.one(&answer(1, &[-0.125], &[0]))), expected);
    }

    #[test]
    fn a_regressor_answers_with_values_to_the_bit() {
        let value = 0.1 + 0.2;
        let template = Template::new(&manifest(Task::Regression, vec![], 1));
        let one = read(&template.one(&answer(1, &[value], &[])));
        assert_eq!(one["prediction"].as_f64().unwrap().to_bits(), f64::to_bits(value));
        let template = Template::new(&manifest(Task::Regression, vec![], 2));
        let many = read(&template.many(&answer(2, &[1.0, 2.0, 3.0, 4.0], &[])));
        assert_eq!(many["predictions"], json!([{"prediction": [1.0, 2.0]}, {"prediction": [3.0, 4.0]}]));
    }
}
