//! Our own file: safetensors, whose `__metadata__` has one entry, the manifest: a format version and everything of a model
//! but its trees, as JSON. The trees are tensors of one dimension, each kind of number of all trees after one another, in
//! the narrowest of its types that holds all of them exactly. What would be empty is left out.
//!
//! | tensor | one for each | what |
//! |---|---|---|
//! | `tree.nodes`, `tree.sets` | tree | how many it has |
//! | `tree.target` | tree | the margin that its leaves add to; [`EVERY_MARGIN`] if all |
//! | `tree.has` | tree | [`has`]: what else there is for its nodes and leaves |
//! | `node.kind` | node | [`kind`] |
//! | `node.cover` | node of a tree that has it | |
//! | `node.gain` | split, or node, of a tree that has it | |
//! | `split.column` | split | |
//! | `split.left` | split | left out if every left child is the next node |
//! | `split.right` | split | left out if every right child stands after the left one |
//! | `split.threshold` | split on a number | |
//! | `split.set` | split on a category | |
//! | `leaf.number` | leaf | left out if all trees number their leaves as they stand |
//! | `leaf.value` | leaf | one, or one for each margin |
//! | `leaf.label` | leaf and output | only where the leaf says the class |
//! | `leaf.constant`, `leaf.terms` | leaf of a tree with linear leaves | the constant, and how many terms it has |
//! | `term.column`, `term.coefficient` | term | |
//! | `set.size` | set | how many categories it has |
//! | `set.category` | category of a set | |
//!
//! Lists that memory grows by ([`FIXED`]) have no narrower type, so that no file is read into much more than its bytes.

mod header;
mod read;
mod tensor;
mod write;

use safetensors::Dtype;

use crate::error::Error;
use crate::limits::Limits;
use crate::model::Model;

/// Of the manifest. A newer one is refused.
const FORMAT: u32 = 1;

/// How the header of each of our files begins.
const PREFIX: &[u8] = b"{\"__metadata__\":{\"arborgate.forest\":\"";

/// The key of the manifest, as in [`PREFIX`].
const MANIFEST: &str = "arborgate.forest";

/// In `tree.target`.
const EVERY_MARGIN: u32 = u32::MAX;

/// The bits of `tree.has`.
mod has {
    pub(super) const COVER: u8 = 1;
    pub(super) const GAIN_OF_SPLITS: u8 = 2;
    pub(super) const GAIN_OF_NODES: u8 = 4;
    pub(super) const LINEAR: u8 = 8;
}

/// The bits of `node.kind`; a leaf has none.
mod kind {
    pub(super) const SPLIT: u8 = 1;
    pub(super) const MISSING_LEFT: u8 = 2;
    pub(super) const ZERO_IS_MISSING: u8 = 4;
    pub(super) const ONE_OF: u8 = 8;
}

const BYTE: &[Dtype] = &[Dtype::U8];
const FIXED: &[Dtype] = &[Dtype::U32];
const INTS: &[Dtype] = &[Dtype::U8, Dtype::U16, Dtype::U32];
const LONGS: &[Dtype] = &[Dtype::U8, Dtype::U16, Dtype::U32, Dtype::I64];
const FLOATS: &[Dtype] = &[Dtype::U16, Dtype::F32, Dtype::U32, Dtype::F64];

/// All tensors that there may be, and their types, the first that fits first.
const TENSORS: &[(&str, &[Dtype])] = &[
    ("tree.nodes", FIXED),
    ("tree.sets", FIXED),
    ("tree.target", FIXED),
    ("tree.has", BYTE),
    ("node.kind", BYTE),
    ("node.cover", FLOATS),
    ("node.gain", FLOATS),
    ("split.column", INTS),
    ("split.left", INTS),
    ("split.right", INTS),
    ("split.threshold", FLOATS),
    ("split.set", INTS),
    ("leaf.number", INTS),
    ("leaf.value", FLOATS),
    ("leaf.label", INTS),
    ("leaf.constant", FLOATS),
    ("leaf.terms", FIXED),
    ("term.column", INTS),
    ("term.coefficient", FLOATS),
    ("set.size", FIXED),
    ("set.category", LONGS),
];

/// Whether this is a file of ours.
pub(crate) fn is_own(bytes: &[u8]) -> bool {
    bytes.get(8..).is_some_and(|header| header.starts_with(PREFIX))
}

/// Reads a file of ours.
pub(crate) fn model(bytes: &[u8], limits: &Limits) -> Result<Model, Error> {
    if bytes.len() > limits.max_bytes {
        return Err(Error::limit("bytes of the file", limits.max_bytes));
    }
    read::model(header::Header::read(bytes, limits)?, limits)
}

impl Model {
    /// Writes our own file, which [`Model::read`] reads: the same model to the bit, and the same bytes for the same model.
    ///
    /// # Errors
    /// What `out` says; and for a model whose names and classes take more than 100 MB, which is safetensors' limit.
    pub fn write(&self, mut out: impl std::io::Write) -> std::io::Result<()> {
        out.write_all(&write::bytes(self)?)
    }
}
