//! LightGBM's text models and pickles predict what that LightGBM predicted, to the bit; what is no such model is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use arborgate_forest::Options;
use common::reference::cases;

#[test]
fn every_file_predicts_the_same_bits() {
    let compared: usize = cases("lightgbm").iter().map(|case| case.hold(&Options::default())).sum();
    assert!(compared > 5_000, "{compared}");
}
