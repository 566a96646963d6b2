//! Models as the edge knows them: which there are, how their rows are read, and how rows reach a worker. It computes
//! nothing.

pub mod ask;
pub mod catalog;
pub mod gather;
pub(crate) mod held;
pub mod render;
pub mod rows;
pub mod shadow;
pub mod statistics;
pub mod tensors;
pub mod traffic;
mod workers;
