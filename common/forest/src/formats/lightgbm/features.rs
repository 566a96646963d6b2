//! What the numbers of each feature mean.

use super::header::Header;
use super::tail::Tail;
use crate::model::{Categories, Feature, FeatureKind, Label, Test, Tree};

/// A feature is a category where training was told so, where its training data is listed as categories, or where a split asks
/// so. LightGBM's Python gives the codes of pandas' categories in the order of the frame's columns.
pub(super) fn features(header: &Header<'_>, tail: Tail, trees: &[Tree]) -> Vec<Feature> {
    let mut is_category: Vec<bool> = header.infos.iter().map(|info| codes(info).is_some()).collect();
    let of_splits = trees.iter().flat_map(Tree::splits);
    let asked = of_splits.filter(|split| matches!(split.test, Test::OneOf(_))).map(|split| split.column as usize);
    for column in asked.chain(tail.categorical.iter().copied()) {
        if let Some(is_category) = is_category.get_mut(column) {
            *is_category = true;
        }
    }
    let mut names = named(header, &is_category, tail.pandas).unwrap_or_default().into_iter();
    let kind = |is_category: bool| match (is_category, is_category.then(|| names.next()).flatten()) {
        (false, _) => FeatureKind::Number,
        (true, Some(names)) => FeatureKind::Category(Categories::Named(names)),
        (true, None) => FeatureKind::Category(Categories::Codes),
    };
    let kinds: Vec<FeatureKind> = is_category.into_iter().map(kind).collect();
    let feature =
        |(name, kind): (&&str, FeatureKind)| Feature { name: Some((*name).to_owned()), kind, missing_allowed: true };
    header.names.iter().zip(kinds).map(feature).collect()
}

/// pandas' lists, if they can be of no other columns than the categories: as many, and each long enough for the codes that
/// training met. An ordered category is a list here and a number to the trees; then the codes stay without names.
fn named(header: &Header<'_>, is_category: &[bool], lists: Option<Vec<Vec<Label>>>) -> Option<Vec<Vec<Label>>> {
    let lists = lists?;
    let infos = header.infos.iter().zip(is_category).filter(|(_, is_category)| **is_category).map(|(info, _)| *info);
    let largest: Vec<i64> = infos.map(|info| codes(info).unwrap_or(-1)).collect();
    let fits = |(largest, list): (&i64, &Vec<Label>)| usize::try_from(*largest).is_ok_and(|code| code < list.len());
    let all = largest.len() == lists.len() && largest.iter().zip(&lists).all(|pair| *pair.0 < 0 || fits(pair));
    all.then_some(lists)
}

/// The largest code in a list such as `-1:2:1:0` (−1 is what was missing); `None` for `[0:4]` and `none`.
fn codes(info: &str) -> Option<i64> {
    info.split(':').map(|code| code.parse().ok()).try_fold(-1, |largest: i64, code| Some(largest.max(code?)))
}
