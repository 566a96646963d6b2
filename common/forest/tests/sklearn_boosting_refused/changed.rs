//! Files that are cut off, or of which something was changed.

use super::*;

/// Reads; what reads must predict as the obvious walk does, or refuse the row.
fn exercise(bytes: &[u8]) -> bool {
    let limits = Options::from(Limits { max_bytes: 1 << 24, ..Limits::default() });
    let Ok(model) = Model::read(bytes, &limits) else { return false };
    let compiled = Compiled::new(&model).unwrap();
    let row: Vec<f64> = (0..model.n_features()).map(|feature| feature as f64 * 0.7 - 1.0).collect();
    let rows = ndarray::ArrayView1::from(&row[..]).insert_axis(ndarray::Axis(0));
    let mut margins = Array2::zeros((1, compiled.margins_width()));
    if compiled.margins(rows, margins.view_mut()).is_ok() {
        let expected: Vec<u64> = naive::margins(&model, &row).iter().map(|m| m.to_bits()).collect();
        assert_eq!(margins.row(0).mapv(f64::to_bits).to_vec(), expected);
        predict(&compiled, rows).unwrap();
    }
    true
}

/// Files of every kind, not compressed.
fn plain() -> Vec<Vec<u8>> {
    use std::io::Read;
    let kinds = ["gb_rare", "hgb_categories.", "hgb_text", "if_subsets", "pipe_strict", "pipe_text.", "pipe_constant"];
    let of_kind = |case: &common::reference::Case| kinds.iter().any(|kind| case.facts.file.starts_with(kind));
    let decompressed = |case: common::reference::Case| {
        let mut plain = Vec::new();
        let bytes = &case.bytes[..];
        match case.path.extension().unwrap().to_str().unwrap() {
            "z" => flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut plain).unwrap(),
            "gz" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap(),
            "bz2" => bzip2::read::BzDecoder::new(bytes).read_to_end(&mut plain).unwrap(),
            "xz" => lzma_rust2::XzReader::new(bytes, true).read_to_end(&mut plain).unwrap(),
            _ => return None,
        };
        Some(plain)
    };
    cases("sklearn_boosting").into_iter().filter(of_kind).filter_map(decompressed).collect()
}

#[test]
fn files_cut_off_are_refused() {
    for bytes in plain() {
        assert!(exercise(&bytes));
        for end in (0..bytes.len()).step_by(bytes.len() / 60).chain([bytes.len() - 1]) {
            assert!(!exercise(&bytes[..end]), "cut off at {end} reads");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn changed_files_do_no_harm(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        for mut bytes in plain() {
            for (at, to) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *to;
            }
            exercise(&bytes);
        }
    }
}
