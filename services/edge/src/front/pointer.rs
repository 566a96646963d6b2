//! Places in a body as JSON pointers (RFC 6901), for faults.

use arborgate_contracts::Fault;
use serde_path_to_error::{Path, Segment};

/// Bytes of a name that a client sent, at most: those of any feature's 128 characters.
const LONGEST_NAME: usize = 512;

/// A name as a token of a pointer, escaped and cut.
pub(crate) fn token(name: &str) -> String {
    let name = name.get(..name.floor_char_boundary(LONGEST_NAME)).unwrap_or_default();
    Fault::token(name)
}

/// Where serde stood, below what it read.
pub(crate) fn below(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", token(key))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_cut() {
        assert_eq!(token("a~/b"), "a~0~1b");
        assert_eq!(token(&"é".repeat(300)).len(), LONGEST_NAME);
    }
}
