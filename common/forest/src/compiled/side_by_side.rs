//! The trees of a mask form once more, for few rows: 64 side by side, so that one instruction asks a split of each.
//!
//! In order, a tree's k-th split stands between leaf k and the next; who fails it is in no leaf from the first below it up to
//! leaf k. So a row starts at leaf 0, and goes to leaf k + 1 if it fails split k and is at the first leaf below it or after;
//! when all splits were asked, it is where a walk would end.

use super::few::MOST_COLUMNS;
use super::masks::MaskForm;

/// Trees side by side.
pub(crate) const ABREAST: usize = 64;
/// So many steps cost as much as walking one tree.
const WALK: usize = 8;
/// Places for so many splits as there are, at most, or [`SMALL`]: 12 bytes a split are to be enough for all forms.
const MOST_PLACES: usize = 2;
/// Steps.
const SMALL: usize = 64;
/// A byte is at most this.
const ALWAYS: u8 = u8::MAX;

/// Where no tree has a split, who is asked passes.
#[derive(Debug, Clone)]
pub(crate) struct SideBySide {
    /// Trees with as many splits stand together, those with most first.
    pub(crate) steps: Vec<Step>,
    /// Of each 64 trees, where their steps end.
    pub(crate) ends: Vec<u32>,
    /// For each tree its place among all.
    pub(crate) places: Vec<u16>,
    /// For each table of sets and each step: the trees that ask a set of it. The form has the sets in the order of the steps, and
    /// of the trees in each.
    pub(crate) sets: Vec<Vec<u64>>,
}

/// One split of each of 64 trees.
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct Step {
    /// Whose byte is asked.
    pub(crate) columns: [u8; ABREAST],
    /// Whether it is at most this.
    pub(crate) bounds: [u8; ABREAST],
    /// The first leaf below.
    pub(crate) firsts: [u8; ABREAST],
}

/// In which order trees of so many splits stand, 64 after 64.
pub(super) fn arrange(splits: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let mut trees: Vec<(usize, usize)> = splits.enumerate().collect();
    trees.sort_by_key(|(_, splits)| std::cmp::Reverse(*splits));
    trees
}

impl SideBySide {
    /// `None` where walking is better, or the form can not hold the trees.
    pub(super) fn new(form: &MaskForm) -> Option<Self> {
        if form.columns.len() > MOST_COLUMNS || !(form.sets.is_empty() || form.sets_in_order) {
            return None;
        }
        let trees: Vec<_> = form.trees().collect();
        let arranged = arrange(trees.iter().map(|tree| tree.splits.len()));
        let groups = || arranged.chunks(ABREAST);
        let steps_of = |group: &[(usize, usize)]| group.first().map_or(0, |(_, splits)| *splits);
        let splits: usize = trees.iter().map(|tree| tree.splits.len()).sum();
        let steps: usize = groups().map(steps_of).sum();
        if steps > WALK * trees.len() || (steps > SMALL && steps * ABREAST > MOST_PLACES * splits) {
            return None;
        }
        let none = Step { columns: [0; ABREAST], bounds: [ALWAYS; ABREAST], firsts: [0; ABREAST] };
        let mut all = Self {
            steps: vec![none; steps],
            ends: Vec::with_capacity(arranged.len().div_ceil(ABREAST)),
            places: vec![0; trees.len()],
            sets: vec![vec![0; steps]; form.sets.len()],
        };
        let asked = form.bytes_asked();
        let mut from = 0;
        for (number, group) in groups().enumerate() {
            for (lane, (tree, _)) in group.iter().enumerate() {
                *all.places.get_mut(*tree)? = u16::try_from(number * ABREAST + lane).ok()?;
                let order = form.shape(trees.get(*tree)?).in_order();
                for (step, (split, first)) in (from..).zip(order.splits) {
                    let question = usize::from(*trees.get(*tree)?.splits.get(split)?);
                    let to = all.steps.get_mut(step)?;
                    *to.firsts.get_mut(lane)? = first;
                    if let Some((column, bound)) = asked.get(question) {
                        (*to.columns.get_mut(lane)?, *to.bounds.get_mut(lane)?) = (*column, *bound);
                    } else {
                        let table = form.sets.iter().position(|table| table.tests.contains(&question))?;
                        *all.sets.get_mut(table)?.get_mut(step)? |= 1 << lane;
                    }
                }
            }
            from += steps_of(group);
            all.ends.push(from as u32);
        }
        Some(all)
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.steps)
            + size_of_val(&*self.ends)
            + size_of_val(&*self.places)
            + self.sets.iter().map(|sets| size_of_val(&**sets)).sum::<usize>()
    }
}
