//! The reader of CatBoost's JSON: what reads must do all that a model does.
#![no_main]

mod shared;

use arborgate_forest::Rounds;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // a compressed file is the other target's
    if bytes.first() != Some(&b'{') {
        return;
    }
    if let Some(model) = shared::read(bytes, Rounds::AsSaved) {
        shared::exercise(&model);
    }
});
