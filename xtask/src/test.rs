//! Every test: Rust's, in which the end-to-end tests start the binary, then those of the generated clients, then
//! what Schemathesis finds.

use crate::command::{cargo, run};
use crate::error::Result;
use crate::workspace::{self, Profile};
use crate::{clients, schemathesis, setup};

pub(crate) fn run_all(args: &[String]) -> Result {
    setup::run()?;
    if !args.is_empty() {
        return run(cargo().args(["test", "--locked"]).args(args));
    }
    run(cargo().args(["test", "--locked", "--workspace"]))?;
    // apart, so that the server's tests are of the crates that it is built of
    run(cargo().args([
        "test",
        "--locked",
        "--package",
        "arborgate-forest",
        "--features",
        "candle",
        "--test",
        "tensors",
    ]))?;
    clients::test(&workspace::arborgate(Profile::Debug)?)?;
    schemathesis::run(&schemathesis::TESTED)
}
