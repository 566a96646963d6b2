//! What `cargo xtask parity` runs: holds models against what their own library predicted for them, and prints what differs.
//!
//! ```text
//! parity --fixtures          the reference files of the tests
//! parity FOLDER              FOLDER/<format>/<version>/cases.json, and what that names
//! ```
//!
//! Fails if a number differs by more than is promised for it, or a model is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

#[path = "../../tests/common/mod.rs"]
mod common;

mod compare;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use common::reference::{Bound, Case, Facts, Rows, cases_of};
use table::Table;

fn main() -> ExitCode {
    let Some(wanted) = std::env::args_os().nth(1) else {
        println!("which folder? or --fixtures");
        return ExitCode::FAILURE;
    };
    let mut table = Table::default();
    if wanted == "--fixtures" {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        for version in common::VERSIONS {
            common::cases(version).into_iter().for_each(|case| table.add("sklearn", version, &same_form(case)));
        }
        hold(&fixtures, &mut table);
    } else {
        hold(Path::new(&wanted), &mut table);
    }
    if table.models() == 0 {
        println!("there is nothing to compare");
        return ExitCode::FAILURE;
    }
    print!("{}", table.text());
    for line in &table.broken {
        println!("- {line}");
    }
    if table.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every folder of a version that has such cases; contributions are other tests'.
fn hold(root: &Path, table: &mut Table) {
    for format in sorted(root).iter().filter(|format| !format.ends_with("shap")) {
        for version in sorted(format).iter().filter(|version| version.join("cases.json").is_file()) {
            for case in cases_of(version) {
                table.add(&name(format), &name(version), &case);
            }
        }
    }
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// The older kind of reference file says the same.
fn same_form(case: common::Case) -> Case {
    let facts = Facts {
        file: case.file.clone(),
        source: format!("scikit-learn {} {}", case.version, case.class),
        trees: case.trees,
        values: Bound::Bits,
        margins: Bound::Bits,
        classes: case.classes,
        names: case.names,
        traits: Vec::new(),
    };
    let margins = ndarray::Array2::zeros((case.rows.nrows(), 0));
    let path = common::folder(case.version).join(case.file);
    Case {
        path,
        facts,
        bytes: case.bytes,
        rows: Rows::Double(case.rows),
        margins,
        values: case.values,
        labels: case.labels,
    }
}
