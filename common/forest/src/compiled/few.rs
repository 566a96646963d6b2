//! How one row alone goes through the trees of a mask form, and a few rows together.

use super::masks::{MOST_LEAVES, MaskForm};
use super::side_by_side::SideBySide;
use crate::predict::Processor;

/// Byte columns that [`super::Step::columns`] can name.
pub(crate) const MOST_COLUMNS: usize = 128;

#[derive(Debug, Clone)]
pub(crate) enum Few {
    /// Every question is asked once, then each tree is walked node by node.
    Nodes(Vec<MaskNode>),
    /// Every split is asked, of 64 trees at once.
    SideBySide(SideBySide),
}

impl Default for Few {
    fn default() -> Self {
        Self::Nodes(Vec::new())
    }
}

/// 4 bytes a node: at most twice as many a split.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct MaskNode {
    /// Below [`MOST_LEAVES`]: a leaf, and which. Else which question, counted from there.
    pub(crate) test: u16,
    /// Where in the tree who passes goes; who does not goes to the node after that. A leaf leads to itself.
    pub(crate) pass: u16,
}

impl Few {
    pub(crate) fn new(form: &MaskForm, processor: Processor) -> Self {
        // without a permutation of bytes, asking every split costs more than walking to some
        let all = if processor == Processor::Avx512 { SideBySide::new(form) } else { None };
        all.map_or_else(|| Self::Nodes(nodes(form)), Self::SideBySide)
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Nodes(nodes) => size_of_val(&**nodes),
            Self::SideBySide(all) => all.bytes(),
        }
    }
}

fn nodes(form: &MaskForm) -> Vec<MaskNode> {
    let mut nodes = Vec::new();
    for tree in form.trees() {
        let (mut splits, mut leaves) = (0..tree.splits.len(), tree.order.iter());
        for place in 0..tree.nodes() {
            let (is_leaf, _) = form.kinds(&tree, place);
            nodes.push(if is_leaf & 1 == 1 {
                MaskNode { test: leaves.next().copied().unwrap_or_default().into(), pass: place as u16 }
            } else {
                let split = splits.next().unwrap_or_default();
                let question = tree.splits.get(split).copied().unwrap_or_default();
                MaskNode { test: question + MOST_LEAVES as u16, pass: 2 * split as u16 + 1 }
            });
        }
    }
    nodes
}
