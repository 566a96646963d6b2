//! `arborgate inspect` and `arborgate convert`: models in files, without a server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::PROGRAM;

fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).output().unwrap()
}

#[track_caller]
fn works(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn fails(args: &[&str], expected: &str) {
    let output = run(args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
    assert!(said.contains(expected) && said.starts_with("arborgate: ") && said.ends_with('\n'), "{said}");
    assert!(output.stdout.is_empty() && !said.contains("panicked"), "{said}");
}

fn iris() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/models/iris.joblib")
}

/// A file of the forest's own tests.
fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../common/forest/tests/fixtures").join(name);
    path.to_str().unwrap().to_owned()
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("arborgate-model-file-").tempdir().unwrap()
}

fn at(folder: &TempDir, name: &str) -> (PathBuf, String) {
    let path = folder.path().join(name);
    (path.clone(), path.to_str().unwrap().to_owned())
}

/// What stands in a folder, and that nothing is left of what was written on the way.
#[track_caller]
fn holds(folder: &TempDir, names: &[&str]) {
    let mut found: Vec<String> =
        folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, names);
}

#[test]
fn a_file_is_told_to_a_person() {
    let said = works(&["inspect", iris()]);
    for line in ["source   scikit-learn ", "task     classification\n", "classes  0, 1, 2\n", "FEATURE  NAME"] {
        assert!(said.contains(line), "{said}");
    }
    let said = works(&["inspect", &fixture("lightgbm/4.7.0/pandas.txt")]);
    for part in ["LightGBM v4 ", "größe", "category: ", "allowed"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_file_is_told_as_json() {
    let said: Value = serde_json::from_str(&works(&["inspect", iris(), "--json"])).unwrap();
    assert_eq!((&said["task"], &said["source"]["library"]), (&"classification".into(), &"scikit-learn".into()));
    assert_eq!(said["classes"], serde_json::json!([[0, 1, 2]]));
    assert_eq!(said["features"].as_array().unwrap().len(), 4);
    assert_eq!(said["features"][0]["type"], "number");
    assert_eq!(said["bytes"], std::fs::metadata(iris()).unwrap().len());
    for count in ["trees", "depth", "leaves", "nodes", "outputs"] {
        assert!(said[count].as_u64().unwrap() > 0, "{count}");
    }
    assert!(said["compiled"]["bytes"].as_u64().unwrap() > 0);
    assert!(!said["compiled"]["kernel"].as_str().unwrap().is_empty());
}

#[test]
fn what_is_no_model_is_refused_with_the_reason() {
    let folder = folder();
    for (name, bytes, reason) in [
        ("empty", &b""[..], "an empty file"),
        ("text", b"a,b\n1,2\n", "not a model file that is known here"),
        ("system", b"\x80\x04cos\nsystem\n.", "system"),
        ("cut", &std::fs::read(iris()).unwrap()[..2000], ""),
        ("torch.safetensors", b"\x02\0\0\0\0\0\0\0{}", "a safetensors file"),
    ] {
        let (path, file) = at(&folder, name);
        std::fs::write(path, bytes).unwrap();
        for args in [&["inspect", &file][..], &["inspect", &file, "--json"], &["convert", &file, "-"]] {
            fails(args, &format!("{file} is no model that can be used: "));
            fails(args, reason);
        }
    }
    fails(&["inspect", "/no/such/file"], "can not read /no/such/file");
    fails(&["inspect", folder.path().to_str().unwrap()], "is no plain file");
    let said = String::from_utf8(run(&["inspect"]).stderr).unwrap();
    assert!(said.contains("<FILE>"), "{said}");
}

#[test]
fn limits_hold_and_can_be_moved() {
    for (limits, expected) in [
        (["--max-trees", "3"], "trees: more than the limit of 3"),
        (["--max-depth", "1"], "depth of a tree: more than the limit of 1"),
        (["--max-nodes", "10"], "more than the limit of 10"),
        (["--max-classes", "2"], "more than the limit of 2"),
        (["--max-features", "2"], "more than the limit of 2"),
        (["--max-decompressed", "1KiB"], "more than the limit of 1024"),
        (["--max-artifact", "1KiB"], "has more than 1KiB, the most that is read; give a larger --max-artifact"),
    ] {
        fails(&[&["inspect", iris()][..], &limits].concat(), expected);
        fails(&[&["convert", iris(), "-"][..], &limits].concat(), expected);
    }
    works(&["inspect", iris(), "--max-trees", "100000", "--max-artifact", "1GiB", "--rounds", "best"]);
}

#[test]
fn a_model_is_written_in_our_own_form() {
    let folder = folder();
    let (path, out) = at(&folder, "iris.safetensors");
    let said = works(&["convert", iris(), &out]);
    assert!(said.contains(&format!(" bytes in {out}, from ")), "{said}");
    holds(&folder, &["iris.safetensors"]);
    let without_file = |file: &str| {
        let mut said: Value = serde_json::from_str(&works(&["inspect", file, "--json"])).unwrap();
        let told = said.as_object_mut().unwrap();
        assert!(told.remove("file").is_some() && told.remove("bytes").is_some());
        said
    };
    assert_eq!(without_file(&out), without_file(iris()));
    let bytes = std::fs::read(&path).unwrap();
    let standard = run(&["convert", iris(), "-"]);
    assert!(standard.status.success() && standard.stdout == bytes);
    // what is ours already stays as it is
    assert!(run(&["convert", &out, "-"]).stdout == bytes);
    let linear = run(&["convert", &fixture("lightgbm/4.7.0/linear.txt"), "-"]);
    assert!(linear.status.success() && linear.stdout.len() > 100);
}

#[test]
fn a_file_that_is_there_stays_unless_forced() {
    let folder = folder();
    let (path, out) = at(&folder, "mine");
    std::fs::write(&path, "mine").unwrap();
    fails(&["convert", iris(), &out], "is there already; give --force to replace it");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    let (bad, no_model) = at(&folder, "no-model");
    std::fs::write(bad, "no model").unwrap();
    fails(&["convert", &no_model, &out, "--force"], "is no model");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    works(&["convert", iris(), &out, "--force"]);
    works(&["convert", &out, &out, "--force"]);
    works(&["inspect", &out]);
    fails(&["convert", iris(), folder.path().to_str().unwrap(), "--force"], "is no plain file");
    fails(&["convert", iris(), "/dev/null", "--force"], "is no plain file");
    let (_, nowhere) = at(&folder, "no/such/folder");
    fails(&["convert", iris(), &nowhere], "can not write");
    holds(&folder, &["mine", "no-model"]);
    // in the folder where one is
    let output = Command::new(PROGRAM).args(["convert", iris(), "here"]).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success());
    holds(&folder, &["here", "mine", "no-model"]);
}
