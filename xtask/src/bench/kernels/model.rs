//! The models that are compared on, and what is wanted of each.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::engine::{Engine, Part};
use crate::error::{Error, Result};

pub(super) const NAMES: [&str; 6] = ["iris", "cancer", "xgb", "multi", "lgbm", "catboost"];

/// What `xtask/bench/models.py` says of a model that it trained.
#[derive(Debug, Deserialize)]
struct About {
    library: Library,
    file: String,
    splits: usize,
}

/// Who trained it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Library {
    Sklearn,
    Xgboost,
    Lightgbm,
    Catboost,
}

/// A trained model in its folder.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) library: Library,
    pub(super) file: PathBuf,
    pub(super) splits: usize,
}

impl Model {
    pub(super) fn read(name: &str, folder: &Path) -> Result<Self> {
        let path = folder.join("about.json");
        let text = std::fs::read(&path).map_err(Error::io(format!("can not read {}", path.display())))?;
        let wrong = |error| Error::Wrong(format!("{}: {error}", path.display()));
        let About { library, file, splits } = serde_json::from_slice(&text).map_err(wrong)?;
        Ok(Self { name: name.to_owned(), folder: folder.to_owned(), library, file: folder.join(file), splits })
    }

    pub(super) fn title(&self) -> &str {
        match self.name.as_str() {
            "iris" => "scikit-learn, random forest of 100 trees on iris",
            "cancer" => "scikit-learn, random forest of 300 trees on breast cancer",
            "xgb" => "XGBoost, 500 trees of depth 8, 32 features, 5 % missing",
            "multi" => "XGBoost, 10 classes × 100 rounds of depth 6, 32 features",
            "lgbm" => "LightGBM, 1000 trees of 63 leaves, 24 numbers and 8 categories",
            "catboost" => "CatBoost, 500 trees of depth 6, 32 features",
            other => other,
        }
    }

    /// How often the speed of whom targets are about is wanted in a call of so many rows, on one thread.
    pub(super) fn target(&self, part: Part, size: usize) -> Option<f64> {
        if part == Part::Contributions {
            return self.rival(part).map(|_| 3.0);
        }
        Some(match (self.name.as_str(), size) {
            ("catboost", _) => 2.0,
            ("iris", ..8) => 1.5,
            (_, ..8) => 4.0,
            (_, ..512) => 3.0,
            _ => 5.0,
        })
    }

    /// Whom the target is about, where it is not whoever is the fastest.
    pub(super) fn rival(&self, part: Part) -> Option<Engine> {
        match (part, self.library) {
            (Part::Predictions, Library::Catboost) => Some(Engine::Catboost),
            (Part::Contributions, Library::Xgboost) => Some(Engine::Xgboost),
            (Part::Contributions, Library::Lightgbm) => Some(Engine::Lightgbm),
            _ => None,
        }
    }

    /// How far a row's contributions may be from the library's, as a part of their sizes' sum: by the floats it has.
    pub(super) fn bound(&self) -> f64 {
        if self.library == Library::Xgboost { 1e-5 } else { 1e-9 }
    }
}
