//! Crates that must not come in, and through whom one may all the same.

use std::collections::BTreeSet;

use super::found;
use crate::command::{cargo, output};
use crate::error::Result;

struct Banned {
    name: &'static str,
    because: &'static str,
    /// What may depend on it.
    except: &'static [&'static str],
}

const fn banned(name: &'static str, because: &'static str) -> Banned {
    Banned { name, because, except: &[] }
}

const UNMAINTAINED: &str = "is unmaintained";
const SECOND_TLS: &str = "is a second TLS: rustls with aws-lc-rs is the one";

const BANNED: [Banned; 10] = [
    banned("ring", "leaves rustls unable to choose: aws-lc-rs is the one provider"),
    banned("native-tls", SECOND_TLS),
    banned("openssl", SECOND_TLS),
    banned("openssl-sys", SECOND_TLS),
    banned("bincode", UNMAINTAINED),
    // candle-core takes them, behind the forest's feature of that name
    Banned {
        name: "paste",
        because: UNMAINTAINED,
        except: &[
            "gemm",
            "gemm-c32",
            "gemm-c64",
            "gemm-common",
            "gemm-f16",
            "gemm-f32",
            "gemm-f64",
            "pulp",
            "tokenizers",
        ],
    },
    banned("dotenv", UNMAINTAINED),
    banned("rustls-pemfile", UNMAINTAINED),
    // poem takes it for its YAML payload, which the edge does not offer; it can not be switched off there.
    Banned { name: "serde_yaml", because: UNMAINTAINED, except: &["poem", "poem-openapi"] },
    banned("yaml-rust", UNMAINTAINED),
];

pub(super) fn check() -> Result {
    // `cargo metadata` has also what stands behind features of others that are off; `cargo tree` has what is compiled, here with
    // every feature of ours.
    let compiled = names(&tree(&["--workspace", "--all-features"])?);
    let mut wrong = Vec::new();
    for Banned { name, because, except } in BANNED.iter().filter(|banned| compiled.contains(banned.name)) {
        let users = names(&tree(&["--workspace", "--all-features", "--depth", "1", "--invert", name])?);
        let others = users.iter().filter(|user| user != name && !except.contains(&user.as_str()));
        wrong.extend(others.map(|user| format!("{user} depends on {name}, which {because}")));
    }
    found("banned crates", wrong)
}

fn tree(args: &[&str]) -> Result<String> {
    let common =
        ["tree", "--locked", "--target", "all", "--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}"];
    output(cargo().args(common).args(args))
}

fn names(tree: &str) -> BTreeSet<String> {
    tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}
