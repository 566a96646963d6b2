//! The features of a manifest: what the file says of each, narrowed by what its uploader says. What is said may restrict
//! what the model takes, and never widen it.

use std::collections::HashSet;

use arborgate_contracts::Fault;
use arborgate_contracts::registry::{Domain, Feature, FeatureType, Unseen};
use arborgate_contracts::signature::{GivenFeature, GivenFeatures};
use arborgate_forest::{Categories, FeatureKind, Model, Precision};
use serde_json::Value;

use super::{Faults, LONGEST_TEXT, value};

/// Categories of one feature that can be given, at most.
const MOST_CATEGORIES: usize = 10_000;
/// Characters of a unit, at most.
const LONGEST_UNIT: usize = 32;

/// In the file's order.
pub(super) fn all(given: &GivenFeatures, model: &Model, faults: &mut Faults) -> Vec<Feature> {
    let count = model.n_features();
    let own: Vec<String> = match model.feature_names() {
        Some(names) => names.into_iter().map(str::to_owned).collect(),
        None => (0..count).map(|i| format!("x{i}")).collect(),
    };
    let said = Said::of(given, &own, faults);
    let features = own.into_iter().zip(model.features()).enumerate().map(|(place, (name, in_file))| {
        let feature = in_the_file(name, in_file, model);
        match said.of_feature(place, &feature.name) {
            Some((pointer, given)) => narrowed(feature, given, &pointer, faults),
            None => feature,
        }
    });
    let features: Vec<Feature> = features.collect();
    let advice = match given {
        GivenFeatures::All(given) if !given.is_empty() => "",
        _ => "; it is the file's own: give names of your own",
    };
    faults.check_names("features", features.iter().map(|feature| feature.name.as_str()), advice);
    features
}

/// What is said, found by place or by the file's name.
struct Said<'g>(&'g GivenFeatures);

impl<'g> Said<'g> {
    fn of(given: &'g GivenFeatures, own: &[String], faults: &mut Faults) -> Self {
        match given {
            GivenFeatures::All(all) if !all.is_empty() && all.len() != own.len() => {
                let detail = format!("there are {} names; the model has {} features", all.len(), own.len());
                faults.add("features", detail);
            }
            GivenFeatures::All(_) => {}
            GivenFeatures::Some(some) => {
                let known: HashSet<&str> = own.iter().map(String::as_str).collect();
                for name in some.keys().filter(|name| !known.contains(name.as_str())) {
                    let shown: Vec<&str> = own.iter().take(16).map(String::as_str).collect();
                    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
                    let detail = format!("is none of the file's features, which are {}", shown.join(", "));
                    faults.add(&format!("features/{}", Fault::token(&name)), detail);
                }
            }
        }
        Self(given)
    }

    fn of_feature(&self, place: usize, name: &str) -> Option<(String, &'g GivenFeature)> {
        match self.0 {
            GivenFeatures::All(all) => Some((format!("features/{place}"), all.get(place)?)),
            GivenFeatures::Some(some) => Some((format!("features/{}", Fault::token(name)), some.get(name)?)),
        }
    }
}

fn in_the_file(name: String, own: &arborgate_forest::Feature, model: &Model) -> Feature {
    let input = model.input();
    let (kind, categories) = match &own.kind {
        FeatureKind::Number => match input.precision {
            Precision::Single => (FeatureType::Number, Vec::new()),
            Precision::Double => (FeatureType::Double, Vec::new()),
        },
        FeatureKind::Category(Categories::Codes) => (FeatureType::Code, Vec::new()),
        FeatureKind::Category(Categories::Hashed) => (FeatureType::Text, Vec::new()),
        FeatureKind::Category(Categories::Named(labels)) => (FeatureType::Category, labels.iter().map(value).collect()),
    };
    let unseen = match input.category.unseen() {
        _ if kind != FeatureType::Category => Unseen::Refused,
        arborgate_forest::Unseen::Refused => Unseen::Refused,
        arborgate_forest::Unseen::Missing => Unseen::Missing,
        arborgate_forest::Unseen::Passed => Unseen::Passed,
    };
    Feature { categories, unseen, ..Feature::number(name, kind, own.missing_allowed) }
}

fn narrowed(mut feature: Feature, given: &GivenFeature, pointer: &str, faults: &mut Faults) -> Feature {
    let at = |member: &str| format!("{pointer}/{member}");
    let is_number = matches!(feature.kind, FeatureType::Number | FeatureType::Double);
    if let Some(name) = &given.name {
        feature.name.clone_from(name);
    }
    match given.domain {
        Some(Domain::Real) | None => {}
        Some(domain) if is_number => feature.domain = domain,
        Some(_) => faults.add(&at("type"), "is of numbers only; this feature is a category"),
    }
    for (member, bound) in [("min", given.min), ("max", given.max)] {
        match bound {
            None => {}
            Some(_) if !is_number => faults.add(&at(member), "is of numbers only; this feature is a category"),
            Some(_) if feature.domain == Domain::Boolean => faults.add(&at(member), "is not of booleans"),
            Some(bound) if !bound.is_finite() => faults.add(&at(member), "must be a finite number"),
            Some(_) => {}
        }
    }
    (feature.min, feature.max) = (given.min, given.max);
    if let (Some(min), Some(max)) = (given.min, given.max)
        && min > max
    {
        faults.add(&at("min"), format!("is {min}, which is more than max, {max}"));
    } else if !leaves_any(&feature) {
        faults.add(&at("min"), "and max leave no value that the model takes");
    }
    match given.missing {
        Some(true) if !feature.missing => {
            faults.add(&at("missing"), "can not be true: the model was not trained with missing values");
        }
        Some(missing) => feature.missing = missing,
        None => {}
    }
    if !given.categories.is_empty() {
        categories(&mut feature, &given.categories, &at("categories"), faults);
    }
    faults.check_text(&at("unit"), &given.unit, LONGEST_UNIT);
    faults.check_text(&at("description"), &given.description, LONGEST_TEXT);
    feature.unit.clone_from(&given.unit);
    feature.description.clone_from(&given.description);
    feature
}

/// Whether a number's bounds, which are in order, have one between them that the model takes.
fn leaves_any(feature: &Feature) -> bool {
    let most = if feature.kind == FeatureType::Number { f64::from(f32::MAX) } else { f64::MAX };
    let (min, max) = (feature.min.unwrap_or(-most), feature.max.unwrap_or(most));
    min <= most && max >= -most && (feature.domain != Domain::Integer || min.ceil() <= max.floor())
}

/// What stands for the numbers 0, 1, … of a category that the file knows by its number alone. Others are refused.
fn categories(feature: &mut Feature, given: &[Value], pointer: &str, faults: &mut Faults) {
    if feature.kind != FeatureType::Code {
        let detail = "can be given only where the file knows a category by its number alone (type code)";
        return faults.add(pointer, detail);
    }
    if given.len() > MOST_CATEGORIES {
        return faults.add(pointer, format!("are {}; at most {MOST_CATEGORIES} are taken", given.len()));
    }
    let mut seen = HashSet::new();
    for (place, category) in given.iter().enumerate() {
        if !matches!(category, Value::String(_) | Value::Number(_) | Value::Bool(_)) {
            faults.add(&format!("{pointer}/{place}"), "must be a text, a number or a boolean");
        } else if !seen.insert(category.to_string()) {
            faults.add(&format!("{pointer}/{place}"), "was there before; each differs from the others");
        }
    }
    (feature.kind, feature.categories, feature.unseen) = (FeatureType::Category, given.to_vec(), Unseen::Refused);
}
