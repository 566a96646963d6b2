//! Floats in JSON, to the bit: what JSON has no number for is text, `"inf"`, `"-inf"` or `"nan:7ff8000000000000"`.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Clone, Copy)]
struct Exact(f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            x if x.is_finite() => serializer.serialize_f64(x),
            x if x.is_nan() => serializer.collect_str(&format_args!("nan:{:016x}", x.to_bits())),
            x => serializer.serialize_str(if x > 0.0 { "inf" } else { "-inf" }),
        }
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExactVisitor)
    }
}

struct ExactVisitor;

impl Visitor<'_> for ExactVisitor {
    type Value = Exact;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, \"inf\", \"-inf\" or \"nan:\" with 16 hexadecimal digits")
    }

    fn visit_f64<E: de::Error>(self, x: f64) -> Result<Exact, E> {
        Ok(Exact(x))
    }

    #[expect(clippy::cast_precision_loss, reason = "as JSON's other readers take it")]
    fn visit_u64<E: de::Error>(self, x: u64) -> Result<Exact, E> {
        Ok(Exact(x as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "as JSON's other readers take it")]
    fn visit_i64<E: de::Error>(self, x: i64) -> Result<Exact, E> {
        Ok(Exact(x as f64))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Exact, E> {
        let nan = || {
            let digits = text.strip_prefix("nan:").filter(|digits| digits.len() == 16)?;
            u64::from_str_radix(digits, 16).ok().map(f64::from_bits).filter(|x| x.is_nan())
        };
        let float = match text {
            "inf" => Some(f64::INFINITY),
            "-inf" => Some(f64::NEG_INFINITY),
            _ => nan(),
        };
        float.map(Exact).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

pub(crate) fn serialize<S: Serializer>(x: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Exact(*x).serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Exact::deserialize(deserializer).map(|exact| exact.0)
}

/// For a list.
pub(crate) mod list {
    use super::{Deserialize, Deserializer, Exact, Serializer};

    pub(crate) fn serialize<S: Serializer>(list: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|x| Exact(*x)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        // collected in place
        Vec::<Exact>::deserialize(deserializer).map(|list| list.into_iter().map(|exact| exact.0).collect())
    }
}

/// For what may be absent.
pub(crate) mod option {
    use super::{Deserialize, Deserializer, Exact, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(x: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        x.map(Exact).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Option::<Exact>::deserialize(deserializer).map(|x| x.map(|exact| exact.0))
    }
}

#[cfg(test)]
mod tests {
    use super::Exact;

    #[test]
    fn every_float_comes_back_to_the_bit() {
        let nan = f64::from_bits(0xfff0_0000_0000_0001);
        for x in [0.0, -0.0, 0.1, 5e-324, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, nan] {
            let text = serde_json::to_string(&Exact(x)).unwrap();
            let back: Exact = serde_json::from_str(&text).unwrap();
            assert_eq!(back.0.to_bits(), x.to_bits(), "{text}");
        }
        assert!(serde_json::from_str::<Exact>("-0").unwrap().0.is_sign_negative());
        for text in ["null", "\"NaN\"", "\"nan:3ff0000000000000\"", "\"nan:7ff8\"", "\"1\"", "true"] {
            assert!(serde_json::from_str::<Exact>(text).is_err(), "{text}");
        }
    }
}
