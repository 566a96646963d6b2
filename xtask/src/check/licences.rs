//! Under which licences, and from where, dependencies come.

use spdx::{Expression, LicenseReq, ParseMode};

use super::found;
use crate::error::Result;
use crate::workspace;

/// Permissive licences that go with Apache-2.0 in a binary.
const ALLOWED: [&str; 15] = [
    "0BSD",
    "Apache-2.0",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
];

pub(super) fn check() -> Result {
    let mut wrong = Vec::new();
    for package in workspace::metadata()?.packages {
        let name = format!("{} {}", package.name, package.version);
        if let Err(text) = licence(package.license.as_deref()) {
            wrong.push(format!("{name}: {text}"));
        }
        // A package of this repository has no source.
        if let Some(source) = package.source.filter(|source| !source.is_crates_io()) {
            wrong.push(format!("{name}: comes from {source}, not from crates.io"));
        }
    }
    found("licences and sources", wrong)
}

fn licence(expression: Option<&str>) -> Result<(), String> {
    let text = expression.ok_or("states no licence")?;
    let parsed = Expression::parse_mode(text, ParseMode::LAX).map_err(|error| format!("licence '{text}': {error}"))?;
    if parsed.evaluate(allowed) { Ok(()) } else { Err(format!("licence '{text}' is not on the list")) }
}

fn allowed(licence: &LicenseReq) -> bool {
    licence.addition.is_none() && licence.license.id().is_some_and(|id| ALLOWED.contains(&id.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_needs_one_that_is_allowed_and_a_sum_all() {
        for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0-only OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
            assert_eq!(licence(Some(good)), Ok(()), "{good}");
        }
        for bad in ["GPL-3.0-only", "MIT AND LGPL-2.1-or-later", "LicenseRef-own", "no licence at all"] {
            assert!(licence(Some(bad)).is_err(), "{bad}");
        }
        assert!(licence(None).is_err());
    }

    #[test]
    fn the_list_names_licences_that_exist() {
        for name in ALLOWED {
            assert!(spdx::license_id(name).is_some(), "{name}");
        }
    }
}
