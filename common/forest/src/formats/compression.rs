//! Takes off the compression that `joblib.dump(compress=…)` puts on, told by the stream's first bytes. One layer; bounded
//! output; a number in a header never decides how much memory is taken.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use crate::error::Error;
use crate::limits::Limits;

/// Most that an LZMA decoder may take for its window, in KiB. Python's strongest preset declares 64 MiB; the window grows
/// with what is decompressed, not with what is declared.
const LZMA_WINDOW_KIB: u32 = 80 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Zlib,
    Gzip,
    Bzip2,
    Xz,
    Lzma,
    Lz4,
}

impl Compression {
    fn name(self) -> &'static str {
        match self {
            Self::Zlib => "zlib",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bz2",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Lz4 => "lz4",
        }
    }

    /// The magic numbers of joblib's `compressor.py`, made stricter where their own formats say more.
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            // RFC 1950: the two bytes are a multiple of 31
            [0x78, flags, ..] if (0x7800 + u16::from(*flags)).is_multiple_of(31) => Some(Self::Zlib),
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            // properties of every Python preset; a pickle could begin with 5d but not with 5d 00
            [0x5d, 0, ..] => Some(Self::Lzma),
            [0x04, 0x22, 0x4d, 0x18, ..] => Some(Self::Lz4),
            _ => None,
        }
    }
}

/// The bytes within, or `bytes` themselves if nothing is compressed.
pub(crate) fn decompress<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Cow<'a, [u8]>, Error> {
    let Some(kind) = Compression::of(bytes) else {
        return if bytes.len() > limits.max_bytes { Err(too_large(limits)) } else { Ok(Cow::Borrowed(bytes)) };
    };
    // Once to count and once to keep: a vector that grew would take up to three times what is within, and what is too
    // large takes nothing.
    let mut count = Count(0);
    let counted = expand(kind, bytes, limits.max_bytes, &mut |reader| io::copy(reader, &mut count).map(drop));
    let rest = counted.map_err(|source| failed(kind, count.0, source))?;
    if count.0 > limits.max_bytes {
        return Err(too_large(limits));
    }
    if rest > 0 {
        return Err(Error::Trailing { of: "compressed stream", offset: bytes.len() - rest, count: rest });
    }
    let mut plain = Vec::with_capacity(count.0);
    expand(kind, bytes, limits.max_bytes, &mut |reader| reader.read_to_end(&mut plain).map(drop))
        .map_err(|source| failed(kind, count.0, source))?;
    if Compression::of(&plain).is_some() {
        return Err(Error::Format { format: "a file compressed twice", advice: "decompress it once" });
    }
    Ok(Cow::Owned(plain))
}

fn failed(kind: Compression, decompressed: usize, source: io::Error) -> Error {
    Error::Compression { format: kind.name(), decompressed, source }
}

/// Counts what is written and keeps nothing.
struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_large(limits: &Limits) -> Error {
    Error::limit("bytes of the decompressed file", limits.max_bytes)
}

/// Gives `take` a reader of what is within, of at most one byte more than `most`. Returns how many bytes were left after the
/// stream; 0 also where the format itself refuses such bytes.
fn expand(
    kind: Compression,
    bytes: &[u8],
    most: usize,
    take: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>,
) -> io::Result<usize> {
    let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    match kind {
        Compression::Zlib => {
            let mut reader = flate2::bufread::ZlibDecoder::new(bytes);
            take(&mut reader.by_ref().take(most))?;
            Ok(reader.into_inner().len())
        }
        Compression::Gzip => {
            let mut reader = flate2::bufread::MultiGzDecoder::new(bytes);
            take(&mut reader.by_ref().take(most))?;
            Ok(reader.into_inner().len())
        }
        Compression::Bzip2 => {
            let mut reader = bzip2::bufread::MultiBzDecoder::new(bytes);
            take(&mut reader.by_ref().take(most))?;
            Ok(reader.into_inner().len())
        }
        Compression::Xz => {
            let mut reader = lzma_rust2::XzReader::new_mem_limit(bytes, true, LZMA_WINDOW_KIB);
            take(&mut reader.by_ref().take(most))?;
            Ok(0)
        }
        Compression::Lzma => {
            let mut reader = lzma_rust2::LzmaReader::new_mem_limit(bytes, LZMA_WINDOW_KIB, None)?;
            take(&mut reader.by_ref().take(most))?;
            Ok(reader.into_inner().len())
        }
        Compression::Lz4 => {
            let mut reader = lz4_flex::frame::FrameDecoder::new(bytes);
            take(&mut reader.by_ref().take(most))?;
            let rest = reader.into_inner().len();
            if rest == 0 && !ends_lz4(bytes) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(rest)
        }
    }
}

/// Whether the end mark of an LZ4 frame is there, which the decoder does not insist on: four zeros, then a checksum if the
/// header announces one.
fn ends_lz4(bytes: &[u8]) -> bool {
    let checksum = if bytes.get(4).is_some_and(|flags| flags & 4 != 0) { 4 } else { 0 };
    let mark = bytes.len().checked_sub(checksum).and_then(|end| bytes.get(..end));
    mark.is_some_and(|bytes| bytes.ends_with(&[0; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn stops_a_bomb_at_the_limit() {
        let bomb = zlib(&vec![0; 4 << 20]);
        let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
        assert!(bomb.len() < 10_000);
        assert!(matches!(decompress(&bomb, &limits), Err(Error::Limit { limit: 1_048_576, .. })));
        let limits = Limits { max_bytes: 4 << 20, ..Limits::default() };
        assert_eq!(decompress(&bomb, &limits).unwrap().len(), 4 << 20);
    }

    #[test]
    fn takes_no_more_memory_than_what_is_within() {
        for size in [1, 100, 5_000, (4 << 20) + 1] {
            let packed = zlib(&vec![0; size]);
            let Cow::Owned(plain) = decompress(&packed, &Limits::default()).unwrap() else {
                panic!("it was compressed")
            };
            assert_eq!((plain.len(), plain.capacity()), (size, size));
        }
    }

    #[test]
    fn refuses_what_follows_the_stream() {
        let mut bytes = zlib(b"abc");
        let end = bytes.len();
        bytes.extend(b"xy");
        let error = decompress(&bytes, &Limits::default()).unwrap_err();
        assert!(matches!(error, Error::Trailing { offset, count: 2, .. } if offset == end), "{error}");
    }

    #[test]
    fn refuses_a_stream_that_is_cut_off_or_damaged() {
        let bytes = zlib(&(0..=255).cycle().take(5_000).collect::<Vec<u8>>());
        for end in 2..bytes.len() {
            assert!(matches!(decompress(&bytes[..end], &Limits::default()), Err(Error::Compression { .. })), "{end}");
        }
        let mut damaged = bytes;
        *damaged.last_mut().unwrap() ^= 1;
        assert!(matches!(decompress(&damaged, &Limits::default()), Err(Error::Compression { .. })));
    }

    #[test]
    fn refuses_a_window_that_the_header_only_claims() {
        // LZMA alone, dictionary of 4 GiB
        let bytes = [0x5d, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0];
        assert!(matches!(decompress(&bytes, &Limits::default()), Err(Error::Compression { format: "lzma", .. })));
    }

    #[test]
    fn refuses_two_layers() {
        let error = decompress(&zlib(&zlib(b"abc")), &Limits::default()).unwrap_err();
        assert!(error.to_string().contains("compressed twice"), "{error}");
    }

    #[test]
    fn leaves_alone_what_is_not_compressed() {
        assert_eq!(&*decompress(b"\x80\x04.", &Limits::default()).unwrap(), b"\x80\x04.");
        let limits = Limits { max_bytes: 2, ..Limits::default() };
        assert!(matches!(decompress(b"\x80\x04.", &limits), Err(Error::Limit { .. })));
    }
}
