//! The reader of LightGBM's text: what reads must do all that a model does.
#![no_main]

mod shared;

use arborgate_forest::Rounds;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let bytes = &[b"tree\n", bytes.strip_prefix(b"tree\n").unwrap_or(bytes)].concat();
    if let Some(model) = shared::read(bytes, Rounds::AsSaved) {
        shared::exercise(&model);
    }
});
