//! Durations and byte sizes as people write them: `250ms`, `1h30m`, `64KiB`.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A duration written as one or more whole numbers with a unit each: `us`, `ms`, `s`, `m`, `h`, `d` (24 hours).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

const DURATION_UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1000), ("us", 1)];

impl HumanDuration {
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Deref for HumanDuration {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl From<HumanDuration> for Duration {
    fn from(value: HumanDuration) -> Self {
        value.0
    }
}

impl From<Duration> for HumanDuration {
    fn from(value: Duration) -> Self {
        Self(value)
    }
}

impl FromStr for HumanDuration {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a duration is whole numbers with a unit each (us, ms, s, m, h or d), such as 5s or 1h30m";
        let mut rest = text.trim();
        let mut micros = 0u64;
        if rest.is_empty() {
            return Err(WRONG);
        }
        while !rest.is_empty() {
            let (digits, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).ok_or(WRONG)?);
            let (unit, tail) = tail.split_at(tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len()));
            let (_, scale) = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or(WRONG)?;
            let count: u64 = digits.parse().map_err(|_| WRONG)?;
            micros =
                count.checked_mul(*scale).and_then(|part| micros.checked_add(part)).ok_or("too long a duration")?;
            rest = tail.trim_start();
        }
        Ok(Self(Duration::from_micros(micros)))
    }
}

impl fmt::Display for HumanDuration {
    /// What [`FromStr`] reads; parts of a microsecond are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, scale) in DURATION_UNITS {
            if rest >= scale {
                write!(f, "{}{unit}", rest / scale)?;
                rest %= scale;
            }
        }
        Ok(())
    }
}

/// A number of bytes: a whole number, with no unit or one of `B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const SIZE_UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("B", 1),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

impl ByteSize {
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The size as a length in memory; as large as that can be where it does not fit.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a size is a whole number of bytes with a unit or none, such as 4096, 64KiB or 1MiB";
        let text = text.trim();
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let (_, scale) = SIZE_UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or(WRONG)?;
        let count: u64 = digits.parse().map_err(|_| WRONG)?;
        count.checked_mul(*scale).map(Self).ok_or("too large a size")
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match binary.iter().find(|(_, scale)| self.0 >= *scale && self.0.is_multiple_of(*scale)) {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}B", self.0),
        }
    }
}

struct DurationText;

impl Visitor<'_> for DurationText {
    type Value = HumanDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration with its unit, such as \"5s\" or \"250ms\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<HumanDuration, E> {
        text.parse().map_err(|reason| E::custom(format!("{text:?}: {reason}")))
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(DurationText)
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct SizeText;

impl Visitor<'_> for SizeText {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as 4096 or \"1MiB\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
        text.parse().map_err(|reason| E::custom(format!("{text:?}: {reason}")))
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
        Ok(ByteSize(bytes))
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
        u64::try_from(bytes).map(ByteSize).map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeText)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write_is_read() {
        let micros = |text: &str| text.parse::<HumanDuration>().map(|d| d.0.as_micros());
        assert_eq!(micros("5s"), Ok(5_000_000));
        assert_eq!(micros("250ms"), Ok(250_000));
        assert_eq!(micros(" 1h 30m "), Ok(5_400_000_000));
        assert_eq!(micros("24h"), micros("1d"));
        for wrong in ["", "5", "s", "-1s", "1.5s", "5 s", "1w", "99999999999999999999s", "9999999999999999d", "5S"] {
            assert!(micros(wrong).is_err(), "{wrong}");
        }
        let bytes = |text: &str| text.parse::<ByteSize>().map(ByteSize::bytes);
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("1MiB"), Ok(1 << 20));
        assert_eq!(bytes("10 MB"), Ok(10_000_000));
        for wrong in ["", "MiB", "-1", "1.5MiB", "1mib", "99999999999GiB", "1 2"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(micros: u64, size: u64) {
            let duration = HumanDuration(Duration::from_micros(micros));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            let size = ByteSize(size);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = text.parse::<HumanDuration>();
            let _ = text.parse::<ByteSize>();
        }
    }
}
