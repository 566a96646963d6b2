//! What the document says of one model: its rows and answers as schemas, and the operations that take and give them.

use arborgate_contracts::registry::{Class, Domain, Feature, FeatureType, Manifest, Task, Unseen};
use arborgate_contracts::wire::Answer;
use serde_json::{Map, Number, Value, json};

use super::names::{of_list, pascal, variant};
use super::schema::{Additional, Members, Schema, Shown};
use crate::models::ask::{Ask, Purpose};
use crate::models::catalog::Served;
use crate::models::rows::EXACT;

/// The tag of all of them.
pub(super) const TAG: &str = "Deployed";

/// Categories and classes that a sentence names, at most.
const NAMED: usize = 64;

/// What is called after a model.
pub(super) struct Called {
    predict: String,
    rows: String,
    schemas: Schemas,
    /// Of each feature what its property is called, and its schema where it has one.
    features: Vec<(String, String)>,
}

struct Schemas {
    row: String,
    rows: String,
    prediction: String,
    answer: String,
    answers: String,
    class: String,
    label: String,
    probabilities: String,
}

impl Called {
    /// After its identifier.
    pub(super) fn after(identifier: &str, manifest: &Manifest) -> Self {
        let model = pascal(identifier);
        let schema = |what: &str| format!("{model}{what}");
        let features = of_list(manifest.features.iter().map(|feature| feature.name.as_str()), "feature");
        let feature = |identifier: String| {
            let schema = schema(&format!("{}Value", pascal(&identifier)));
            (identifier, schema)
        };
        let schemas = Schemas {
            row: schema("Row"),
            rows: schema("Rows"),
            prediction: schema("Prediction"),
            answer: schema("Answer"),
            answers: schema("Answers"),
            class: schema("Class"),
            label: schema("Label"),
            probabilities: schema("Probabilities"),
        };
        Self {
            predict: format!("predict_{identifier}"),
            rows: format!("predict_{identifier}_rows"),
            schemas,
            features: features.into_iter().map(feature).collect(),
        }
    }

    /// All that nothing else may be called.
    pub(super) fn all(self) -> Vec<String> {
        let Schemas { row, rows, prediction, answer, answers, class, label, probabilities } = self.schemas;
        let own = [self.predict, self.rows, row, rows, prediction, answer, answers, class, label, probabilities];
        own.into_iter().chain(self.features.into_iter().map(|(_, schema)| schema)).collect()
    }
}

/// What the document has of a model.
#[derive(Default)]
pub(super) struct Typed {
    /// By path.
    pub(super) paths: Vec<(String, Value)>,
    /// By name.
    pub(super) schemas: Vec<(String, Schema)>,
}

/// Of a version, by what is called after its model; `refusals` are answers by status.
pub(super) fn of(served: &Served, called: &Called, most_rows: u32, refusals: &Map<String, Value>) -> Typed {
    let manifest = &*served.manifest;
    let mut typed = Typed::default();
    typed.rows(manifest, called, most_rows);
    typed.answers(served, called);
    typed.operations(manifest, called, refusals);
    typed
}

impl Typed {
    fn add(&mut self, name: &str, schema: Schema) {
        self.schemas.push((name.to_owned(), schema));
    }

    /// A schema of one of a few values, by its name if it is worth one: then generated clients have a type for it.
    fn one_of(&mut self, name: &str, schema: Schema) -> Schema {
        if schema.value_names.is_empty() {
            return schema;
        }
        if !self.schemas.iter().any(|(known, _)| known == name) {
            self.add(name, schema);
        }
        Schema::named(name)
    }

    fn rows(&mut self, manifest: &Manifest, called: &Called, most_rows: u32) {
        let Schemas { row, rows, .. } = &called.schemas;
        let mut properties = Vec::with_capacity(manifest.features.len());
        for (feature, (identifier, name)) in manifest.features.iter().zip(&called.features) {
            let (values, description) = taken_by(feature);
            let values = self.one_of(name, values);
            let unit = Some(feature.unit.clone()).filter(|unit| !unit.is_empty());
            let member = Schema { nullable: feature.missing, unit, ..values.beside_reference() };
            let member = member.described(description).called(&feature.name, identifier);
            properties.push((feature.name.clone(), member));
        }
        let example = shown_row(manifest);
        let closed = || Some(Additional::Allowed(false));
        let one = Schema { additional_properties: closed(), example: example.clone(), ..Schema::object(properties) };
        self.add(row, one.described(format!("A row of {}.", manifest.model)));
        let list = Schema { min_items: Some(1), max_items: Some(most_rows), ..Schema::list(Schema::named(row)) };
        let example = example.map(|row| {
            let rows = vec![("rows".to_owned(), Shown::List(vec![row]))];
            Shown::Members(Members(rows))
        });
        let many = Schema::object(vec![("rows".to_owned(), list)]);
        self.add(rows, Schema { additional_properties: closed(), example, ..many });
    }

    fn answers(&mut self, served: &Served, called: &Called) {
        let manifest = &*served.manifest;
        let Schemas { prediction, answer, answers, .. } = &called.schemas;
        let predicted = match manifest.task {
            Task::Regression => {
                let value = Schema::number().described("The value.".to_owned());
                vec![("prediction".to_owned(), several(manifest, value))]
            }
            Task::OutlierDetection => {
                let score = Schema::number().described("Low for what is unlike the training data.".to_owned());
                let [class, label] = self.classes(manifest, called);
                vec![class, label, ("score".to_owned(), score)]
            }
            Task::Classification => {
                let [class, label] = self.classes(manifest, called);
                vec![class, label, ("probabilities".to_owned(), self.probabilities(manifest, called))]
            }
        };
        let by = |mut members: Vec<(String, Schema)>| {
            let text = |description: &str| Schema::of("string").described(description.to_owned());
            members.push(("model".to_owned(), text("Which model answered.")));
            members.push(("version".to_owned(), text("Which of its versions.")));
            Schema::object(members)
        };
        self.add(answer, Schema { example: shown_answer(served), ..by(predicted.clone()) });
        self.add(prediction, Schema::object(predicted));
        let list = Schema::list(Schema::named(prediction)).described("In the rows' order.".to_owned());
        self.add(answers, by(vec![("predictions".to_owned(), list)]));
    }

    /// The class as the file has it, and as a person calls it.
    fn classes(&mut self, manifest: &Manifest, called: &Called) -> [(String, Schema); 2] {
        let Schemas { class, label, .. } = &called.schemas;
        let distinct = |of: fn(&Class) -> Value| {
            let mut seen = std::collections::HashSet::new();
            let all = manifest.classes.iter().flatten().map(of);
            all.filter(|value| seen.insert(value.to_string())).collect::<Vec<Value>>()
        };
        let labels = distinct(|class| class.label.as_str().into());
        let values = distinct(|class| class.value.clone());
        // Where the file has the texts that people read, both are of one type.
        let value_type = if values == labels { label } else { class };
        let mut member = |name: &str, values: &[Value], description: &str| {
            let of = self.one_of(name, one_of(values, "class"));
            several(manifest, of.beside_reference().described(description.to_owned()))
        };
        let value = member(value_type, &values, "The predicted class as the model's file has it.");
        let label = member(label, &labels, "The predicted class as a person calls it.");
        [("prediction".to_owned(), value), ("label".to_owned(), label)]
    }

    fn probabilities(&mut self, manifest: &Manifest, called: &Called) -> Schema {
        let Schemas { probabilities, .. } = &called.schemas;
        let each = "The probability of each class by its label.".to_owned();
        let [classes] = manifest.classes.as_slice() else {
            let any = Additional::Each(Box::new(Schema::number()));
            let any = Schema { additional_properties: Some(any), ..Schema::of("object") };
            return several(manifest, any.described(each));
        };
        let identifiers = of_list(classes.iter().map(|class| class.label.as_str()), "class");
        let named = classes.iter().zip(identifiers);
        let member = |(class, identifier): (&Class, String)| {
            (class.label.clone(), Schema::number().called(&class.label, &identifier))
        };
        self.add(probabilities, Schema::object(named.map(member).collect()).described(each));
        Schema::named(probabilities)
    }

    fn operations(&mut self, manifest: &Manifest, called: &Called, refusals: &Map<String, Value>) {
        let Schemas { row, rows, answer, answers, .. } = &called.schemas;
        let Manifest { model, version, source, .. } = manifest;
        let mut description =
            format!("Version {version}, made by {source}. With rows and outputs of other forms: `predict_model`.");
        if !manifest.description.is_empty() {
            description = format!("{}\n\n{description}", manifest.description);
        }
        let operation = |id: &str, summary: String, takes: &str, gives: &str| {
            let mut responses = refusals.clone();
            responses.insert("200".to_owned(), json!({"description": "Done.", "content": content(gives)}));
            json!({"post": {
                "tags": [TAG],
                "summary": summary,
                "description": description,
                "operationId": id,
                "requestBody": {"required": true, "content": content(takes)},
                "responses": responses,
                "security": [{"bearer": []}, {"api_key": []}],
            }})
        };
        let one = operation(&called.predict, format!("Ask {model}"), row, answer);
        self.paths.push((format!("/v1/models/{model}/predict"), one));
        // Where a feature is called so, a body's `rows` is that.
        if manifest.features.iter().all(|feature| feature.name != "rows") {
            let many = operation(&called.rows, format!("Ask {model} about many rows"), rows, answers);
            self.paths.push((format!("/v1/models/{model}/predict/rows"), many));
        }
    }
}

fn content(schema: &str) -> Value {
    json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}})
}

/// What a feature takes, and sentences on it.
fn taken_by(feature: &Feature) -> (Schema, String) {
    let (schema, kind) = match feature.kind {
        FeatureType::Number => (number_of(feature, Some(f32::MAX.into())), String::new()),
        FeatureType::Double => (number_of(feature, None), String::new()),
        FeatureType::Code => (number_of(feature, None), "A category's number.".to_owned()),
        FeatureType::Text => (Schema::of("string"), "A category's text.".to_owned()),
        FeatureType::Category => taken_of_categories(feature),
    };
    let unit = if feature.unit.is_empty() { String::new() } else { format!("In {}.", feature.unit) };
    let missing = if feature.missing { "`null` where it is missing." } else { "" };
    let about = feature.description.trim_end_matches('.');
    let about = if about.is_empty() { String::new() } else { format!("{about}.") };
    let sentences = [about.as_str(), &unit, &kind, missing];
    let told: Vec<&str> = sentences.into_iter().filter(|sentence| !sentence.is_empty()).collect();
    (schema, told.join(" "))
}

/// Which numbers a feature takes; `most` is what a float of the model's holds, where that is less than JSON's.
fn number_of(feature: &Feature, most: Option<f64>) -> Schema {
    let (least, most) = (feature.min.or(most.map(std::ops::Neg::neg)), feature.max.or(most));
    match feature.domain {
        Domain::Boolean => Schema::of("boolean"),
        Domain::Real => Schema {
            minimum: least.and_then(Number::from_f64),
            maximum: most.and_then(Number::from_f64),
            ..Schema::number()
        },
        Domain::Integer => Schema {
            format: Some("int64"),
            minimum: whole(feature.min.unwrap_or(-EXACT).ceil()),
            maximum: whole(feature.max.unwrap_or(EXACT).floor()),
            ..Schema::of("integer")
        },
    }
}

/// A whole number as one, if it is one of 64 bits.
fn whole(number: f64) -> Option<Number> {
    format!("{number:.0}").parse::<i64>().ok().map(Number::from)
}

/// Where a model takes what it was not trained with, there is no list of all that it takes.
fn taken_of_categories(feature: &Feature) -> (Schema, String) {
    let Feature { categories, unseen, .. } = feature;
    let closed = one_of(categories, "category");
    let other = match unseen {
        Unseen::Refused if closed.kind.is_some() => return (closed, String::new()),
        Unseen::Refused => "no other is taken",
        Unseen::Missing => "any other of these types counts as missing",
        Unseen::Passed => "any other of these types is left to the model",
    };
    let open = Schema { values: Vec::new(), value_names: Vec::new(), ..closed };
    (open, format!("One of {}; {other}.", listed(categories)))
}

/// One of `values`, if they are of one type; any value, if not.
fn one_of(values: &[Value], kind: &'static str) -> Schema {
    let all = |is: fn(&Value) -> bool| values.iter().all(is);
    let named = |schema: Schema| {
        let texts: Vec<String> =
            values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
        let identifiers = of_list(texts.iter().map(String::as_str), kind);
        let value_names = identifiers.iter().map(|identifier| variant(identifier)).collect();
        Schema { values: values.to_vec(), value_names, ..schema }
    };
    if all(Value::is_string) {
        named(Schema::of("string"))
    } else if all(Value::is_i64) {
        named(Schema::of("integer"))
    } else if all(Value::is_number) {
        // No generator has a type of a few floats.
        Schema { values: values.to_vec(), ..Schema::number() }
    } else if all(Value::is_boolean) && values.len() > 1 {
        Schema::of("boolean")
    } else {
        Schema::default()
    }
}

fn listed(values: &[Value]) -> String {
    let mut texts: Vec<String> = values.iter().take(NAMED).map(Value::to_string).collect();
    if values.len() > NAMED {
        texts.push(format!("… ({} in all)", values.len()));
    }
    texts.join(", ")
}

/// One as itself, several as a list.
fn several(manifest: &Manifest, one: Schema) -> Schema {
    match manifest.outputs {
        0 | 1 => one,
        outputs => Schema { min_items: Some(outputs), max_items: Some(outputs), ..Schema::list(one) },
    }
}

/// The row that was predicted at registration, by names.
fn shown_row(manifest: &Manifest) -> Option<Shown> {
    let row = &manifest.example.as_ref()?.row;
    let cells = manifest.features.iter().zip(row);
    let cells = cells.map(|(feature, value)| (feature.name.clone(), Shown::Value(value.clone())));
    Some(Shown::Members(Members(cells.collect())))
}

/// What came of it, written as every answer is.
fn shown_answer(served: &Served) -> Option<Shown> {
    let example = served.manifest.example.as_ref()?;
    let (values, labels) = (example.values.as_slice().into(), example.labels.as_slice().into());
    let answer = Answer { queued_us: 0, computed_us: 0, rows: 1, values, labels };
    let json = served.template.one(&answer, Ask::of(Purpose::Predict));
    serde_json::from_slice(&json).ok().map(Shown::Value)
}
