//! The log as it is stored. All numbers are unsigned LEB128 of 64 bits, but ids.
//!
//! | | |
//! |---|---|
//! | version | one byte, 1 |
//! | clock, window, clock − asked, other | milliseconds |
//! | number of charges | |
//! | each charge, by time | (milliseconds since the one before, the first since 0) × 4 + kind |
//! | … kind 0, decided | id, 8 bytes, little-endian |
//! | … kind 1, a loan | id, 8 bytes, little-endian; permits |
//! | … kind 2, closed | permits |

use super::{Charge, Kind, Log, MAX_CLOSED, MAX_DECIDED, MAX_OPEN, SLACK};

const VERSION: u8 = 1;
/// More charges than are ever written.
const MAX_CHARGES: u64 = MAX_DECIDED as u64 + (SLACK + MAX_OPEN + MAX_CLOSED) as u64;
/// No time is later, and no count higher: sums can not overflow.
const MAX_NUMBER: u64 = 1 << 48;

/// Why a stored log can not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogError {
    /// Of another format.
    #[error("it has format version {found}; this binary reads version {VERSION}")]
    Version {
        /// Which.
        found: u8,
    },
    /// It ends too early.
    #[error("it ends within {what}")]
    Short {
        /// Where.
        what: &'static str,
    },
    /// It is not what this binary writes.
    #[error("{what} can not be {value}")]
    Impossible {
        /// Where.
        what: &'static str,
        /// What is there.
        value: u64,
    },
}

impl Log {
    /// As it is stored.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + self.charges.len() * 12);
        out.push(VERSION);
        let age = self.clock.saturating_sub(self.asked);
        for number in [self.clock, self.window, age, self.other, self.charges.len() as u64] {
            put(&mut out, number);
        }
        let mut before = 0;
        for charge in &self.charges {
            let step = charge.at.saturating_sub(before) << 2;
            before = charge.at;
            match charge.kind {
                Kind::Decided(id) => {
                    put(&mut out, step);
                    out.extend_from_slice(&id.to_le_bytes());
                }
                Kind::Open(id) => {
                    put(&mut out, step | 1);
                    out.extend_from_slice(&id.to_le_bytes());
                    put(&mut out, charge.permits);
                }
                Kind::Closed => {
                    put(&mut out, step | 2);
                    put(&mut out, charge.permits);
                }
            }
        }
        out
    }

    /// From what was stored.
    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, LogError> {
        let input = &mut bytes;
        let [found] = take::<1>(input, "its version")?;
        if found != VERSION {
            return Err(LogError::Version { found });
        }
        let clock = number(input, "its clock", MAX_NUMBER)?;
        let window = number(input, "its window", MAX_NUMBER)?;
        let asked = clock.saturating_sub(number(input, "its window's age", MAX_NUMBER)?);
        let other = number(input, "its other window", MAX_NUMBER)?;
        let count = number(input, "its number of charges", MAX_CHARGES)?;
        let mut charges = Vec::new();
        let mut at = 0;
        for _ in 0..count {
            let step = number(input, "a time", MAX_NUMBER)?;
            at += step >> 2;
            if at > MAX_NUMBER {
                return Err(LogError::Impossible { what: "a time", value: at });
            }
            let (kind, permits) = match step & 3 {
                0 => (Kind::Decided(id(input)?), 1),
                1 => (Kind::Open(id(input)?), permits(input)?),
                2 => (Kind::Closed, permits(input)?),
                value => return Err(LogError::Impossible { what: "a kind of charge", value }),
            };
            charges.push(Charge { at, permits, kind });
        }
        if !input.is_empty() {
            return Err(LogError::Impossible { what: "the number of bytes after its end", value: input.len() as u64 });
        }
        Ok(Self { clock, window, asked, other, charges })
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take<const N: usize>(input: &mut &[u8], what: &'static str) -> Result<[u8; N], LogError> {
    let (head, rest) = input.split_first_chunk::<N>().ok_or(LogError::Short { what })?;
    *input = rest;
    Ok(*head)
}

fn id(input: &mut &[u8]) -> Result<u64, LogError> {
    take::<8>(input, "an id").map(u64::from_le_bytes)
}

fn permits(input: &mut &[u8]) -> Result<u64, LogError> {
    let what = "a number of permits";
    match number(input, what, MAX_NUMBER)? {
        0 => Err(LogError::Impossible { what, value: 0 }),
        permits => Ok(permits),
    }
}

fn number(input: &mut &[u8], what: &'static str, most: u64) -> Result<u64, LogError> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let [byte] = take::<1>(input, what)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return if value <= most { Ok(value) } else { Err(LogError::Impossible { what, value }) };
        }
    }
    Err(LogError::Impossible { what, value })
}
