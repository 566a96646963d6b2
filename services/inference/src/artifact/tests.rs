use std::path::Path;

use super::*;

/// Every model that the forest is held to by its own library is taken by a worker as well.
#[test]
fn every_model_that_is_read_is_taken() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../common/forest/tests/fixtures");
    let list = |folder: &Path| -> Vec<_> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let (mut taken, mut beyond) = (0, Vec::new());
    let limits = ArtifactLimits::default();
    for version in list(&fixtures).iter().flat_map(|library| list(library)) {
        let Ok(index) = std::fs::read_to_string(version.join("cases.json")) else { continue };
        let cases: Vec<serde_json::Value> = serde_json::from_str(&index).unwrap();
        for case in cases {
            let file = version.join(case["file"].as_str().unwrap());
            let bytes = Bytes::from(std::fs::read(&file).unwrap());
            let digest = hex::encode(digest::digest(&digest::SHA256, &bytes));
            match read(&bytes, &digest, &limits) {
                Ok(_) => taken += 1,
                // Made to give what is not finite.
                Err(LoadError::Canary(why)) if why.contains("finite") => beyond.push(file),
                Err(error) => panic!("{}: {error}", file.display()),
            }
        }
    }
    assert!(taken > 300 && beyond.len() < 10, "{taken}, not {beyond:?}");
}
