//! LightGBM's text model, versions 3 and 4 (`src/boosting/gbdt_model_text.cpp`, `Tree::ToString` in `src/io/tree.cpp`), alone
//! or within a pickle of its Python classes. Its JSON dump, its own binary data sets and older texts are not read.

mod features;
mod header;
mod lines;
mod number;
mod objective;
mod pickle;
mod tail;
mod text;
mod tree;

pub(crate) use pickle::model as from_pickle;

use crate::error::Error;
use crate::limits::Options;
use crate::model::Model;

const LIBRARY: &str = "LightGBM";

/// Whether it begins as every text model does.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    bytes.starts_with(b"tree\n") || bytes.starts_with(b"tree\r\n")
}

/// The model of a text. The rounds after the best one were cut off when it was saved, so all that are there predict.
///
/// # Errors
/// [`Error::Content`] and [`Error::Limit`]: what the text has that LightGBM's would not.
pub(crate) fn from_text(bytes: &[u8], options: &Options) -> Result<Model, Error> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Error::content("the text", error.valid_up_to(), "is no UTF-8; the file is damaged"))?;
    text::read(text, &options.limits)?.model(&text::Wrapper::Text, None)
}
