//! Which column of a table is which of the names that somebody wants.

use std::collections::{HashMap, HashSet};

use crate::column::Column;

/// Why columns are not those that are wanted. Not all of it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mismatch {
    /// Names that no column has.
    pub missing: Vec<String>,
    /// Names that several columns have.
    pub twice: Vec<String>,
    /// Columns of other names; not a mismatch where these are left out.
    pub extra: Vec<String>,
}

/// For each name the place of its column.
///
/// # Errors
/// [`Mismatch`]; columns of other names are one unless `ignore_extra`.
pub fn by_name(names: &[&str], columns: &[Column], ignore_extra: bool) -> Result<Vec<usize>, Mismatch> {
    let mut places: HashMap<&str, (usize, bool)> = HashMap::with_capacity(columns.len());
    for (place, column) in columns.iter().enumerate() {
        let name = column.name.as_deref().unwrap_or_default();
        places.entry(name).and_modify(|(_, twice)| *twice = true).or_insert((place, false));
    }
    let known: HashSet<&str> = names.iter().copied().collect();
    let own = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    let named = columns.iter().filter_map(|column| column.name.as_deref());
    let extra = named.filter(|name| !ignore_extra && !known.contains(name)).collect();
    let mismatch = Mismatch {
        missing: own(names.iter().copied().filter(|name| !places.contains_key(name)).collect()),
        twice: own(names.iter().copied().filter(|name| places.get(name).is_some_and(|(_, twice)| *twice)).collect()),
        extra: own(extra),
    };
    if mismatch != Mismatch::default() {
        return Err(mismatch);
    }
    Ok(names.iter().filter_map(|name| places.get(name)).map(|(place, _)| *place).collect())
}
