//! Content codings (RFC 9110 section 8.4): bodies that come packed are unpacked within a limit, whatever their length says of
//! it; answers are packed for who takes it.

use std::io::{self, BufRead, ErrorKind, Read, Write};

use arborgate_contracts::{ErrorCode, ServiceError};
use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use http::{HeaderMap, HeaderValue, header};

use super::problem::Problem;

/// Answers of fewer bytes are not worth packing.
pub const WORTH: usize = 4096;
/// A frame of Zstandard may look back 16 MiB: what a frame asks for in memory is not to be trusted.
const WINDOW_LOG: u32 = 24;
/// Fast: the bytes are sent once.
const ZSTD_LEVEL: i32 = 1;

/// How bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// RFC 1950, which HTTP calls deflate.
    Deflate,
}

impl Coding {
    /// Its name in headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
        }
    }

    fn find(name: &str) -> Option<Self> {
        [(Self::Gzip, "gzip"), (Self::Gzip, "x-gzip"), (Self::Zstd, "zstd"), (Self::Deflate, "deflate")]
            .into_iter()
            .find_map(|(coding, known)| name.eq_ignore_ascii_case(known).then_some(coding))
    }

    /// How a request's body is packed; 415 if in any other way than one of these.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut sent = headers.get_all(header::CONTENT_ENCODING).iter();
        let (Some(first), None) = (sent.next(), sent.next()) else {
            return if headers.contains_key(header::CONTENT_ENCODING) { Err(unknown()) } else { Ok(None) };
        };
        match first.to_str().unwrap_or_default().trim() {
            "" | "identity" => Ok(None),
            name => Self::find(name).map(Some).ok_or_else(unknown),
        }
    }

    /// Whether an answer that is packed by gzip already may be sent so.
    pub fn takes_gzip(headers: &HeaderMap) -> bool {
        let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok());
        lists
            .flat_map(|list| list.split(','))
            .map(quality)
            .any(|(name, quality)| quality > 0.0 && (name == "*" || Self::find(name) == Some(Self::Gzip)))
    }

    /// Of what a client likes equally, the one of the greatest is taken.
    fn rank(self) -> u8 {
        match self {
            Self::Deflate => 0,
            Self::Gzip => 1,
            Self::Zstd => 2,
        }
    }

    /// The one that an answer may have, by `Accept-Encoding`; of equals Zstandard, then gzip.
    pub fn wanted(headers: &HeaderMap) -> Option<Self> {
        let mut best: Option<(f32, Self)> = None;
        for list in headers.get_all(header::ACCEPT_ENCODING) {
            for entry in list.to_str().unwrap_or_default().split(',') {
                let (name, quality) = quality(entry);
                let Some(coding) = Self::find(name).filter(|_| quality > 0.0) else { continue };
                let better = best
                    .is_none_or(|(than, other)| quality > than || (quality == than && coding.rank() > other.rank()));
                if better {
                    best = Some((quality, coding));
                }
            }
        }
        best.map(|(_, coding)| coding)
    }
}

/// A name with its weight (RFC 9110 section 12.4.2): `gzip;q=0.5`. Without one, or with one that is none, it is 1.
pub fn quality(entry: &str) -> (&str, f32) {
    let mut parts = entry.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let given = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let quality = given.and_then(|q| q.trim().parse().ok()).filter(|q| (0.0..=1.0).contains(q)).unwrap_or(1.0);
    (name, quality)
}

fn unknown() -> Problem {
    let detail = "a body may be packed by 'Content-Encoding: gzip', 'zstd' or 'deflate', once, or not at all";
    super::body::unsupported(detail.to_owned())
}

/// A body unpacked, of at most `limit` bytes; 413 if it has more. Not on an async thread: a small body may become a large one.
pub async fn unpacked(body: Bytes, coding: Coding, limit: usize) -> Result<Bytes, Problem> {
    let unpacking = tokio::task::spawn_blocking(move || unpack(&body, coding, limit));
    unpacking.await.unwrap_or_else(|_| Err(ServiceError::internal().into()))
}

fn unpack(body: &[u8], coding: Coding, limit: usize) -> Result<Bytes, Problem> {
    let whole = decode(body, coding, |reader| {
        let mut whole = Vec::new();
        reader.take(limit as u64 + 1).read_to_end(&mut whole)?;
        if whole.len() > limit { Err(ErrorKind::FileTooLarge.into()) } else { Ok(whole) }
    });
    whole.map(Bytes::from).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => {
            let detail = format!("the body is over the limit of {limit} bytes when it is unpacked");
            Problem::new(ErrorCode::TooLarge, detail)
        }
        _ => Problem::new(ErrorCode::BadRequest, error.to_string()),
    })
}

/// Hands a reader of what is packed in `source` to `read`, which takes all of it. Errors are those of `read` that are
/// `FileTooLarge` or `TimedOut`, and else `InvalidData` with a sentence for the caller.
pub fn decode<T>(
    mut source: impl BufRead,
    coding: Coding,
    read: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> io::Result<T> {
    let broken = |error: io::Error| match error.kind() {
        ErrorKind::FileTooLarge | ErrorKind::TimedOut => error,
        _ => io::Error::new(ErrorKind::InvalidData, format!("the body is no {}, or is cut off", coding.name())),
    };
    match coding {
        Coding::Deflate => {
            let whole = read(&mut ZlibDecoder::new(&mut source)).map_err(broken)?;
            // It ends by itself, whatever follows.
            if !source.fill_buf().map_err(broken)?.is_empty() {
                let detail = "the body goes on after its deflate has ended";
                return Err(io::Error::new(ErrorKind::InvalidData, detail));
            }
            Ok(whole)
        }
        Coding::Gzip => read(&mut MultiGzDecoder::new(source)).map_err(broken),
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(source).map_err(broken)?;
            decoder.window_log_max(WINDOW_LOG).map_err(broken)?;
            read(&mut decoder).map_err(broken)
        }
    }
}

/// An answer, packed: its bytes, and what `Content-Encoding` says of them.
pub async fn packed(body: Bytes, coding: Coding) -> (Bytes, Option<HeaderValue>) {
    let whole = body.clone();
    match tokio::task::spawn_blocking(move || pack(&whole, coding)).await {
        Ok(Ok(packed)) => (packed.into(), Some(HeaderValue::from_static(coding.name()))),
        // As it is, then.
        _ => (body, None),
    }
}

fn pack(body: &[u8], coding: Coding) -> std::io::Result<Vec<u8>> {
    match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
            encoder.write_all(body)?;
            encoder.finish()
        }
        Coding::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL),
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
            encoder.write_all(body)?;
            encoder.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use http::StatusCode;

    use super::*;

    const ALL: [Coding; 3] = [Coding::Gzip, Coding::Zstd, Coding::Deflate];

    fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn bodies_say_how_they_are_packed() {
        let of = |values: &[&str]| Coding::of(&headers(header::CONTENT_ENCODING, values));
        for (values, coding) in [
            (&[][..], None),
            (&["identity"], None),
            (&["gzip"], Some(Coding::Gzip)),
            (&["X-GZIP"], Some(Coding::Gzip)),
            (&[" zstd "], Some(Coding::Zstd)),
            (&["deflate"], Some(Coding::Deflate)),
        ] {
            assert_eq!(of(values).unwrap(), coding, "{values:?}");
        }
        for values in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"], &["gzipx"]] {
            assert_eq!(of(values).unwrap_err().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{values:?}");
        }
    }

    #[test]
    fn answers_are_packed_as_is_liked_best() {
        let wanted = |values: &[&str]| Coding::wanted(&headers(header::ACCEPT_ENCODING, values));
        for (values, coding) in [
            (&[][..], None),
            (&["identity, br"], None),
            (&["gzip, deflate, br, zstd"], Some(Coding::Zstd)),
            (&["zstd;q=0.5, gzip"], Some(Coding::Gzip)),
            (&["deflate, gzip"], Some(Coding::Gzip)),
            (&["deflate"], Some(Coding::Deflate)),
            (&["gzip;q=0", "zstd;q=0.0"], None),
            (&["zstd;q=x, gzip;q=0.9"], Some(Coding::Zstd)),
            (&["*"], None),
        ] {
            assert_eq!(wanted(values), coding, "{values:?}");
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        for coding in ALL {
            let bomb = pack(&vec![b' '; 64 << 20], coding).unwrap();
            assert!(bomb.len() < 500_000, "{}", bomb.len());
            let refused = unpack(&bomb, coding, 1 << 20).unwrap_err();
            assert_eq!(refused.code, ErrorCode::TooLarge, "{}", refused.detail);
            assert_eq!(unpack(&bomb, coding, 64 << 20).unwrap().len(), 64 << 20);
        }
        // A frame that wants to look back 2 GiB.
        let mut greedy = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3];
        greedy.extend([1, 0, 0]);
        assert_eq!(unpack(&greedy, Coding::Zstd, 1 << 20).unwrap_err().code, ErrorCode::BadRequest);
    }

    #[test]
    fn what_is_cut_off_or_followed_by_something_is_refused() {
        for coding in ALL {
            let whole = pack(b"{\"rows\":[[1,2,3]]}", coding).unwrap();
            for end in 1..whole.len() {
                let refused = unpack(&whole[..end], coding, 1 << 20).unwrap_err();
                assert_eq!(refused.code, ErrorCode::BadRequest, "{coding:?} cut at {end}");
            }
            let longer = [&whole[..], b"x"].concat();
            assert!(unpack(&longer, coding, 1 << 20).is_err(), "{coding:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(body in proptest::collection::vec(any::<u8>(), 1..5000)) {
            for coding in ALL {
                prop_assert_eq!(&unpack(&pack(&body, coding).unwrap(), coding, 5000).unwrap()[..], &body[..]);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for coding in ALL {
                let _ = unpack(&body, coding, 1000);
            }
        }
    }
}
