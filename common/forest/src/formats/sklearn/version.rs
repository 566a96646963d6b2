//! Which scikit-learn made a file, and whether its rules are known here.

use crate::error::{Error, quote};

/// Minor versions of scikit-learn 1 whose rules are known by heart.
const OLDEST: u32 = 1;
const NEWEST: u32 = 9;

/// Of scikit-learn 1: the minor number decides what a file means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    pub(super) minor: u32,
}

impl Version {
    /// From `_sklearn_version`, such as `1.9.1`, `1.4.0rc1`, `1.5.dev0`.
    pub(super) fn parse(text: &str, path: &str) -> Result<Self, Error> {
        let number = |part: Option<&str>| part.and_then(|part| part.parse::<u32>().ok());
        let mut parts = text.split('.');
        let (major, minor) = (number(parts.next()), number(parts.next()));
        match (major, minor) {
            (Some(1), Some(minor @ OLDEST..=NEWEST)) if text.len() <= 64 => Ok(Self { minor }),
            _ => {
                let text = quote(text);
                let known = format!("this reader knows 1.{OLDEST} to 1.{NEWEST}");
                let advice = "train it again with one of these, or take a newer arborgate";
                Err(Error::content(path, None, format!("made by scikit-learn {text}; {known}; {advice}")))
            }
        }
    }

    /// Since 1.3 a node says where missing values go.
    pub(super) fn has_missing(self) -> bool {
        self.minor >= 3
    }

    /// Since 1.4 a classifier's leaf holds fractions, before that weighted counts.
    pub(super) fn has_fractions(self) -> bool {
        self.minor >= 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_it_knows() {
        for (text, minor) in [("1.1.3", 1), ("1.4.0rc1", 4), ("1.5.dev0", 5), ("1.9.1", 9)] {
            assert_eq!(Version::parse(text, "").unwrap().minor, minor, "{text}");
        }
        for text in ["0.24.2", "1.0.2", "1.10.0", "2.0.0", "", "1", "x.y", "1.-3"] {
            assert!(Version::parse(text, "").is_err(), "{text}");
        }
    }
}
