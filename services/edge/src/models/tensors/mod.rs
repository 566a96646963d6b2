//! Tensors of the Open Inference Protocol (kserve/open-inference-protocol, and the extensions of
//! triton-inference-server/server `docs/protocol`): requests read and answers written, in JSON, in binary and as gRPC has
//! them. What rows they make is in `models::rows`; nothing here knows HTTP.

mod answer;
mod datatype;
mod document;
mod elements;
mod faults;
mod lenient;
mod numbers;
mod outputs;
mod parameters;
mod write;

pub use answer::{Filled, OutputTensor};
pub use datatype::Datatype;
pub use document::{Document, Framing, Read, Requested, Tensor, shape};
pub use elements::{Element, Elements, Place, Take};
pub use faults::Faults;
pub use outputs::{Described, MATRIX, Outputs, Plan, Wanted};
pub use parameters::Parameters;
pub use write::{Written, buffer, written};
