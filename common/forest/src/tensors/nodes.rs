//! Trees as lists that tensors are made of: first all leaves, which lead to themselves, then all questions. A set of categories
//! becomes bounds between which a row is in it or not, and a search among them: so a list is as long as the trees and their
//! sets are, and a question is always one comparison.

use super::columns::Columns;
use crate::model::{Node, Split, Test, Tree};

/// Below every place, and above −∞, which stands for a missing number that goes left.
const MISSING_BOUND: f64 = -2.0;

/// Nodes of some trees, numbered together.
#[derive(Debug)]
pub(super) struct Nodes {
    /// Where the number stands that is asked, of [`Columns`].
    pub(super) columns: Vec<u32>,
    pub(super) bounds: Vec<f64>,
    /// Where a number goes that is at most the bound.
    pub(super) left: Vec<u32>,
    pub(super) right: Vec<u32>,
    /// Questions from a root to a leaf, at most.
    pub(super) levels: usize,
}

/// What a node asks: ascending bounds, between which it goes left and right by turns.
#[derive(Debug)]
struct Question {
    column: u32,
    bounds: Vec<f64>,
    /// Whether what is at most the first bound goes left.
    first_left: bool,
}

impl Question {
    fn new(tree: &Tree, split: &Split, columns: &mut Columns) -> Self {
        let column = columns.of(split);
        let set = match split.test {
            Test::AtMost(bound) => return Self { column, bounds: vec![bound], first_left: true },
            Test::OneOf(set) => tree.sets().get(set as usize).map(Vec::as_slice).unwrap_or_default(),
        };
        let mut bounds = Vec::new();
        // nothing is at most this where the missing go right: it stands for no set too
        let first_left = split.missing_left || set.is_empty();
        if first_left {
            bounds.push(MISSING_BOUND);
        }
        let mut end = None;
        for place in columns.places(split.column, set) {
            let before = place as f64 - 1.0;
            match bounds.last_mut() {
                // it follows the one before
                Some(last) if end == Some(place) => *last = place as f64,
                _ => bounds.extend([before, place as f64]),
            }
            end = Some(place + 1);
        }
        Self { column, bounds, first_left }
    }

    /// Comparisons to an answer, at most.
    fn levels(&self) -> usize {
        (usize::BITS - self.bounds.len().leading_zeros()) as usize
    }

    /// Which comparison is the first of those of some bounds; none of no bounds.
    fn middle(from: usize, to: usize) -> Option<usize> {
        (from < to).then_some(from.midpoint(to))
    }
}

impl Nodes {
    /// With leaves only.
    pub(super) fn new(leaves: u32) -> Self {
        let count = leaves as usize;
        let themselves: Vec<u32> = (0..leaves).collect();
        Self {
            columns: vec![0; count],
            bounds: vec![0.0; count],
            left: themselves.clone(),
            right: themselves,
            levels: 0,
        }
    }

    /// Adds the questions of a tree whose leaves begin at `first`; gives its root, or `None` if there are too many for 31 bits.
    pub(super) fn add(&mut self, tree: &Tree, first: u32, columns: &mut Columns) -> Option<u32> {
        let mut places = Vec::with_capacity(tree.nodes().len());
        let mut questions = Vec::with_capacity(tree.nodes().len());
        let mut next = self.bounds.len();
        for node in tree.nodes() {
            let (place, question) = match node {
                Node::Leaf(leaf) => ((first + leaf) as usize, None),
                Node::Split(split) => {
                    let question = Question::new(tree, split, columns);
                    let begin = next;
                    next += question.bounds.len();
                    (begin + Question::middle(0, question.bounds.len())?, Some(question))
                }
            };
            places.push(u32::try_from(place).ok().filter(|place| *place <= i32::MAX as u32)?);
            questions.push(question);
        }
        for (node, question) in tree.nodes().iter().zip(&questions) {
            if let (Node::Split(split), Some(question)) = (node, question) {
                let children = [split.left, split.right].map(|child| places.get(child as usize).copied());
                self.search(question, [children[0]?, children[1]?]);
            }
        }
        self.levels = self.levels.max(levels(tree, &questions));
        places.first().copied()
    }

    /// Adds a question's comparisons, in the order of its bounds.
    fn search(&mut self, question: &Question, [left, right]: [u32; 2]) {
        let begin = self.bounds.len();
        let count = question.bounds.len();
        self.bounds.extend(&question.bounds);
        self.columns.extend(std::iter::repeat_n(question.column, count));
        self.left.resize(begin + count, 0);
        self.right.resize(begin + count, 0);
        let goes = |from: usize, to: usize| match Question::middle(from, to) {
            // fewer than 31 bits, as the places were
            Some(middle) => (begin + middle) as u32,
            None if from.is_multiple_of(2) == question.first_left => left,
            None => right,
        };
        let mut waiting = vec![(0, count)];
        while let Some((from, to)) = waiting.pop() {
            let Some(middle) = Question::middle(from, to) else { continue };
            let at = begin + middle;
            if let (Some(left), Some(right)) = (self.left.get_mut(at), self.right.get_mut(at)) {
                (*left, *right) = (goes(from, middle), goes(middle + 1, to));
            }
            waiting.extend([(from, middle), (middle + 1, to)]);
        }
    }
}

/// Comparisons from the root to a leaf, at most.
fn levels(tree: &Tree, questions: &[Option<Question>]) -> usize {
    let mut deepest = 0;
    let mut waiting = vec![(0_u32, 0)];
    while let Some((at, above)) = waiting.pop() {
        deepest = deepest.max(above);
        if let (Some(Node::Split(split)), Some(Some(question))) =
            (tree.nodes().get(at as usize), questions.get(at as usize))
        {
            let below = above + question.levels();
            waiting.extend([(split.left, below), (split.right, below)]);
        }
    }
    deepest
}
