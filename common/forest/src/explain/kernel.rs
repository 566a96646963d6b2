//! One tree, some rows, the points of a quadrature: down along each edge, a product at each point; up again, a sum.
//!
//! At a point `t` a player's factor is `cover · (1 - t)`, and `t` more where it lets the row pass; its part of a leaf is
//! the integral of the product of all factors, times `(1 - cover) / factor` where it lets pass and `-1 / (1 - t)` where it does
//! not. A player asked again on the way has its factor replaced, and the difference of its parts added.
//! The order of every sum is the same however many rows there are.
#![expect(clippy::indexing_slicing, reason = "levels, players and leaves are counted when the form is built")]

use super::form::{Edge, NO_LEAF, PASSES, TreeForm};
use super::quadrature::Points;
use super::vector::Vector;

/// Memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Levels {
    /// Level after level, for each group of rows and point: the product from the root to there.
    products: Vec<f64>,
    /// The sum over the leaves below that were met.
    sums: Vec<f64>,
    ways: Vec<Way>,
}

/// The edge by which a level was reached.
#[derive(Debug, Clone, Copy)]
struct Way {
    player: usize,
    cover: f64,
    before: usize,
    /// The rows that its player lets pass, on all edges so far.
    pass: u64,
}

const ROOT: Way = Way { player: 0, cover: 1.0, before: 0, pass: !0 };

/// What an edge does at each point, to rows that its player lets pass here, and to those that it let pass until here only.
struct Does<const M: usize> {
    pass: [f64; M],
    stop: [f64; M],
}

/// Adds what each player contributes to `to`: for each player, for each of `G` groups of rows. `values`: of each leaf, the
/// first of every `each`.
#[inline(always)]
pub(super) fn explain<V: Vector<Lanes = [f64; L]>, const M: usize, const L: usize, const G: usize>(
    tree: &TreeForm,
    (values, each): (&[f64], usize),
    points: &Points,
    bits: &[u64],
    levels: &mut Levels,
    to: &mut [[[f64; L]; G]],
) {
    let Some(points) = Few::<M>::of(points) else { return };
    let room = (tree.depth + 1) * G * M * L;
    if levels.products.len() < room {
        levels.products.resize(room, 0.0);
        levels.sums.resize(room, 0.0);
    }
    let products = levels.products.as_chunks_mut::<L>().0.as_chunks_mut::<M>().0.as_chunks_mut::<G>().0;
    let sums = levels.sums.as_chunks_mut::<L>().0.as_chunks_mut::<M>().0.as_chunks_mut::<G>().0;
    for of_group in &mut products[0] {
        for (product, weight) in of_group.iter_mut().zip(points.weights) {
            *product = [weight; L];
        }
    }
    let ways = &mut levels.ways;
    ways.clear();
    ways.push(ROOT);
    for edge in &tree.edges {
        let level = usize::from(edge.level);
        while ways.len() > level {
            close::<V, M, L, G>(ways, &points, sums, to);
        }
        let way = Way::along(edge, bits, ways);
        let before = ways[way.before];
        let step = points.step(&way, &before);
        if edge.leaf == NO_LEAF {
            let (above, below) = products.split_at_mut(level);
            descend::<V, M, L, G>(&step, &way, &before, &above[level - 1], &mut below[0]);
            sums[level] = [[[0.0; L]; M]; G];
            ways.push(way);
        } else {
            let value = values[edge.leaf as usize * each];
            let part = points.part(&way, &before);
            let (products, sums) = (&products[level - 1], &mut sums[level - 1]);
            leaf::<V, M, L, G>((&step, &part, value), &way, &before, products, sums, &mut to[way.player]);
        }
    }
    while ways.len() > 1 {
        close::<V, M, L, G>(ways, &points, sums, to);
    }
}

impl Way {
    #[inline(always)]
    fn along(edge: &Edge, bits: &[u64], ways: &[Self]) -> Self {
        let passed = bits[(edge.question & !PASSES) as usize];
        let here = if edge.question & PASSES != 0 { passed } else { !passed };
        let before = usize::from(edge.before);
        Self { player: edge.player as usize, cover: edge.cover, before, pass: here & ways[before].pass }
    }

    /// What an edge multiplies the products of rows by that its player did not let pass before; where nothing came by before,
    /// the product is zero already.
    #[inline(always)]
    fn fraction(&self, before: &Self) -> f64 {
        if before.cover > 0.0 { self.cover / before.cover } else { 0.0 }
    }
}

/// The points of a run.
struct Few<const M: usize> {
    at: [f64; M],
    rest: [f64; M],
    weights: [f64; M],
}

impl<const M: usize> Few<M> {
    #[inline(always)]
    fn of(points: &Points) -> Option<Self> {
        let Points { at, rest, weights } = points;
        Some(Self { at: *at.first_chunk()?, rest: *rest.first_chunk()?, weights: *weights.first_chunk()? })
    }

    /// By what an edge multiplies the product.
    #[inline(always)]
    fn step(&self, way: &Way, before: &Way) -> Does<M> {
        let (mut pass, mut stop) = ([0.0; M], [0.0; M]);
        for q in 0..M {
            stop[q] = self.rest[q] * way.cover;
            pass[q] = stop[q] + self.at[q];
        }
        if way.before > 0 {
            for q in 0..M {
                let old = self.rest[q] * before.cover + self.at[q];
                pass[q] /= old;
                stop[q] /= old;
            }
        }
        Does { pass, stop }
    }

    /// By what the sum below an edge is multiplied to be the player's.
    #[inline(always)]
    fn part(&self, way: &Way, before: &Way) -> Does<M> {
        let (mut pass, mut stop) = ([0.0; M], [0.0; M]);
        for q in 0..M {
            pass[q] = (before.cover - way.cover) / (self.rest[q] * way.cover + self.at[q]);
            stop[q] = -1.0 / self.rest[q];
        }
        if way.before > 0 {
            for q in 0..M {
                let old = self.rest[q] * before.cover + self.at[q];
                pass[q] /= old;
                stop[q] /= old;
            }
        }
        Does { pass, stop }
    }
}

/// For each group the rows that the player lets pass, and those that it did before.
#[inline(always)]
fn masks<V: Vector>(way: &Way, before: &Way, group: usize) -> (V::Mask, V::Mask) {
    (V::mask(way.pass >> (group * V::ROWS)), V::mask(before.pass >> (group * V::ROWS)))
}

#[inline(always)]
fn descend<V: Vector<Lanes = [f64; L]>, const M: usize, const L: usize, const G: usize>(
    step: &Does<M>,
    way: &Way,
    before: &Way,
    above: &[[[f64; L]; M]; G],
    below: &mut [[[f64; L]; M]; G],
) {
    let never = V::splat(way.fraction(before));
    for (group, (above, below)) in above.iter().zip(below).enumerate() {
        let (pass, until) = masks::<V>(way, before, group);
        for q in 0..M {
            let mut by = V::choose(pass, step.pass[q], step.stop[q]);
            if way.before > 0 {
                by = by.or(until, never);
            }
            V::load(&above[q]).times(by).store(&mut below[q]);
        }
    }
}

#[inline(always)]
fn leaf<V: Vector<Lanes = [f64; L]>, const M: usize, const L: usize, const G: usize>(
    (step, part, value): (&Does<M>, &Does<M>, f64),
    way: &Way,
    before: &Way,
    above: &[[[f64; L]; M]; G],
    sums: &mut [[[f64; L]; M]; G],
    to: &mut [[f64; L]; G],
) {
    let mut worth = Does { pass: step.pass, stop: step.stop };
    for q in 0..M {
        worth.pass[q] *= value;
        worth.stop[q] *= value;
    }
    let never = V::splat(way.fraction(before) * value);
    for (group, ((above, sums), to)) in above.iter().zip(sums).zip(to).enumerate() {
        let (pass, until) = masks::<V>(way, before, group);
        let mut parts = [V::splat(0.0); M];
        for q in 0..M {
            let mut by = V::choose(pass, worth.pass[q], worth.stop[q]);
            let mut part = V::choose(pass, part.pass[q], part.stop[q]);
            if way.before > 0 {
                by = by.or(until, never);
                part = part.keep(until);
            }
            let product = V::load(&above[q]).times(by);
            V::load(&sums[q]).add(product).store(&mut sums[q]);
            parts[q] = product.times(part);
        }
        V::load(to).add(total(parts)).store(to);
    }
}

/// Goes up from the last level.
#[inline(always)]
fn close<V: Vector<Lanes = [f64; L]>, const M: usize, const L: usize, const G: usize>(
    ways: &mut Vec<Way>,
    points: &Few<M>,
    sums: &mut [[[[f64; L]; M]; G]],
    to: &mut [[[f64; L]; G]],
) {
    let Some(way) = ways.pop() else { return };
    let before = &ways[way.before];
    let part = points.part(&way, before);
    let (above, below) = sums.split_at_mut(ways.len());
    let (above, below) = (&mut above[ways.len() - 1], &below[0]);
    let to = &mut to[way.player];
    for (group, ((above, below), to)) in above.iter_mut().zip(below).zip(to).enumerate() {
        let (pass, until) = masks::<V>(&way, before, group);
        let mut parts = [V::splat(0.0); M];
        for q in 0..M {
            let mut part = V::choose(pass, part.pass[q], part.stop[q]);
            if way.before > 0 {
                part = part.keep(until);
            }
            let sum = V::load(&below[q]);
            V::load(&above[q]).add(sum).store(&mut above[q]);
            parts[q] = sum.times(part);
        }
        V::load(to).add(total(parts)).store(to);
    }
}

/// Adds up halves of halves.
#[inline(always)]
fn total<V: Vector, const M: usize>(mut parts: [V; M]) -> V {
    let mut count = M;
    while count > 1 {
        let half = count.div_ceil(2);
        for q in half..count {
            parts[q - half] = parts[q - half].add(parts[q]);
        }
        count = half;
    }
    parts[0]
}
