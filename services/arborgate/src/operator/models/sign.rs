//! A model's file is signed with an Ed25519 key, on the machine where the key is; no server is asked.

use std::path::{Path, PathBuf};

use arborgate_contracts::ModelName;
use arborgate_contracts::provenance::Provenance;
use arborgate_runtime::files::{SECRET_MODE, read_secret, write_new};
use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;
use zeroize::Zeroizing;

use super::add::SIGNED;
use crate::console;
use crate::error::Error;
use crate::new_file::{NewFile, check_place};
use crate::operator::client::file;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The model's file
    file: PathBuf,
    /// An Ed25519 private key (PKCS #8 in PEM form, as `openssl genpkey -algorithm ed25519` writes it)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Make the key, where there is none yet
    #[arg(long)]
    new_key: bool,
    /// The one model that the file may become; without it any
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,
    /// Where to; without it FILE.sig
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace an earlier signature
    #[arg(long)]
    force: bool,
}

pub(super) fn run(options: &Options, as_json: bool) -> Result<(), Error> {
    let output = options.output.clone().unwrap_or_else(|| {
        let mut path = options.file.clone().into_os_string();
        path.push(SIGNED);
        path.into()
    });
    check_place(&output, options.force)?;
    if options.new_key {
        make_key(&options.key)?;
    }
    let pair = read_key(&options.key)?;
    let digest = digest_of(&options.file)?;
    let signature = pair.sign(Provenance::statement(&digest, options.model.as_ref()).as_bytes());
    let public = pair.public_key().as_ref();
    let key: String = hex(digest::digest(&digest::SHA256, public).as_ref()).chars().take(16).collect();
    let provenance =
        Provenance { key: key.clone(), digest, model: options.model.clone(), signature: hex(signature.as_ref()) };
    let text = serde_json::to_string_pretty(&provenance).map_err(|error| Error::Refused(error.to_string()))?;
    let part = NewFile::create(&output, options.force)?;
    std::io::Write::write_all(&mut part.file()?, format!("{text}\n").as_bytes()).map_err(file("write", &output))?;
    part.keep()?;
    let public = hex(public);
    if as_json {
        return console::json(&json!({"signature": output, "key": key, "public_key": public}));
    }
    console::print(&format!(
        "signed {} into {}\nkey {key}; a server knows it by\n  [inference.provenance]\n  keys = [\"{public}\"]\n",
        options.file.display(),
        output.display(),
    ))
}

fn make_key(path: &Path) -> Result<(), Error> {
    let broken = |_| Error::Refused("a key could not be made".to_owned());
    let pair = Ed25519KeyPair::generate().map_err(broken)?;
    let document = pair.to_pkcs8v1().map_err(broken)?;
    // 48 bytes are one line (RFC 7468 section 2).
    let text = Zeroizing::new(STANDARD.encode(document.as_ref()));
    let pem = Zeroizing::new(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", *text));
    Ok(write_new(path, pem.as_bytes(), SECRET_MODE)?)
}

fn read_key(path: &Path) -> Result<Ed25519KeyPair, Error> {
    let unusable = || Error::Refused(format!("{} is no Ed25519 private key (PKCS #8 in PEM form)", path.display()));
    let secret = read_secret(path)?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(secret.expose()).map_err(|_| unusable())?;
    // OpenSSL leaves the public key out.
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map_err(|_| unusable())
}

fn digest_of(path: &Path) -> Result<String, Error> {
    let mut content = std::fs::File::open(path).map_err(file("read", path))?;
    let mut context = Digesting(digest::Context::new(&digest::SHA256));
    std::io::copy(&mut content, &mut context).map_err(file("read", path))?;
    Ok(hex(context.0.finish().as_ref()))
}

struct Digesting(digest::Context);

impl std::io::Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
