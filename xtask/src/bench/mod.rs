//! Benchmarks that compare in one run: these machines are noisy, and only a ratio means something.

pub(crate) mod edge;
pub(crate) mod kernels;
mod load;
pub(crate) mod serve;
pub(crate) mod servers;
