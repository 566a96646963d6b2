//! Models that nothing trained: of any shape that a [`Model`] can have.
#![allow(dead_code, unreachable_pub)]

use arborgate_forest::{
    Categories, CategoryRule, Combine, Decision, Feature, FeatureKind, Finish, Input, Limits, Linear, Link, Model,
    Node, Parts, Precision, Source, Split, Sum, Task, Test, Tree, TreeParts,
};
use ndarray::Array2;

/// xorshift64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    /// In [-1, 1).
    pub fn number(&mut self) -> f64 {
        self.below(1 << 52) as f64 / (1_u64 << 51) as f64 - 1.0
    }
}

/// What a model is like. The last column is a category if there are categories.
pub struct Shape {
    pub trees: usize,
    pub depth: usize,
    /// Of 100 nodes, so many become leaves early.
    pub prune: u64,
    pub features: usize,
    /// Thresholds to choose from, for each feature.
    pub keys: usize,
    pub categories: usize,
    pub margins: usize,
    /// Whether a leaf has a number for each margin.
    pub wide: bool,
    pub linear: bool,
    /// Whether nodes say how much came by.
    pub cover: bool,
    pub precision: Precision,
    pub sum: Precision,
    pub category: CategoryRule,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            trees: 10,
            depth: 4,
            prune: 10,
            features: 5,
            keys: 100,
            categories: 0,
            margins: 1,
            wide: false,
            linear: false,
            cover: false,
            precision: Precision::Single,
            sum: Precision::Single,
            category: CategoryRule::Whole,
        }
    }
}

/// Parents stand before their children; some children get nothing.
fn cover(nodes: &[Node], random: &mut Random) -> Vec<f64> {
    let mut cover = vec![1000.0; nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        if let Node::Split(split) = node {
            let part = random.below(21) as f64 / 20.0;
            cover[split.left as usize] = cover[at] * part;
            cover[split.right as usize] = cover[at] * (1.0 - part);
        }
    }
    cover
}

impl Shape {
    /// A threshold of the shape's keys.
    fn key(&self, random: &mut Random, feature: usize) -> f64 {
        let mut own = Random::new(random.below(self.keys as u64) * 31 + feature as u64);
        match own.below(40) {
            0 => 0.0,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => 1e-40,
            _ => own.number(),
        }
    }

    pub fn model(&self, random: &mut Random) -> Model {
        let trees: Vec<Tree> = (0..self.trees).map(|number| self.tree(random, number)).collect();
        let kind = |column| match self.categories {
            0 => FeatureKind::Number,
            _ if column + 1 < self.features => FeatureKind::Number,
            _ => FeatureKind::Category(Categories::Codes),
        };
        let feature = |column| Feature { name: None, kind: kind(column), missing_allowed: true };
        let input = Input { precision: self.precision, infinite_allowed: true, category: self.category };
        let start = (0..self.margins).map(|_| f64::from(random.number() as f32)).collect();
        let shift: Vec<f64> = (0..self.margins).map(|margin| margin as f64 / 4.0 - 0.5).collect();
        let finish = match random.below(4) {
            0 => Finish::Nothing,
            1 => Finish::Divide(7.0),
            2 => Finish::DivideAndShift { by: 7.0, shift },
            _ => Finish::ScaleAndShift { scale: 0.5, shift },
        };
        Model::new(Parts {
            task: Task::Regression,
            features: (0..self.features).map(feature).collect(),
            input,
            columns: Vec::new(),
            n_outputs: self.margins,
            classes: Vec::new(),
            sum: Sum { combine: Combine::Add, precision: self.sum, start, finish },
            link: Link::Identity,
            decision: Decision::None,
            trees,
            source: Source { library: "made up".into(), version: "1".into(), class: "tree".into() },
        })
        .unwrap()
    }

    fn tree(&self, random: &mut Random, number: usize) -> Tree {
        let mut parts = TreeParts::default();
        self.grow(random, self.depth, &mut parts);
        let leaves = parts.nodes.iter().filter(|node| matches!(node, Node::Leaf(_))).count();
        let each = if self.wide { self.margins } else { 1 };
        if self.cover {
            parts.cover = cover(&parts.nodes, random);
        }
        parts.target = (!self.wide).then_some((number % self.margins) as u32);
        parts.values = (0..leaves * each).map(|_| f64::from(random.number() as f32)).collect();
        if self.linear && each == 1 {
            let term = |random: &mut Random| (random.below(self.features as u64) as u32, random.number());
            let linear = |random: &mut Random| {
                let terms = (0..random.below(4)).map(|_| term(random)).collect();
                Linear { constant: random.number(), terms }
            };
            parts.linear = (0..leaves).map(|_| linear(random)).collect();
        }
        Tree::new(parts, &Limits::default()).unwrap()
    }

    fn grow(&self, random: &mut Random, depth: usize, parts: &mut TreeParts) -> u32 {
        let at = parts.nodes.len();
        if depth == 0 || random.below(100) < self.prune {
            let leaves = parts.nodes.iter().filter(|node| matches!(node, Node::Leaf(leaf) if *leaf < u32::MAX)).count();
            parts.nodes.push(Node::Leaf(leaves as u32));
            return at as u32;
        }
        // a place for the split, which is no leaf
        parts.nodes.push(Node::Leaf(u32::MAX));
        let feature = random.below(self.features as u64) as usize;
        let test = if self.categories > 0 && feature + 1 == self.features {
            let some = 1 + random.below(8.min(self.categories as u64));
            let mut set: Vec<i64> = (0..some).map(|_| random.below(self.categories as u64) as i64).collect();
            set.sort_unstable();
            set.dedup();
            parts.sets.push(set);
            Test::OneOf(parts.sets.len() as u32 - 1)
        } else {
            Test::AtMost(self.key(random, feature))
        };
        let missing_left = random.below(2) == 0;
        let zero_is_missing = random.below(8) == 0;
        let left = self.grow(random, depth - 1, parts);
        let right = self.grow(random, depth - 1, parts);
        parts.nodes[at] =
            Node::Split(Split { column: feature as u32, test, left, right, missing_left, zero_is_missing });
        at as u32
    }

    /// Rows that meet thresholds and their neighbours, categories seen and unseen, and what is odd.
    pub fn rows(&self, random: &mut Random, count: usize) -> Array2<f64> {
        Array2::from_shape_fn((count, self.features), |(_, feature)| {
            if self.categories > 0 && feature + 1 == self.features {
                let category = random.below(self.categories as u64 + 5) as f64;
                return match random.below(12) {
                    0 => f64::NAN,
                    1 => -category,
                    2 => category + 0.5,
                    3 => category - 0.5,
                    4 => 3e9,
                    5 => f64::INFINITY,
                    _ => category,
                };
            }
            let key = self.key(random, feature);
            match random.below(16) {
                0 => key,
                1 => key.next_up(),
                2 => key.next_down(),
                3 => f64::from(key as f32),
                4 => f64::from((key as f32).next_up()),
                5 => f64::from((key as f32).next_down()),
                6 => f64::NAN,
                7 => [0.0, -0.0, 1e-36, -1e-36, 1e-35, 1e300, -1e300, f64::INFINITY, f64::NEG_INFINITY, 1e-310]
                    [random.below(10) as usize],
                _ => random.number(),
            }
        })
    }
}
