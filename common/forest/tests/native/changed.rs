//! Files of which something was changed never make the reader panic.

use super::*;
use crate::refused::small;

/// What reads compiles, predicts as the obvious way does, and comes back.
fn check(bytes: &[u8]) {
    let Ok(model) = read(bytes) else { return };
    safetensors::SafeTensors::deserialize(bytes).unwrap();
    let row: Vec<f64> = (0..model.n_features()).map(|feature| feature as f64 * 0.7 - 1.0).collect();
    let rows = Array2::from_shape_vec((1, row.len()), row.clone()).unwrap();
    let compiled = Compiled::new(&model).unwrap();
    let mut margins = Array2::zeros((1, compiled.margins_width()));
    if compiled.margins(rows.view(), margins.view_mut()).is_ok() {
        let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        let expected = naive::margins(&model, &row);
        // which of NaN and a number is smaller, no library says
        let said = model.sum().combine == Combine::Add
            || !model.trees().iter().any(|tree| tree.values().iter().any(|x| x.is_nan()));
        assert!(!said || margins.iter().zip(&expected).all(same), "{margins} {expected:?}");
    }
    let again = written(&model);
    assert!(written(&read(&again).unwrap()) == again);
}

fn some_files() -> &'static [Vec<u8>] {
    static FILES: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
    FILES.get_or_init(|| {
        let mut files: Vec<Vec<u8>> = fixtures().iter().map(|(_, model)| written(model)).collect();
        files.retain(|file| file.len() < 20_000);
        files.extend([small(), written(&Model::new(odd_parts()).unwrap())]);
        files
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_file_never_panics(
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        cut in 0_usize..6,
        with in prop::collection::vec(any::<u8>(), 0..6),
        same in any::<bool>(),
    ) {
        let mut bytes = file.get(some_files()).clone();
        let at = at.index(bytes.len());
        let end = (at + if same { with.len() } else { cut }).min(bytes.len());
        bytes.splice(at..end, with);
        check(&bytes);
    }

    #[test]
    fn changed_numbers_never_panic(
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = file.get(some_files()).clone();
        let start = 8 + usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
        for (at, byte) in changes {
            let at = start + at.index((bytes.len() - start).max(1));
            if let Some(old) = bytes.get_mut(at) {
                *old = byte;
            }
        }
        check(&bytes);
    }

    #[test]
    fn a_changed_header_never_panics(
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        cut in 0_usize..8,
        with in "[-0-9\\[\\]{},:\"\\\\a-z]{0,8}",
    ) {
        let bytes = file.get(some_files()).clone();
        let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
        let mut header = bytes[8..8 + length].to_vec();
        let at = at.index(length);
        header.splice(at..(at + cut).min(length), with.bytes());
        check(&[&(header.len() as u64).to_le_bytes()[..], &header, &bytes[8 + length..]].concat());
    }
}
