//! Takes the three files of Swagger UI that the documentation page needs out of the packaged archive, compressed as they
//! are served; and makes the types of the inference protocol's gRPC service.

use std::error::Error;
use std::io::{Cursor, Read, Write};
use std::path::Path;

const FILES: [&str; 3] = ["swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=proto");
    service()?;
    page()
}

fn service() -> Result<(), Box<dyn Error>> {
    let files = protox::compile(["proto/grpc_service.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        // Calls that the edge does not have are unimplemented.
        .generate_default_stubs(true)
        .bytes(".")
        // They are no documentation of Rust.
        .disable_comments(["."])
        .compile_fds(files)?;
    Ok(())
}

fn page() -> Result<(), Box<dyn Error>> {
    let out = std::env::var("OUT_DIR")?;
    let archive = Cursor::new(utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED);
    let mut archive = zip::ZipArchive::new(archive)?;
    let names = archive.file_names().map(|name| name.map(|name| name.into_owned())).collect::<Result<Vec<_>, _>>()?;
    for file in FILES {
        let path = format!("/dist/{file}");
        let name = names.iter().find(|name| name.ends_with(&path)).ok_or("the archive of Swagger UI lacks a file")?;
        let mut content = Vec::new();
        archive.by_name(name)?.read_to_end(&mut content)?;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&content)?;
        std::fs::write(Path::new(&out).join(format!("{file}.gz")), encoder.finish()?)?;
    }
    Ok(())
}
