//! A split as a tree has it: the number of its condition, and what that condition says again in words, which must agree.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::features::{Condition, Features};
use super::{CTR, MADE};
use crate::error::quote;
use crate::model::Test;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSplit<'t> {
    #[serde(borrow)]
    split_type: std::borrow::Cow<'t, str>,
    split_index: usize,
    float_feature_index: Option<usize>,
    border: Option<f64>,
    cat_feature_index: Option<usize>,
    value: Option<i32>,
    #[serde(rename = "ctr_target_border_idx")]
    _target: Option<IgnoredAny>,
}

/// What a node asks.
#[derive(Clone, Copy)]
pub(super) struct Question {
    pub(super) column: u32,
    pub(super) ask: Ask,
    pub(super) missing_left: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Ask {
    /// Passed by what goes to the child 0.
    AtMost(f64),
    /// Passed by what goes to the child 1.
    Is(i64),
}

impl Question {
    /// What is wrong is said by a message.
    #[expect(clippy::cast_possible_truncation, reason = "the cast is the library's")]
    pub(super) fn new(raw: &RawSplit<'_>, features: &Features) -> Result<Self, String> {
        match &*raw.split_type {
            "FloatFeature" | "OneHotFeature" => {}
            "OnlineCtr" => return Err(format!("the split {CTR}")),
            "EstimatedFeature" => return Err(format!("the split {MADE}")),
            other => return Err(format!("a split of the kind `{}` is not known", quote(other))),
        }
        let condition = features.condition(raw.split_index);
        match (&*raw.split_type, condition) {
            ("FloatFeature", Some(Condition::Above { index, column, border, missing_below })) => {
                let said = raw.border.map(|border| border as f32);
                let agrees = raw.float_feature_index == Some(index) && said == Some(border);
                let ask = Ask::AtMost(f64::from(border));
                if agrees { Ok(Self { column, ask, missing_left: missing_below }) } else { Err(disagrees(raw)) }
            }
            ("OneHotFeature", Some(Condition::Is { index, column, value })) => {
                let agrees = raw.cat_feature_index == Some(index) && raw.value == Some(value);
                let ask = Ask::Is(i64::from(value.cast_unsigned()));
                if agrees { Ok(Self { column, ask, missing_left: false }) } else { Err(disagrees(raw)) }
            }
            _ => Err(disagrees(raw)),
        }
    }

    /// The test, and whether its left child is the child 0. `set` numbers the set of one category.
    pub(super) fn test<E>(self, set: impl FnOnce(i64) -> Result<u32, E>) -> Result<(Test, bool), E> {
        match self.ask {
            Ask::AtMost(border) => Ok((Test::AtMost(border), true)),
            Ask::Is(category) => Ok((Test::OneOf(set(category)?), false)),
        }
    }
}

fn disagrees(raw: &RawSplit<'_>) -> String {
    format!("split_index {} is not the condition that the split names", raw.split_index)
}
