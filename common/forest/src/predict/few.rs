//! Few rows, one by one: several trees are walked at once, so that the processor has other loads to do while one is under
//! way. The same for both forms; only what answers a split differs.
#![expect(clippy::indexing_slicing, reason = "a form's constructor checked what every index here comes from")]

use super::isa::Isa;
use super::sums::Sums;
use crate::compiled::{
    Answer, LEAF, Layout, Lookup, MISSING, MISSING_LEFT, MOST_LEAVES, MaskForm, MaskNode, ONE_OF, Part, Values,
    WalkForm, WalkSplit,
};

/// Trees at once.
const LANES: usize = 16;
/// Levels after which it is asked whether all have arrived.
const LEVELS: usize = 4;

/// Memory that is used again.
#[derive(Default)]
pub(super) struct FewScratch {
    /// One for each question: 0 passes, 1 does not.
    answers: Vec<u8>,
    ranks: Vec<u16>,
}

/// Adds the leaves of trees laid out for masks for one row, whose columns' numbers are `numbers`.
#[inline(always)]
pub(super) fn masks<I: Isa>(part: &Part, form: &MaskForm, numbers: &[f64], scratch: &mut FewScratch, sums: &mut Sums) {
    let FewScratch { answers, ranks } = scratch;
    rank(&form.lookups, numbers, ranks);
    answers.resize(MOST_LEAVES + form.tests(), 0);
    let (leaves, asked) = answers.split_at_mut(MOST_LEAVES);
    // leaves pass, and lead to themselves
    leaves.fill(0);
    for column in &form.columns {
        let rank = ranks[column.lookup];
        let byte =
            if column.missing_passes && rank == MISSING { 0 } else { rank.saturating_sub(column.from).min(255) as u8 };
        let bounds = &form.bounds[column.tests.clone()];
        for (answer, bound) in asked[column.tests.clone()].iter_mut().zip(bounds) {
            *answer = u8::from(byte > *bound);
        }
    }
    for table in &form.sets {
        let passed = table.row(ranks[table.lookup]);
        for (answers, passed) in asked[table.tests.clone()].as_chunks_mut().0.iter_mut().zip(passed) {
            I::spread(!passed, answers);
        }
    }
    let starts = form.starts();
    for from in (0..starts.len() - 1).step_by(LANES) {
        let starts = &starts[from..starts.len().min(from + LANES + 1)];
        let count = starts.len() - 1;
        let mut first = [starts[0]; LANES];
        first[..count].copy_from_slice(&starts[..count]);
        let leaves = descend(form, &first, form.depth(from..from + count), answers);
        let values = std::array::from_fn(|lane| form.values(from + lane, first[lane] as usize));
        let of_tree =
            std::array::from_fn(|lane| starts.get(lane + 1).map_or(0, |end| (end - first[lane]) as usize / 2 + 1));
        add(part, from, &Found { count, values, leaves, of_tree }, sums);
    }
}

/// What one row found in some trees.
struct Found {
    /// How many trees.
    count: usize,
    /// Where the tree's numbers begin.
    values: [usize; LANES],
    /// Which leaf.
    leaves: [usize; LANES],
    /// How many leaves the tree has.
    of_tree: [usize; LANES],
}

/// One row's leaf of each of [`LANES`] trees, of which the first nodes are `first`.
#[expect(unsafe_code, reason = "every index is of the form's own, and each is looked up some thousand times a row")]
#[inline(always)]
fn descend(form: &MaskForm, first: &[u32; LANES], depth: usize, answers: &[u8]) -> [usize; LANES] {
    let mut at = [0_u32; LANES];
    let nodes = &form.nodes[..];
    let node = |first: u32, at: u32| {
        // SAFETY: a tree's nodes name only nodes of the tree
        unsafe { *nodes.get_unchecked((first + at) as usize) }
    };
    let mut deeper = depth;
    // who has arrived stays
    while deeper > 0 {
        for _ in 0..deeper.min(LEVELS) {
            for lane in 0..LANES {
                let MaskNode { test, pass } = node(first[lane], at[lane]);
                // SAFETY: there is an answer for each leaf and each question
                let answer = unsafe { *answers.get_unchecked(usize::from(test)) };
                at[lane] = u32::from(pass) + u32::from(answer);
            }
        }
        deeper = deeper.saturating_sub(LEVELS);
        // of few levels more it is not worth asking
        if deeper > LEVELS && (0..LANES).all(|lane| usize::from(node(first[lane], at[lane]).test) < MOST_LEAVES) {
            break;
        }
    }
    std::array::from_fn(|lane| usize::from(node(first[lane], at[lane]).test))
}

/// Adds the leaves of trees to walk for one row, whose columns' numbers are `numbers`.
#[inline(always)]
pub(super) fn walk(part: &Part, form: &WalkForm, numbers: &[f64], scratch: &mut FewScratch, sums: &mut Sums) {
    let ranks = &mut scratch.ranks;
    rank(&form.lookups, numbers, ranks);
    for (number, trees) in form.trees.chunks(LANES).enumerate() {
        let mut at = [LEAF; LANES];
        at.iter_mut().zip(trees).for_each(|(at, tree)| *at = tree.root);
        let mut under_way = !form.splits.is_empty();
        while under_way {
            under_way = false;
            for at in &mut at {
                let walks = *at & LEAF == 0;
                let next = step(form, &form.splits[if walks { *at as usize } else { 0 }], |lookup| ranks[lookup]);
                *at = if walks { next } else { *at };
                under_way |= walks;
            }
        }
        let found = Found {
            count: trees.len(),
            values: std::array::from_fn(|lane| trees.get(lane).map_or(0, |tree| tree.values)),
            leaves: at.map(|at| (at & !LEAF) as usize),
            of_tree: std::array::from_fn(|lane| trees.get(lane).map_or(0, |tree| tree.leaves)),
        };
        add(part, number * LANES, &found, sums);
    }
}

/// Where a row goes from a split.
#[inline(always)]
pub(super) fn step(form: &WalkForm, split: &WalkSplit, rank: impl Fn(usize) -> u16) -> u32 {
    let rank = rank(usize::from(split.lookup & !(MISSING_LEFT | ONE_OF)));
    let left = if rank == MISSING {
        split.lookup & MISSING_LEFT != 0
    } else if split.lookup & ONE_OF == 0 {
        rank <= split.key
    } else {
        let set = &form.sets[usize::from(split.key)];
        set.get(usize::from(rank / 64)).is_some_and(|word| word >> (rank % 64) & 1 == 1)
    };
    split.children[usize::from(!left)]
}

/// Adds leaves to one row's sums: of some trees, the first of which is number `first` of the part.
#[inline(always)]
fn add(part: &Part, first: usize, found: &Found, sums: &mut Sums) {
    match (&part.values, sums) {
        (Values::Single(table), Sums::Single(sums)) => add_to(table, &part.layout, first, found, sums),
        (Values::Double(table), Sums::Double(sums)) => add_to(table, &part.layout, first, found, sums),
        _ => {}
    }
}

#[inline(always)]
fn add_to<F: Copy + std::ops::AddAssign>(table: &[F], layout: &Layout, first: usize, found: &Found, sums: &mut [F]) {
    let Found { count, values, leaves, of_tree } = found;
    match layout {
        Layout::Targets(targets) => {
            for (lane, target) in targets[first..first + count].iter().enumerate() {
                sums[*target as usize] += table[values[lane] + leaves[lane]];
            }
        }
        Layout::Columns(2) => add_columns::<F, 2>(table, found, sums),
        Layout::Columns(3) => add_columns::<F, 3>(table, found, sums),
        Layout::Columns(_) => add_columns::<F, 4>(table, found, sums),
        Layout::Rows => {
            let each = sums.len();
            for lane in 0..*count {
                let leaf = &table[values[lane] + leaves[lane] * each..];
                sums.iter_mut().zip(leaf).for_each(|(sum, value)| *sum += *value);
            }
        }
    }
    debug_assert!(of_tree.iter().take(*count).zip(leaves).all(|(count, leaf)| leaf < count));
}

/// Leaves of so many numbers; the sums stay in registers.
#[inline(always)]
fn add_columns<F: Copy + std::ops::AddAssign, const EACH: usize>(table: &[F], found: &Found, to: &mut [F]) {
    let Some(to) = to.first_chunk_mut::<EACH>() else { return };
    let mut sums = *to;
    for lane in 0..found.count {
        let from = found.values[lane] + found.leaves[lane];
        for (column, sum) in sums.iter_mut().enumerate() {
            *sum += table[from + column * found.of_tree[lane]];
        }
    }
    *to = sums;
}

/// The rank of each lookup's number in one row.
#[inline(always)]
fn rank(lookups: &[Lookup], numbers: &[f64], ranks: &mut Vec<u16>) {
    ranks.resize(lookups.len(), 0);
    for (rank, lookup) in ranks.iter_mut().zip(lookups) {
        *rank = lookup.rank(numbers[lookup.column as usize]);
    }
}

/// The numbers of a row's columns, prepared and not cast.
#[inline(always)]
pub(super) fn numbers<T: super::Element>(answer: &Answer, row: ndarray::ArrayView1<'_, T>, to: &mut Vec<f64>) {
    to.clear();
    if answer.columns.is_empty() {
        to.extend(row.iter().map(|x| x.widen()));
    } else {
        let prepared = answer.columns.iter();
        to.extend(prepared.map(|column| row.get(column.feature as usize).map_or(f64::NAN, |x| x.prepare(column))));
    }
}
