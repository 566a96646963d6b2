//! Why a file is not a model that can be read here.

use std::io;

/// What the file is or has that is refused, where, and what would work instead. Text from the file stands in it escaped
/// and cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing that is known.
    #[error("not a model file that is known here; expected {EXPECTED}")]
    Unknown,

    /// A format that is known and not read.
    #[error("this looks like {format}; this version reads {EXPECTED}{}", hint(.advice))]
    Format {
        /// What it looks like.
        format: &'static str,
        /// What would work instead; may be empty.
        advice: &'static str,
    },

    /// A compressed stream that is damaged, or that is followed by something.
    #[error("the {format} stream is damaged or cut off, after {decompressed} bytes were decompressed")]
    Compression {
        /// Such as `xz`.
        format: &'static str,
        /// How far it went.
        decompressed: usize,
        /// From the decompressor.
        #[source]
        source: io::Error,
    },

    /// Bytes after the end.
    #[error("{count} bytes follow the end of the {of}, at byte {offset}; save the model alone in its file")]
    Trailing {
        /// Of what.
        of: &'static str,
        /// Where they begin.
        offset: usize,
        /// How many.
        count: usize,
    },

    /// A bound of [`crate::Limits`].
    #[error("{what}: more than the limit of {limit}")]
    Limit {
        /// Of what there is too much.
        what: &'static str,
        /// The bound.
        limit: usize,
    },

    /// The file would take far more memory than it has bytes.
    #[error("the pickle builds more than its size justifies, at byte {offset}: refused as an attack on memory")]
    Amplification {
        /// In the decompressed file.
        offset: usize,
    },

    /// A class or function that this reader does not know by heart.
    #[error("refuses the global `{name}` at byte {offset}: this reader runs nothing and builds only classes it knows{}", hint(.advice))]
    Global {
        /// `module.name`.
        name: String,
        /// In the decompressed file.
        offset: usize,
        /// What would work instead; may be empty.
        advice: &'static str,
    },

    /// The bytes are not a pickle as Python writes them.
    #[error("the pickle is malformed at byte {offset}: {message}")]
    Pickle {
        /// In the decompressed file.
        offset: usize,
        /// What is wrong.
        message: String,
    },

    /// A file that is well formed and does not say what the library's own would.
    #[error("{path}{}: {message}", at(.offset))]
    Content {
        /// Such as `estimators_[3].tree_.nodes`.
        path: String,
        /// Of it, in the decompressed file.
        offset: Option<usize>,
        /// What is wrong and what would be right.
        message: String,
    },

    /// A tree that is none.
    #[error("node {node} {message}")]
    Tree {
        /// Which.
        node: u32,
        /// What is wrong.
        message: String,
    },

    /// Parts of a model that do not fit each other.
    #[error("the model does not fit together: {message}")]
    Model {
        /// What is wrong.
        message: String,
    },
}

const EXPECTED: &str = "scikit-learn, LightGBM and XGBoost models saved by joblib or pickle (plain, zlib, gzip, bz2, xz, lzma or \
                        lz4), LightGBM text, XGBoost JSON and UBJSON, CatBoost JSON, ONNX, and what this version wrote \
                        itself";

fn hint(advice: &str) -> String {
    if advice.is_empty() { String::new() } else { format!("; {advice}") }
}

fn at(offset: &Option<usize>) -> String {
    offset.map_or_else(String::new, |offset| format!(" (byte {offset})"))
}

impl Error {
    pub(crate) fn limit(what: &'static str, limit: usize) -> Self {
        Self::Limit { what, limit }
    }

    pub(crate) fn pickle(offset: usize, message: impl Into<String>) -> Self {
        Self::Pickle { offset, message: message.into() }
    }

    pub(crate) fn content(
        path: impl Into<String>,
        offset: impl Into<Option<usize>>,
        message: impl Into<String>,
    ) -> Self {
        Self::Content { path: path.into(), offset: offset.into(), message: message.into() }
    }

    pub(crate) fn tree(node: u32, message: impl Into<String>) -> Self {
        Self::Tree { node, message: message.into() }
    }

    pub(crate) fn model(message: impl Into<String>) -> Self {
        Self::Model { message: message.into() }
    }

    /// Says where in the file a fault of a tree or a model stands.
    pub(crate) fn within(self, place: &str) -> Self {
        match self {
            Self::Tree { node, message } => Self::content(format!("{place}, node {node}"), None, message),
            Self::Model { message } => Self::content(place, None, message),
            other => other,
        }
    }
}

/// Text from the file, fit for a message: escaped, and cut after 80 characters.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        quoted.push('…');
    }
    quoted
}
