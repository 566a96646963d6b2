//! Numbers as LightGBM reads them (`include/LightGBM/utils/common.h`): most to the nearest `f64`, as `AtofPrecise` does, some by
//! its older `Atof`, which rounds many times.

use super::lines::Value;
use crate::error::{Error, quote};

impl<'a> Value<'a> {
    fn parsed<T>(&self, what: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
        parse(self.text).ok_or_else(|| self.fault(format!("is `{}` where {what} was expected", quote(self.text))))
    }

    /// A number that is no less than 0.
    pub(super) fn count(&self) -> Result<usize, Error> {
        self.parsed("a count", |text| text.parse::<u32>().ok().and_then(|count| usize::try_from(count).ok()))
    }

    pub(super) fn is_set(&self) -> Result<bool, Error> {
        self.parsed("0 or 1", |text| match text {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        })
    }

    /// Words between spaces.
    pub(super) fn words(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.text.split(' ').filter(|word| !word.is_empty())
    }

    /// Exactly so many numbers; room is made only for what can stand in the text.
    fn list<T>(&self, count: usize, what: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Error> {
        let mut list = Vec::with_capacity(count.min(self.text.len() / 2 + 1));
        for word in self.words() {
            let number = parse(word);
            let number =
                number.ok_or_else(|| self.fault(format!("has `{}` where {what} was expected", quote(word))))?;
            if list.len() == count {
                return Err(self.fault(format!("has more than the {count} numbers that belong here")));
            }
            list.push(number);
        }
        if list.len() != count {
            return Err(self.fault(format!("has {} numbers where {count} belong", list.len())));
        }
        Ok(list)
    }

    pub(super) fn ints(&self, count: usize) -> Result<Vec<i32>, Error> {
        self.list(count, "an int", |word| word.parse().ok())
    }

    pub(super) fn counts(&self, count: usize) -> Result<Vec<u32>, Error> {
        self.list(count, "an int of at least 0", |word| word.parse().ok())
    }

    /// To the nearest, as `AtofPrecise`; no NaN.
    pub(super) fn floats(&self, count: usize) -> Result<Vec<f64>, Error> {
        self.list(count, "a number", |word| word.parse().ok().filter(|number: &f64| !number.is_nan()))
    }

    /// To the nearest, and neither infinite nor NaN.
    pub(super) fn finite(&self, count: usize) -> Result<Vec<f64>, Error> {
        self.list(count, "a finite number", |word| word.parse().ok().filter(|number: &f64| number.is_finite()))
    }

    /// By `Atof`, then as `f32`.
    #[expect(clippy::cast_possible_truncation, reason = "LightGBM keeps these in single precision")]
    pub(super) fn rough_singles(&self, count: usize) -> Result<Vec<f64>, Error> {
        self.list(count, "a number", |word| atof(word).map(|number| f64::from(number as f32)))
    }
}

/// `Common::Atof`, operation by operation.
pub(super) fn atof(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    match digits.to_ascii_lowercase().as_str() {
        "na" | "nan" | "null" => return Some(f64::NAN),
        "inf" | "infinity" => return Some(sign * 1e308),
        _ => {}
    }
    let (whole, rest) = leading_digits(digits);
    let mut value = whole.bytes().fold(0.0, |value, digit| value * 10.0 + f64::from(digit - b'0'));
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), leading_digits);
    if !fraction.is_empty() {
        let right = fraction.bytes().fold(0.0, |right, digit| f64::from(digit - b'0') + right * 10.0);
        value += right / power(10.0, fraction.len());
    }
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let Some(exponent) = rest.strip_prefix(['e', 'E']) else {
        return rest.is_empty().then_some(sign * value);
    };
    let (is_negative, exponent) = match exponent.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, exponent.strip_prefix('+').unwrap_or(exponent)),
    };
    let mut exponent = exponent.parse::<u32>().ok()?.min(308);
    let mut scale = 1.0;
    for (step, by) in [(50, 1e50), (8, 1e8), (1, 10.0)] {
        while exponent >= step {
            scale *= by;
            exponent -= step;
        }
    }
    Some(sign * if is_negative { value / scale } else { value * scale })
}

fn leading_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// `Common::Pow`; each second call at least halves the power.
fn power(base: f64, power_of: usize) -> f64 {
    match power_of {
        0 => 1.0,
        _ if power_of.is_multiple_of(2) => power(base * base, power_of / 2),
        _ if power_of.is_multiple_of(3) => power(base * base * base, power_of / 3),
        _ => base * power(base, power_of - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_atof_does() {
        let exact = [("1", 1.0), ("1e+2", 100.0), (".5", 0.5), ("5.", 5.0), ("inf", 1e308), ("-Infinity", -1e308)];
        for (text, expected) in exact {
            assert_eq!(atof(text), Some(expected), "{text}");
        }
        // the bits that LightGBM 4.6's own function gives, compiled alone
        let rounded: [(&str, u64); 9] = [
            ("0.123456789", 0x3fbf9add3739635f),
            ("314159.26535897931", 0x41132cbd0fba43a7),
            ("6.02214076e23", 0x44dfe185ca57c517),
            ("1.7976931348623157e308", 0x7ff0000000000000),
            ("2.84217e-14", 0x3d1fffff4ddd5d4a),
            ("123456789012345678901234567890", 0x45f8ee90ff6c373d),
            ("0.1e-7", 0x3e45798ee2308c3a),
            ("-9.87654321e-12", 0xbda5b7ffe1db091a),
            ("0.000012345", 0x3ee9e3abe16fc70d),
        ];
        for (text, expected) in rounded {
            assert_eq!(atof(text).map(f64::to_bits), Some(expected), "{text}");
        }
        assert!(atof("NaN").is_some_and(f64::is_nan));
        for text in ["", "-", "x", "1x", "1e", "1e5x", "--1", "."] {
            assert_eq!(atof(text), None, "{text}");
        }
    }
}
