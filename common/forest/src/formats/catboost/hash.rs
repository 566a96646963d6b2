//! The number that CatBoost has for a category: CityHash64 in its version 1, as `util/digest/city.cpp` has it. The crates that
//! offer this version read memory by raw pointers behind safe functions; this is the same in safe code.

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;
const K3: u64 = 0xc949_d7c7_509e_6557;

/// The number that stands for a category in a column of [`Categories::Hashed`](crate::Categories::Hashed); give it as `f64`,
/// for `f32` can not hold it. An integer category is hashed as its decimal text (`catboost/libs/cat_feature/cat_feature.cpp`,
/// `CalcCatFeatureHash`).
#[expect(clippy::cast_possible_truncation, reason = "the low half is the number")]
pub fn catboost_category(text: &str) -> u32 {
    city(text.as_bytes()) as u32
}

fn city(text: &[u8]) -> u64 {
    match text.len() {
        0..=16 => up_to_16(text),
        17..=32 => up_to_32(text),
        33..=64 => up_to_64(text),
        _ => longer(text),
    }
}

/// Eight bytes from there; the callers stay within the text.
fn word(text: &[u8], from: usize) -> u64 {
    let bytes = text.get(from..).and_then(<[u8]>::first_chunk);
    u64::from_le_bytes(bytes.copied().unwrap_or_default())
}

fn half(text: &[u8], from: usize) -> u64 {
    let bytes = text.get(from..).and_then(<[u8]>::first_chunk);
    u64::from(u32::from_le_bytes(bytes.copied().unwrap_or_default()))
}

fn byte(text: &[u8], at: usize) -> u64 {
    text.get(at).copied().map_or(0, u64::from)
}

fn shift_mix(x: u64) -> u64 {
    x ^ (x >> 47)
}

fn pair(low: u64, high: u64) -> u64 {
    const MULTIPLIER: u64 = 0x9ddf_ea08_eb38_2d69;
    let a = shift_mix((low ^ high).wrapping_mul(MULTIPLIER));
    shift_mix((high ^ a).wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER)
}

fn up_to_16(text: &[u8]) -> u64 {
    let length = text.len() as u64;
    match text.len() {
        0 => K2,
        1..=3 => {
            let y = byte(text, 0) + (byte(text, text.len() / 2) << 8);
            let z = length + (byte(text, text.len() - 1) << 2);
            shift_mix(y.wrapping_mul(K2) ^ z.wrapping_mul(K3)).wrapping_mul(K2)
        }
        4..=8 => pair(length + (half(text, 0) << 3), half(text, text.len() - 4)),
        _ => {
            let last = word(text, text.len() - 8);
            let turned = last.wrapping_add(length).rotate_right(u32::try_from(length).unwrap_or_default());
            pair(word(text, 0), turned) ^ last
        }
    }
}

fn up_to_32(text: &[u8]) -> u64 {
    let n = text.len();
    let a = word(text, 0).wrapping_mul(K1);
    let b = word(text, 8);
    let c = word(text, n - 8).wrapping_mul(K2);
    let d = word(text, n - 16).wrapping_mul(K0);
    let low = a.wrapping_sub(b).rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d);
    let high = a.wrapping_add((b ^ K3).rotate_right(20)).wrapping_sub(c).wrapping_add(n as u64);
    pair(low, high)
}

/// Four words from there, beginning with `a` and `z`.
fn quarter(text: &[u8], from: usize, start: u64, z: u64) -> (u64, u64) {
    let mut a = start;
    let mut c = a.rotate_right(37);
    let b = a.wrapping_add(z).rotate_right(52);
    a = a.wrapping_add(word(text, from + 8));
    c = c.wrapping_add(a.rotate_right(7));
    a = a.wrapping_add(word(text, from + 16));
    (a.wrapping_add(z), b.wrapping_add(a.rotate_right(31)).wrapping_add(c))
}

fn up_to_64(text: &[u8]) -> u64 {
    let n = text.len();
    let start = word(text, 0).wrapping_add((n as u64).wrapping_add(word(text, n - 16)).wrapping_mul(K0));
    let (v0, v1) = quarter(text, 0, start, word(text, 24));
    let start = word(text, 16).wrapping_add(word(text, n - 32));
    let (w0, w1) = quarter(text, n - 32, start, word(text, n - 8));
    let r = v0.wrapping_add(w1).wrapping_mul(K2).wrapping_add(w0.wrapping_add(v1).wrapping_mul(K0));
    shift_mix(shift_mix(r).wrapping_mul(K0).wrapping_add(v1)).wrapping_mul(K2)
}

fn weak(text: &[u8], from: usize, a: u64, b: u64) -> (u64, u64) {
    let z = word(text, from + 24);
    let a = a.wrapping_add(word(text, from));
    let b = b.wrapping_add(a).wrapping_add(z).rotate_right(21);
    let sum = a.wrapping_add(word(text, from + 8)).wrapping_add(word(text, from + 16));
    (sum.wrapping_add(z), b.wrapping_add(sum.rotate_right(44)).wrapping_add(a))
}

fn longer(text: &[u8]) -> u64 {
    let n = text.len();
    let length = n as u64;
    let mut x = word(text, 0);
    let mut y = word(text, n - 16) ^ K1;
    let mut z = word(text, n - 56) ^ K0;
    let mut v = weak(text, n - 64, length, y);
    let mut w = weak(text, n - 32, length.wrapping_mul(K1), K0);
    z = z.wrapping_add(shift_mix(v.1).wrapping_mul(K1));
    x = z.wrapping_add(x).rotate_right(39).wrapping_mul(K1);
    y = y.rotate_right(33).wrapping_mul(K1);
    for from in (0..n - 1).step_by(64).take((n - 1) / 64) {
        x = x.wrapping_add(y).wrapping_add(v.0).wrapping_add(word(text, from + 16)).rotate_right(37).wrapping_mul(K1);
        y = y.wrapping_add(v.1).wrapping_add(word(text, from + 48)).rotate_right(42).wrapping_mul(K1);
        x ^= w.1;
        y ^= v.0;
        z = (z ^ w.0).rotate_right(33);
        v = weak(text, from, v.1.wrapping_mul(K1), x.wrapping_add(w.0));
        w = weak(text, from + 32, z.wrapping_add(w.1), y);
        std::mem::swap(&mut z, &mut x);
    }
    let low = pair(v.0, w.0).wrapping_add(shift_mix(y).wrapping_mul(K1)).wrapping_add(z);
    pair(low, pair(v.1, w.1).wrapping_add(x))
}

#[cfg(test)]
mod tests {
    use super::catboost_category;

    /// Of CatBoost 1.2.10 (`cat_features_hash`).
    #[test]
    fn gives_what_catboost_gives() {
        let cases = [
            ("", 797_982_799),
            ("x", 3_510_494_104),
            ("yy", 2_854_784_352),
            ("zürich", 2_284_951_698),
            ("3", 593_172_586),
            ("-3", 1_837_837_212),
        ];
        for (text, expected) in cases {
            assert_eq!(catboost_category(text), expected, "{text}");
        }
    }
}
