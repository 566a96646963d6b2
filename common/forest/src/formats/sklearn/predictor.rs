//! One `TreePredictor` of `HistGradientBoosting`: its node records and its sets of categories.

use super::attributes::{Attributes, Reader};
use super::tree::part;
use crate::error::Error;
use crate::formats::pickle::known::{self, Part};
use crate::formats::pickle::numpy::{Field, Kind};
use crate::formats::pickle::value::Value;
use crate::model::{Node, Split, Test, Tree, TreeParts};

/// For each column the categories that are known, if it has categories.
pub(super) type Known = Vec<Option<Set>>;

/// Of the numbers 0 to 255.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Set([u32; 8]);

impl Set {
    /// `None` for what is none of these numbers.
    pub(super) fn insert(&mut self, category: f64) -> Option<()> {
        let place = (0_u8..=255).find(|place| f64::from(*place) == category.trunc())?;
        let word = self.0.get_mut(usize::from(place / 32))?;
        *word |= 1 << (place % 32);
        Some(())
    }

    fn without(self, other: Self) -> Self {
        let mut words = self.0;
        words.iter_mut().zip(other.0).for_each(|(word, other)| *word &= !other);
        Self(words)
    }

    fn numbers(self) -> Vec<i64> {
        let has = |place: &u32| self.0.get(*place as usize / 32).is_some_and(|word| (word >> (place % 32)) & 1 == 1);
        (0_u32..256).filter(has).map(i64::from).collect()
    }
}

pub(super) fn predictor(
    reader: &mut Reader<'_>,
    value: Value,
    path: &str,
    known: &Known,
    target: u32,
) -> Result<Tree, Error> {
    if reader.class(value) != Some(known::Known::Part(Part::TreePredictor)) {
        let message = format!("is {} where a TreePredictor was expected", reader.arena.kind(value));
        return Err(Error::content(path, reader.arena.offset(value), message));
    }
    reader.claim(value, path)?;
    let of = reader.attributes(value, path)?;
    let sets = bitsets(reader, &of)?;
    let parts = parts(reader, &of, known, &sets, target)?;
    Tree::new(parts, reader.limits).map_err(|error| error.within(path))
}

/// `raw_left_cat_bitsets`: which categories go left, a row for each split on categories.
fn bitsets(reader: &mut Reader<'_>, of: &Attributes<'_>) -> Result<Vec<Set>, Error> {
    const NAME: &str = "raw_left_cat_bitsets";
    let (value, array) = of.array(NAME)?;
    let words = match array.shape.as_slice() {
        [_, 8] if array.dtype.kind == Kind::Uint && array.dtype.size == 4 => array.ints(),
        _ => None,
    };
    let words = words.ok_or_else(|| {
        of.fault(
            NAME,
            format!("has shape {:?} of {} where rows of 8 u4 were expected", array.shape, array.dtype.name()),
        )
    })?;
    reader.claim(value, &of.path_of(NAME))?;
    let words: Vec<u32> = words.filter_map(|word| u32::try_from(word).ok()).collect();
    reader.spend(words.len().saturating_mul(4), &of.path_of(NAME))?;
    Ok(words.as_chunks::<8>().0.iter().map(|words| Set(*words)).collect())
}

/// The fields of a node record that matter here.
struct Record<'r> {
    value: &'r Field,
    count: &'r Field,
    feature: &'r Field,
    threshold: &'r Field,
    missing_left: &'r Field,
    left: &'r Field,
    right: &'r Field,
    gain: &'r Field,
    is_leaf: &'r Field,
    is_categorical: &'r Field,
    bitset: &'r Field,
}

impl<'r> Record<'r> {
    /// Strict: exactly these fields, each of its kind (`common.pyx`, `PREDICTOR_RECORD_DTYPE`).
    fn new(fields: &'r [Field]) -> Option<Self> {
        let find = |name: &str, kinds: &[Kind], sizes: &[usize]| {
            let field = fields.iter().find(|field| *field.name == *name)?;
            (kinds.contains(&field.dtype.kind) && sizes.contains(&field.dtype.size)).then_some(field)
        };
        let float = |name: &str| find(name, &[Kind::Float], &[8]);
        let byte = |name: &str| find(name, &[Kind::Uint], &[1]);
        let word = |name: &str| find(name, &[Kind::Uint], &[4]);
        word("depth")?;
        byte("bin_threshold")?;
        if fields.len() != 13 {
            return None;
        }
        Some(Self {
            value: float("value")?,
            count: word("count")?,
            feature: find("feature_idx", &[Kind::Uint, Kind::Int], &[4, 8])?,
            threshold: float("num_threshold")?,
            missing_left: byte("missing_go_to_left")?,
            left: word("left")?,
            right: word("right")?,
            gain: float("gain")?,
            is_leaf: byte("is_leaf")?,
            is_categorical: byte("is_categorical")?,
            bitset: word("bitset_idx")?,
        })
    }
}

fn parts(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    known: &Known,
    sets: &[Set],
    target: u32,
) -> Result<TreeParts, Error> {
    const NAME: &str = "nodes";
    let (value, array) = of.array(NAME)?;
    let record = array.dtype.fields().and_then(Record::new);
    let record = record.ok_or_else(|| {
        of.fault(NAME, format!("is of {}, which scikit-learn's predictors are not", array.dtype.name()))
    })?;
    let elements = array.elements().filter(|_| array.shape.len() == 1);
    let elements = elements.filter(|elements| elements.len() > 0);
    let elements = elements.ok_or_else(|| of.fault(NAME, format!("has shape {:?}; a tree has a root", array.shape)))?;
    reader.claim(value, &of.path_of(NAME))?;
    reader.spend(elements.len().saturating_mul(array.dtype.size), &of.path_of(NAME))?;
    reader.nodes = reader.nodes.saturating_add(elements.len());
    if reader.nodes > reader.limits.max_nodes {
        return Err(Error::limit("nodes of all trees", reader.limits.max_nodes));
    }
    let mut parts = TreeParts { target: Some(target), ..TreeParts::default() };
    for (at, element) in elements.enumerate() {
        let sets_before = parts.sets.len();
        let reading = Reading { record: &record, element, known, sets };
        reading.node(&mut parts).map_err(|message| of.fault(NAME, format!("node {at} {message}")))?;
        if let Some(set) = parts.sets.get(sets_before) {
            reader.copy(size_of_val(set.as_slice()) + size_of_val(set), &of.path_of(NAME))?;
        }
    }
    Ok(parts)
}

/// One record.
struct Reading<'r> {
    record: &'r Record<'r>,
    element: &'r [u8],
    known: &'r Known,
    sets: &'r [Set],
}

impl Reading<'_> {
    fn int(&self, field: &Field) -> Result<u32, &'static str> {
        let int = field.dtype.int(part(field, self.element));
        int.and_then(|int| u32::try_from(int).ok()).ok_or("has a number that is none here")
    }

    fn float(&self, field: &Field) -> f64 {
        field.dtype.float(part(field, self.element)).unwrap_or(f64::NAN)
    }

    /// Appends what the record says.
    fn node(&self, parts: &mut TreeParts) -> Result<(), &'static str> {
        let record = self.record;
        parts.cover.push(f64::from(self.int(record.count)?));
        if self.int(record.is_leaf)? != 0 {
            let leaf = u32::try_from(parts.values.len()).map_err(|_| "is one leaf too many")?;
            let value = self.float(record.value);
            if !value.is_finite() {
                return Err("holds what is no finite number");
            }
            parts.values.push(value);
            parts.nodes.push(Node::Leaf(leaf));
            parts.gain.push(0.0);
            return Ok(());
        }
        parts.gain.push(self.float(record.gain));
        let plain = Split {
            column: self.int(record.feature)?,
            test: Test::AtMost(self.float(record.threshold)),
            left: self.int(record.left)?,
            right: self.int(record.right)?,
            missing_left: self.int(record.missing_left)? != 0,
            zero_is_missing: false,
        };
        let split = if self.int(record.is_categorical)? == 0 { plain } else { self.categories(plain, parts)? };
        parts.nodes.push(Node::Split(split));
        Ok(())
    }

    /// Categories that are not known go with what is missing. So where that goes left, the question is turned round: which of the
    /// known go right.
    fn categories(&self, plain: Split, parts: &mut TreeParts) -> Result<Split, &'static str> {
        let known = self.known.get(plain.column as usize).copied().flatten();
        let known = known.ok_or("splits on categories of a feature that has none")?;
        let left = self.sets.get(self.int(self.record.bitset)? as usize).ok_or("asks for a set that is not there")?;
        let set = u32::try_from(parts.sets.len()).map_err(|_| "is one set too many")?;
        let test = Test::OneOf(set);
        if plain.missing_left {
            parts.sets.push(known.without(*left).numbers());
            return Ok(Split { test, left: plain.right, right: plain.left, missing_left: false, ..plain });
        }
        parts.sets.push(left.numbers());
        Ok(Split { test, ..plain })
    }
}
