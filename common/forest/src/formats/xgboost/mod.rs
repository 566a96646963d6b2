//! XGBoost's models: JSON and UBJSON, and the pickles of its Python classes, which carry one of these. `json` and
//! `ubjson` pull values out of bytes behind `document`; `learner`, `booster`, `tree` and `categories` hold what stands
//! in the file; `version`, `objective` and `model` know what it means. Another booster (gblinear) and the old binary
//! format are refused by name.

mod booster;
mod categories;
mod document;
mod json;
mod learner;
mod model;
mod objective;
mod pickled;
mod tree;
mod ubjson;
mod version;

use json::Json;
use learner::File;
use model::Outside;
pub(crate) use pickled::pickled;
use ubjson::Ubjson;

use crate::error::Error;
use crate::limits::Options;
use crate::model::Model;

/// # Errors
/// [`Error::Content`], [`Error::Limit`], [`Error::Trailing`].
pub(crate) fn json(bytes: &[u8], options: &Options) -> Result<Model, Error> {
    model::model(file_of_json(bytes, options)?, Outside::default(), options)
}

/// # Errors
/// [`Error::Content`], [`Error::Limit`], [`Error::Trailing`].
pub(crate) fn ubjson(bytes: &[u8], options: &Options) -> Result<Model, Error> {
    model::model(file_of_ubjson(bytes, options)?, Outside::default(), options)
}

fn file_of_json(bytes: &[u8], options: &Options) -> Result<File, Error> {
    let mut document = Json::new(bytes);
    let file = File::read(&mut document, &options.limits).map_err(placed)?;
    document.end()?;
    Ok(file)
}

fn file_of_ubjson(bytes: &[u8], options: &Options) -> Result<File, Error> {
    let mut document = Ubjson::new(bytes);
    let file = File::read(&mut document, &options.limits).map_err(placed)?;
    document.end()?;
    Ok(file)
}

/// A fault of the outermost value.
fn placed(error: Error) -> Error {
    match error {
        Error::Content { path, offset, message } if path.is_empty() => Error::content("the model", offset, message),
        other => other,
    }
}
