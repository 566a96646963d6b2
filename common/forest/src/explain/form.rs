//! Trees laid out for explanations: their edges in the order of a walk that goes down before it goes on, each with what its
//! player has let pass so far. A player is a feature of the model that trees ask.

use std::collections::HashMap;

use super::ExplainError;
use super::quadrature::Rule;
use crate::model::{Model, Node, Split, Test, Tree};

/// In [`Edge::leaf`]: the edge leads to a split.
pub(super) const NO_LEAF: u32 = u32::MAX;
/// In [`Edge::question`]: who passes comes here, else who does not.
pub(super) const PASSES: u32 = 1 << 31;
/// In [`Question::flags`]: where NaN goes; whether zero goes there too; whether the key is a set.
pub(super) const MISSING_PASSES: u32 = 1;
pub(super) const ZERO_IS_MISSING: u32 = 2;
pub(super) const ONE_OF: u32 = 4;
/// Members below this are bits: of one set, at most half a kilobyte more than its members take.
const MOST_BITS: i64 = 4096;

/// 24 bytes: 64 a split, with its question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    /// The product of the fractions of cover of this and all edges above of the same player.
    pub(super) cover: f64,
    /// Which of the tree's leaves, or [`NO_LEAF`].
    pub(super) leaf: u32,
    /// Which of the tree's questions, and [`PASSES`].
    pub(super) question: u32,
    pub(super) player: u32,
    /// From 1 on.
    pub(super) level: u16,
    /// The level of the last edge above of the same player; 0 if there is none.
    pub(super) before: u16,
}

/// 16 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    /// The bits of a threshold, or which set.
    pub(super) key: u64,
    /// Which of [`Form::numbers`], or for a set which of [`Form::categories`].
    pub(super) column: u32,
    pub(super) flags: u32,
}

#[derive(Debug, Clone)]
pub(super) enum Set {
    Bits(Vec<u64>),
    Ascending(Vec<i64>),
}

#[derive(Debug, Clone)]
pub(super) struct TreeForm {
    pub(super) edges: Vec<Edge>,
    pub(super) questions: Vec<Question>,
    pub(super) sets: Vec<Set>,
    /// Of each leaf, one or for each margin one.
    pub(super) values: Vec<f64>,
    pub(super) target: Option<usize>,
    pub(super) depth: usize,
    /// Which of [`Form::rules`].
    pub(super) rule: usize,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Form {
    pub(super) trees: Vec<TreeForm>,
    pub(super) rules: Vec<Rule>,
    /// For each player its feature.
    pub(super) players: Vec<u32>,
    /// The columns that are asked for thresholds, and for sets.
    pub(super) numbers: Vec<u32>,
    pub(super) categories: Vec<u32>,
    /// What all trees give on average, for each margin.
    pub(super) mean: Vec<f64>,
}

impl Form {
    pub(super) fn new(model: &Model) -> Result<Self, ExplainError> {
        let mut builder = Builder { model, form: Self::default(), places: Default::default(), rules: HashMap::new() };
        builder.form.mean = vec![0.0; model.n_margins()];
        for (number, tree) in model.trees().iter().enumerate() {
            builder.tree(number, tree)?;
        }
        Ok(builder.form)
    }

    pub(super) fn bytes(&self) -> usize {
        let set = |set: &Set| match set {
            Set::Bits(words) => size_of_val(&**words),
            Set::Ascending(members) => size_of_val(&**members),
        };
        let tree = |tree: &TreeForm| {
            size_of_val(&*tree.edges)
                + size_of_val(&*tree.questions)
                + size_of_val(&*tree.values)
                + size_of_val(&*tree.sets)
                + tree.sets.iter().map(set).sum::<usize>()
        };
        self.trees.iter().map(tree).sum::<usize>()
            + size_of_val(&*self.trees)
            + self.rules.iter().map(Rule::bytes).sum::<usize>()
    }
}

/// Numbers given to what is met, in the order in which it is met.
#[derive(Default)]
struct Places {
    players: HashMap<u32, u32>,
    numbers: HashMap<u32, u32>,
    categories: HashMap<u32, u32>,
}

fn place(of: &mut HashMap<u32, u32>, all: &mut Vec<u32>, what: u32) -> u32 {
    *of.entry(what).or_insert_with(|| {
        all.push(what);
        all.len() as u32 - 1
    })
}

struct Builder<'m> {
    model: &'m Model,
    form: Form,
    places: Places,
    /// By the most players on a way.
    rules: HashMap<usize, usize>,
}

/// An edge whose subtree is under way.
struct Open {
    player: u32,
    /// The level of the player's last edge above; 0 if there is none.
    before: u16,
    /// As [`Edge::cover`].
    cover: f64,
    /// The part of the tree's cover that comes here.
    reached: f64,
    /// How many there are from the root to here.
    players: usize,
}

/// An edge to come.
struct Coming {
    to: u32,
    level: usize,
    fraction: f64,
    question: u32,
    player: u32,
}

/// A walk through one tree.
#[derive(Default)]
struct Walk {
    edges: Vec<Edge>,
    questions: Vec<Question>,
    open: Vec<Open>,
    waiting: Vec<Coming>,
    /// For each player the level of its last edge on the way; 0 if there is none.
    last: Vec<u16>,
    /// The most players on a way.
    most: usize,
}

impl Builder<'_> {
    fn tree(&mut self, number: usize, tree: &Tree) -> Result<(), ExplainError> {
        if !tree.linear().is_empty() {
            return Err(ExplainError::Linear { tree: number });
        }
        if !tree.values().iter().all(|value| value.is_finite()) {
            return Err(ExplainError::Value { tree: number });
        }
        if tree.leaves() > 1 && tree.cover().is_empty() {
            return Err(ExplainError::NoCover { tree: number });
        }
        if tree.depth() >= usize::from(u16::MAX) {
            return Err(ExplainError::Depth { tree: number });
        }
        let mut walk = Walk::default();
        walk.edges.reserve_exact(tree.nodes().len().saturating_sub(1));
        walk.questions.reserve_exact(tree.leaves().saturating_sub(1));
        let mut at = Some(0);
        while let Some(node) = at {
            match tree.nodes().get(node as usize) {
                Some(Node::Split(split)) => self.split(&mut walk, number, tree, (node, split))?,
                Some(Node::Leaf(leaf)) => self.leaf(&mut walk, tree, *leaf),
                // a tree's children are there: `Tree::new` checked it
                None => {}
            }
            at = walk.next();
        }
        let rules = &mut self.form.rules;
        let rule = *self.rules.entry(walk.most).or_insert_with(|| {
            rules.push(Rule::new(walk.most.saturating_sub(1)));
            rules.len() - 1
        });
        self.form.trees.push(TreeForm {
            edges: walk.edges,
            questions: walk.questions,
            sets: tree.sets().iter().map(|set| Set::new(set)).collect(),
            values: tree.values().to_vec(),
            target: tree.target(),
            depth: tree.depth(),
            rule,
        });
        Ok(())
    }

    fn split(
        &mut self,
        walk: &mut Walk,
        number: usize,
        tree: &Tree,
        (node, split): (u32, &Split),
    ) -> Result<(), ExplainError> {
        let model = self.model;
        let Form { players, numbers, categories, .. } = &mut self.form;
        let feature = match model.columns().get(split.column as usize) {
            Some(column) => column.feature,
            None => split.column,
        };
        let player = place(&mut self.places.players, players, feature);
        let mut flags = if split.missing_left { MISSING_PASSES } else { 0 };
        let (key, column) = match split.test {
            Test::AtMost(threshold) => {
                flags |= if split.zero_is_missing { ZERO_IS_MISSING } else { 0 };
                (threshold.to_bits(), place(&mut self.places.numbers, numbers, split.column))
            }
            Test::OneOf(set) => {
                flags |= ONE_OF;
                (u64::from(set), place(&mut self.places.categories, categories, split.column))
            }
        };
        let question = walk.questions.len() as u32;
        walk.questions.push(Question { key, column, flags });
        let cover = |node: u32| tree.cover().get(node as usize).copied().unwrap_or(f64::NAN);
        let level = walk.open.len() + 1;
        // the left one is next
        for (to, passes) in [(split.right, 0), (split.left, PASSES)] {
            let fraction = fraction(cover(node), cover(to)).ok_or(ExplainError::Cover { tree: number, node: to })?;
            walk.waiting.push(Coming { to, level, fraction, question: question | passes, player });
        }
        Ok(())
    }

    fn leaf(&mut self, walk: &mut Walk, tree: &Tree, leaf: u32) {
        if let Some(edge) = walk.edges.last_mut() {
            edge.leaf = leaf;
        }
        let reached = walk.open.last().map_or(1.0, |open| open.reached);
        let mean = &mut self.form.mean;
        let (first, each) = tree.target().map_or((0, mean.len()), |target| (target, 1));
        let values = tree.values().iter().skip(leaf as usize * each);
        mean.iter_mut().skip(first).take(each).zip(values).for_each(|(mean, value)| *mean += reached * value);
    }
}

impl Walk {
    /// Goes along the next edge, to the node that it leads to.
    fn next(&mut self) -> Option<u32> {
        let Coming { to, level, fraction, question, player } = self.waiting.pop()?;
        while self.open.len() >= level {
            let closed = self.open.pop()?;
            *self.last.get_mut(closed.player as usize)? = closed.before;
        }
        let known = self.last.len().max(player as usize + 1);
        self.last.resize(known, 0);
        let level = level as u16;
        let before = std::mem::replace(self.last.get_mut(player as usize)?, level);
        let above = usize::from(before).checked_sub(1).and_then(|above| self.open.get(above));
        let cover = fraction * above.map_or(1.0, |above| above.cover);
        let (reached, players) = self.open.last().map_or((1.0, 0), |open| (open.reached, open.players));
        let players = players + usize::from(before == 0);
        self.most = self.most.max(players);
        self.open.push(Open { player, before, cover, reached: reached * fraction, players });
        self.edges.push(Edge { cover, leaf: NO_LEAF, question, player, level, before });
        Some(to)
    }
}

/// The part of a node's cover that goes to a child; `None` where that is none. Where nothing came by, half of it (XGBoost's
/// `BranchWeight`).
fn fraction(parent: f64, child: f64) -> Option<f64> {
    let legal = |cover: f64| cover >= 0.0 && cover.is_finite();
    let fraction = if parent == 0.0 { 0.5 } else { child / parent };
    (legal(parent) && legal(child) && fraction.is_finite()).then_some(fraction)
}

impl Set {
    /// Of members that ascend.
    fn new(members: &[i64]) -> Self {
        let small = match (members.first(), members.last()) {
            (Some(first), Some(last)) => *first >= 0 && *last < MOST_BITS,
            _ => true,
        };
        if !small {
            return Self::Ascending(members.to_vec());
        }
        let mut words = vec![0_u64; members.last().map_or(0, |last| *last as usize / 64 + 1)];
        for member in members {
            if let Some(word) = words.get_mut(*member as usize / 64) {
                *word |= 1 << (member % 64);
            }
        }
        Self::Bits(words)
    }

    #[inline(always)]
    pub(super) fn has(&self, category: i64) -> bool {
        match self {
            Self::Bits(words) => {
                let word = usize::try_from(category / 64).ok().and_then(|at| words.get(at)).copied().unwrap_or(0);
                category >= 0 && word >> (category % 64) & 1 == 1
            }
            Self::Ascending(members) => members.binary_search(&category).is_ok(),
        }
    }
}
