//! The text from its first line to its last, and the [`Model`] that it is.

use super::LIBRARY;
use super::features::features;
use super::header::Header;
use super::lines::{Keys, Lines, Value};
use super::tail::Tail;
use super::tree::{self, Budget, ZERO};
use crate::error::{Error, quote};
use crate::limits::Limits;
use crate::link::{LightGbmConvert, LightGbmLink, Link};
use crate::model::{
    CategoryRule, Column, Combine, Decision, Finish, Input, Label, Model, Parts, Precision, Source, Step, Sum, Task,
    Tree,
};

/// `f64`, infinities included; a category is cut to an `int`.
const INPUT: Input =
    Input { precision: Precision::Double, infinite_allowed: true, category: CategoryRule::Truncated64 };

/// Members of sets of categories for each byte of the text, at most: a member is a bit there and takes eight bytes here.
const CATEGORIES_A_BYTE: usize = 2;

/// All of a text.
#[derive(Debug)]
pub(super) struct Text<'a> {
    header: Header<'a>,
    trees: Vec<Tree>,
    tail: Tail,
}

/// What the text stands in, which decides what is predicted.
#[derive(Debug)]
pub(super) enum Wrapper {
    /// Nothing: a file of its own, or a `Booster`.
    Text,
    /// `LGBMClassifier`, with its classes.
    Classifier(Vec<Label>),
    /// Another estimator: numbers, as `predict` gives them.
    Numbers(&'static str),
}

pub(super) fn read<'a>(text: &'a str, limits: &Limits) -> Result<Text<'a>, Error> {
    let mut lines = Lines::new(text);
    let first = lines.next()?.map(|line| line.text);
    if first != Some("tree") {
        return Err(Error::content("the text", 0, "does not begin with the line `tree`"));
    }
    let header = Header::read(&mut lines, limits)?;
    let trees = trees(&mut lines, &header, limits, text.len())?;
    if trees.is_empty() || !trees.len().is_multiple_of(header.num_class) {
        let message = format!("has {} trees for {} classes", trees.len(), header.num_class);
        return Err(Error::content("the text", lines.offset(), message));
    }
    let tail = Tail::read(&mut lines, limits)?;
    Ok(Text { header, trees, tail })
}

/// All trees, and the line that ends them.
fn trees(lines: &mut Lines<'_>, header: &Header<'_>, limits: &Limits, length: usize) -> Result<Vec<Tree>, Error> {
    let mut trees = Vec::new();
    let mut sizes = header.sizes.map(|value| Sizes { value, left: value.words() });
    let categories = length.saturating_mul(CATEGORIES_A_BYTE).saturating_add(1 << 16);
    let mut budget = Budget { nodes: limits.max_nodes, categories };
    loop {
        lines.skip_empty();
        let start = lines.offset();
        let Some(line) = lines.next()? else {
            return Err(Error::content("the text", start, "ends without `end of trees`; it is cut off"));
        };
        if line.text == "end of trees" {
            sizes.map_or(Ok(()), |mut sizes| sizes.end(trees.len()))?;
            return Ok(trees);
        }
        let place = format!("tree {}", trees.len());
        if line.text.strip_prefix("Tree=") != Some(trees.len().to_string().as_str()) {
            let message = format!("begins with `{}` in place of `Tree={}`", quote(line.text), trees.len());
            return Err(Error::content(place, start, message));
        }
        if trees.len() >= limits.max_trees {
            return Err(Error::limit("trees", limits.max_trees));
        }
        let target = u32::try_from(trees.len() % header.num_class).unwrap_or(u32::MAX);
        let keys = Keys::read(lines, tree::KEYS, &[]).map_err(|error| inside(error, &place))?;
        trees.push(tree::tree(&keys, target, &mut budget, limits).map_err(|error| inside(error, &place))?);
        lines.skip_empty();
        if let Some(sizes) = &mut sizes {
            sizes.check(lines.offset() - start, &place)?;
        }
    }
}

fn inside(error: Error, place: &str) -> Error {
    match error {
        Error::Content { path, offset, message } => Error::content(format!("{place}, {path}"), offset, message),
        other => other.within(place),
    }
}

/// `tree_sizes`: LightGBM finds trees by these and not by their first lines, so they must agree.
struct Sizes<'a, I> {
    value: Value<'a>,
    left: I,
}

impl<'a, I: Iterator<Item = &'a str>> Sizes<'a, I> {
    fn check(&mut self, found: usize, place: &str) -> Result<(), Error> {
        let size = self.left.next().unwrap_or("nothing");
        if size.parse() == Ok(found) {
            return Ok(());
        }
        let size = quote(size);
        Err(self.value.fault(format!("says {size} of {place}, which has {found} bytes; the text was edited")))
    }

    fn end(&mut self, trees: usize) -> Result<(), Error> {
        match self.left.next() {
            None => Ok(()),
            Some(_) => Err(self.value.fault(format!("is for more trees than the {trees} that are there"))),
        }
    }
}

impl Text<'_> {
    /// The model, of so many rounds; of all if none are named.
    pub(super) fn model(mut self, wrapper: &Wrapper, rounds: Option<usize>) -> Result<Model, Error> {
        let margins = self.header.num_class;
        if let Some(rounds) = rounds {
            self.trees.truncate(rounds.saturating_mul(margins));
        }
        let Self { header, trees, tail } = self;
        let features = features(&header, tail, &trees);
        let numbers = header.objective.name;
        let (task, classes, class) = match wrapper {
            Wrapper::Classifier(classes) => (Task::Classification, vec![classes.clone()], "LGBMClassifier"),
            Wrapper::Text if header.objective.is_classifier() => {
                let classes = (0..margins.max(2)).map_while(|class| i64::try_from(class).ok()).map(Label::Int);
                (Task::Classification, vec![classes.collect()], numbers)
            }
            Wrapper::Text => (Task::Regression, Vec::new(), numbers),
            Wrapper::Numbers(class) => (Task::Regression, Vec::new(), *class),
        };
        let is_linear = trees.iter().any(|tree| !tree.linear().is_empty());
        let divide = if header.average { Some((trees.len() / margins) as f64) } else { None };
        Model::new(Parts {
            task,
            columns: if is_linear { flushed(features.len()) } else { Vec::new() },
            features,
            input: INPUT,
            n_outputs: if task == Task::Classification { 1 } else { margins },
            classes,
            sum: Sum {
                combine: Combine::Add,
                precision: Precision::Double,
                start: vec![0.0; margins],
                finish: Finish::Nothing,
            },
            link: link(divide, header.objective.convert, task),
            decision: if task == Task::Classification { Decision::LargestValue } else { Decision::None },
            trees,
            source: Source { library: LIBRARY.into(), version: header.version.to_owned(), class: class.to_owned() },
        })
    }
}

fn link(divide: Option<f64>, convert: LightGbmConvert, task: Task) -> Link {
    match (divide, &convert, task) {
        (None, LightGbmConvert::Identity, Task::Regression) => Link::Identity,
        _ => Link::LightGbm(LightGbmLink { divide, convert }),
    }
}

/// A linear leaf sees what lies within ±[`ZERO`] as 0. Thresholds say that themselves.
fn flushed(features: usize) -> Vec<Column> {
    let column = |feature| Column { feature, steps: vec![Step::Flush(ZERO)] };
    (0..features).map_while(|feature| u32::try_from(feature).ok()).map(column).collect()
}
