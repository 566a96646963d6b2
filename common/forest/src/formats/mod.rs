//! From a file to a [`Model`]: what the bytes are, and a reader for each format. A further format is a further folder here
//! that ends in a [`Model`]; nothing behind that knows formats.

mod catboost;
mod compression;
mod detect;
mod lightgbm;
mod native;
mod onnx;
mod pickle;
mod sklearn;
mod xgboost;

use std::borrow::Cow;

use crate::error::Error;
use crate::limits::Options;
use crate::model::Model;
pub use catboost::catboost_category;
use pickle::known::Known;

impl Model {
    /// Reads a file, whatever it is: see the crate's own page for what it may be.
    ///
    /// # Errors
    /// [`Error`]: what the file is or has that is not read here, where, and what would work instead.
    pub fn read(bytes: &[u8], options: &Options) -> Result<Self, Error> {
        let limits = &options.limits;
        // a header's length may begin as a compressed stream does
        let plain = if native::is_own(bytes) { Cow::Borrowed(bytes) } else { compression::decompress(bytes, limits)? };
        if native::is_own(&plain) {
            return native::model(&plain, limits);
        }
        if lightgbm::is_text(&plain) {
            return lightgbm::from_text(&plain, options);
        }
        if detect::is_catboost(&plain) {
            return catboost::model(&plain, limits);
        }
        if onnx::is_model(&plain) {
            return onnx::model(&plain, limits);
        }
        if detect::is_xgboost_json(&plain) {
            return xgboost::json(&plain, options);
        }
        if detect::is_xgboost_ubjson(&plain) {
            return xgboost::ubjson(&plain, options);
        }
        detect::refuse_others(&plain)?;
        let pickle = pickle::read(&plain, limits)?;
        match pickle.class() {
            Some(Known::LightGbm(class)) => lightgbm::from_pickle(&pickle, class, options),
            Some(Known::Xgboost(class)) => xgboost::pickled(&pickle, class, options),
            _ => sklearn::model(&pickle, limits),
        }
    }
}
