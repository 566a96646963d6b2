//! The reader of XGBoost's JSON and UBJSON: what reads must do all that a model does.
#![no_main]

mod shared;

use arborgate_forest::Rounds;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for rounds in [Rounds::AsSaved, Rounds::Best, Rounds::All] {
        if let Some(model) = shared::read(bytes, rounds) {
            shared::exercise(&model);
        }
    }
});
