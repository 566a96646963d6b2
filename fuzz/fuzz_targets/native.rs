//! The reader of our own files: what reads must be written and read again as the same bytes, and do all that a model does.
#![no_main]

mod shared;

use arborgate_forest::{Model, Options, Rounds};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(model) = shared::read(bytes, Rounds::AsSaved) else { return };
    let mut written = Vec::new();
    model.write(&mut written).expect("what reads is written");
    let mut again = Vec::new();
    Model::read(&written, &Options::default()).expect("what was written reads").write(&mut again).expect("as before");
    assert!(written == again);
    shared::exercise(&model);
});
