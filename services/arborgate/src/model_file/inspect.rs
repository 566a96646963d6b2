//! `arborgate inspect`: what a file is. Texts from it are shown escaped.

use std::fmt::Write as _;

use arborgate_forest::{Categories, Compiled, Feature, FeatureKind, Label, Model, Precision, Processor, Task, Tree};
use serde_json::{Value, json};

use super::InspectOptions;
use crate::console;
use crate::error::Error;

/// Names of one list that a person is shown; JSON has all.
const SHOWN: usize = 12;

/// Runs the command.
pub(crate) fn run(options: &InspectOptions) -> Result<(), Error> {
    let (model, size) = options.reading.read(&options.file)?;
    let compiled = Compiled::new(&model)
        .map_err(|source| Error::Compile { path: options.file.clone(), source: Box::new(source) })?;
    let file = options.file.display().to_string();
    let text = if options.json { json(&model, &compiled, &file, size) } else { text(&model, &compiled, &file, size) };
    console::print(&text)
}

fn leaves(model: &Model) -> usize {
    model.trees().iter().map(Tree::leaves).sum()
}

fn task(model: &Model) -> &'static str {
    match model.task() {
        Task::Classification => "classification",
        Task::Regression => "regression",
        Task::OutlierDetection => "outlier detection",
    }
}

fn text(model: &Model, compiled: &Compiled, file: &str, size: u64) -> String {
    let source = model.source();
    let outputs = if model.n_outputs() == 1 { String::new() } else { format!(", {} outputs", model.n_outputs()) };
    let precision = match model.input().precision {
        Precision::Single => "32-bit floats",
        Precision::Double => "64-bit floats",
    };
    let infinite = if model.input().infinite_allowed { "infinite allowed" } else { "infinite refused" };
    let mut facts = vec![
        ("file", format!("{}, {size} bytes", shown(file))),
        ("source", shown(&format!("{} {} {}", source.library, source.version, source.class))),
        ("task", task(model).to_owned() + &outputs),
    ];
    for (output, classes) in model.classes().iter().enumerate() {
        let which = if model.classes().len() == 1 { String::new() } else { format!("output {output}: ") };
        facts.push(("classes", format!("{which}{}", labels(classes))));
    }
    facts.extend([
        ("link", format!("{:?}", model.link())),
        ("input", format!("{} features, {precision}, {infinite}", model.n_features())),
        ("trees", format!("{}, at most {} deep", model.trees().len(), model.depth())),
        ("leaves", format!("{}, of {} nodes", leaves(model), model.n_nodes())),
        ("kernel", format!("{}, {} bytes", compiled.kernel(), compiled.bytes())),
    ]);
    let mut text = String::new();
    for (name, fact) in facts {
        // a String takes all
        let _ = writeln!(text, "{name:<8} {fact}");
    }
    text.push('\n');
    let row = |(number, feature): (usize, &Feature)| {
        let kind = match &feature.kind {
            FeatureKind::Number => "number".to_owned(),
            FeatureKind::Category(Categories::Codes) => "category, by number".to_owned(),
            FeatureKind::Category(Categories::Hashed) => "category, by hash".to_owned(),
            FeatureKind::Category(Categories::Named(names)) => format!("category: {}", labels(names)),
        };
        let missing = if feature.missing_allowed { "allowed" } else { "refused" };
        let name = feature.name.as_deref().map_or_else(|| "-".to_owned(), shown);
        vec![number.to_string(), name, missing.to_owned(), kind]
    };
    let rows: Vec<_> = model.features().iter().enumerate().map(row).collect();
    text + &console::table(&["FEATURE", "NAME", "MISSING", "TYPE"], &rows)
}

fn labels(labels: &[Label]) -> String {
    let mut text: Vec<String> = labels.iter().take(SHOWN).map(|label| shown(&label.to_string())).collect();
    if labels.len() > SHOWN {
        text.push(format!("… ({} in all)", labels.len()));
    }
    text.join(", ")
}

/// Text of a file, which may not reach the terminal as it is.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '"' | '\'' | '\\') {
            shown.push(c);
        } else {
            shown.extend(c.escape_debug());
        }
    }
    shown
}

fn json(model: &Model, compiled: &Compiled, file: &str, size: u64) -> String {
    let all = |labels: &[Label]| labels.iter().map(label).collect::<Vec<_>>();
    let feature = |feature: &Feature| {
        let (kind, categories) = match &feature.kind {
            FeatureKind::Number => ("number", Value::Null),
            FeatureKind::Category(Categories::Codes) => ("category", "codes".into()),
            FeatureKind::Category(Categories::Hashed) => ("category", "hashes".into()),
            FeatureKind::Category(Categories::Named(names)) => ("category", all(names).into()),
        };
        json!({"name": feature.name, "type": kind, "categories": categories, "missing": feature.missing_allowed})
    };
    let document = json!({
        "file": file,
        "bytes": size,
        "source": model.source(),
        "task": task(model),
        "outputs": model.n_outputs(),
        "classes": model.classes().iter().map(|classes| all(classes)).collect::<Vec<_>>(),
        "link": model.link(),
        "input": model.input(),
        "features": model.features().iter().map(feature).collect::<Vec<_>>(),
        "trees": model.trees().len(),
        "depth": model.depth(),
        "leaves": leaves(model),
        "nodes": model.n_nodes(),
        "compiled": {"kernel": compiled.kernel(), "bytes": compiled.bytes(), "processor": Processor::detect().to_string()},
    });
    format!("{document:#}\n")
}

fn label(label: &Label) -> Value {
    match label {
        Label::Int(value) => (*value).into(),
        // what JSON has no number for is text
        Label::Float(value) => {
            serde_json::Number::from_f64(*value).map_or_else(|| value.to_string().into(), Value::from)
        }
        Label::Bool(value) => (*value).into(),
        Label::Text(value) => value.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_file_reaches_the_terminal_as_it_is() {
        assert_eq!(shown("a \"b\" \\ é\u{1b}[2J\n\u{202e}"), "a \"b\" \\ é\\u{1b}[2J\\n\\u{202e}");
    }

    #[test]
    fn long_lists_are_cut() {
        let all: Vec<Label> = (0..20).map(Label::Int).collect();
        assert_eq!(labels(&all), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, … (20 in all)");
        assert_eq!(label(&Label::Float(f64::NAN)), Value::from("NaN"));
    }
}
