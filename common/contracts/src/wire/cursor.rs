//! Reading the layout: every length is checked against the bytes that are there before anything is allocated.

use super::WireError;

pub(super) struct Cursor<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(all: &'a [u8]) -> Self {
        Self { all, at: 0 }
    }

    pub(super) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], WireError> {
        let end = self.at.checked_add(len);
        let bytes = end.and_then(|end| self.all.get(self.at..end));
        let bytes = bytes.ok_or(WireError::Truncated { at: self.all.len(), what })?;
        self.at += len;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], WireError> {
        let at = self.at;
        self.take(N, what)?.try_into().map_err(|_| WireError::Illegal { at, what })
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, WireError> {
        Ok(u8::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64_be(&mut self, what: &'static str) -> Result<u64, WireError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    pub(super) fn u128_be(&mut self, what: &'static str) -> Result<u128, WireError> {
        Ok(u128::from_be_bytes(self.array(what)?))
    }

    pub(super) fn short_text(&mut self, what: &'static str) -> Result<&'a str, WireError> {
        let len = self.u8(what)?;
        let at = self.at;
        std::str::from_utf8(self.take(len.into(), what)?).map_err(|_| WireError::Illegal { at, what })
    }

    /// `count` items of `size` bytes: the product can not overflow past the check.
    pub(super) fn block(&mut self, count: usize, size: usize, what: &'static str) -> Result<&'a [u8], WireError> {
        let len = count.checked_mul(size).ok_or(WireError::Illegal { at: self.at, what })?;
        self.take(len, what)
    }

    /// The layout version, one of `known`.
    pub(super) fn start(&mut self, magic: &[u8; 2], known: &[u8]) -> Result<u8, WireError> {
        if self.take(2, "magic")? != magic {
            return Err(WireError::Illegal { at: 0, what: "magic" });
        }
        match self.u8("layout version")? {
            layout if known.contains(&layout) => Ok(layout),
            found => Err(WireError::Version { found }),
        }
    }

    pub(super) fn illegal(&self, what: &'static str) -> WireError {
        WireError::Illegal { at: self.at, what }
    }

    pub(super) fn remaining(&self) -> usize {
        self.all.len() - self.at
    }

    pub(super) fn end(&self) -> Result<(), WireError> {
        match self.remaining() {
            0 => Ok(()),
            extra => Err(WireError::Trailing { extra }),
        }
    }
}

pub(super) fn f64s(bytes: &[u8]) -> impl Iterator<Item = f64> + '_ {
    bytes.as_chunks::<8>().0.iter().map(|chunk| f64::from_le_bytes(*chunk))
}

pub(super) fn u32s(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes.as_chunks::<4>().0.iter().map(|chunk| u32::from_le_bytes(*chunk))
}
