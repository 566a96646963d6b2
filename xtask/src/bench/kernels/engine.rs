//! Who can predict, what is to be made for it first, and which program measures it.

use std::fmt;

use super::model::{Library, Model};

/// What is asked of engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Part {
    Predictions,
    Contributions,
}

impl Part {
    /// Rows a call, unless others are asked for.
    pub(super) fn rows(self) -> &'static [usize] {
        match self {
            Self::Predictions => &[1, 8, 64, 512, 4_096, 65_536],
            Self::Contributions => &[1, 64, 512, 4_096],
        }
    }

    /// The file beside a model of what its library says.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Predictions => "expected.npy",
            Self::Contributions => "contributions.npy",
        }
    }
}

/// Whoever predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Engine {
    Arborgate,
    Xgboost,
    Lightgbm,
    LightgbmSingleRow,
    Sklearn,
    Catboost,
    Onnxruntime,
    Tl2cgen,
    Onedal,
    Lleaves,
}

/// What measures an engine.
#[derive(Debug, Clone, Copy)]
pub(super) enum Program {
    /// Our own example.
    Ours,
    /// Our C program, with this engine's name there and the shared object that it loads: of a wheel (folder and start of
    /// its name) or made of the model.
    Wheel(&'static str, &'static str, &'static str),
    Made(&'static str, &'static str),
    /// A script.
    Python(&'static str),
}

impl Engine {
    pub(super) const ALL: [Self; 10] = [
        Self::Arborgate,
        Self::Xgboost,
        Self::Lightgbm,
        Self::LightgbmSingleRow,
        Self::Sklearn,
        Self::Catboost,
        Self::Onnxruntime,
        Self::Tl2cgen,
        Self::Onedal,
        Self::Lleaves,
    ];

    /// Whether it is made for models of this library, and for this. What it then can not run is told.
    pub(super) fn knows(self, model: &Model, part: Part) -> bool {
        let contributes = !matches!(self, Self::Onnxruntime | Self::Tl2cgen | Self::Lleaves | Self::LightgbmSingleRow);
        let boosted = self != Self::Onedal || model.library != Library::Sklearn;
        if part == Part::Contributions && !(contributes && boosted) {
            return false;
        }
        match self {
            Self::Arborgate | Self::Onnxruntime | Self::Onedal => true,
            Self::Tl2cgen => model.library != Library::Catboost,
            Self::Xgboost => model.library == Library::Xgboost,
            Self::Lightgbm | Self::LightgbmSingleRow | Self::Lleaves => model.library == Library::Lightgbm,
            Self::Sklearn => model.library == Library::Sklearn,
            Self::Catboost => model.library == Library::Catboost,
        }
    }

    pub(super) fn takes(self, threads: usize, part: Part) -> bool {
        if part == Part::Contributions {
            return threads == 1;
        }
        self != Self::LightgbmSingleRow || threads == 1
    }

    pub(super) fn measures(self, size: usize) -> bool {
        self != Self::LightgbmSingleRow || size == 1
    }

    /// The list of packages that it needs beside the libraries themselves.
    pub(super) fn packages(self) -> Option<&'static str> {
        match self {
            Self::Onnxruntime => Some("onnx"),
            Self::Tl2cgen => Some("tl2cgen"),
            Self::Onedal => Some("onedal"),
            Self::Lleaves => Some("lleaves"),
            _ => None,
        }
    }

    /// The script that makes something of a model for it, and what.
    pub(super) fn made(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Onnxruntime => Some(("onnx_make.py", "model.onnx")),
            Self::Tl2cgen => Some(("tl2cgen_make.py", "tl2cgen.so")),
            Self::Lleaves => Some(("lleaves_make.py", "lleaves.so")),
            _ => None,
        }
    }

    pub(super) fn program(self, part: Part) -> Program {
        let predicts = part == Part::Predictions;
        let either = |one, other| if predicts { one } else { other };
        match self {
            Self::Arborgate => Program::Ours,
            Self::Xgboost => Program::Wheel(either("xgboost", "xgboost_contributions"), "xgboost/lib", "libxgboost.so"),
            Self::Lightgbm => {
                Program::Wheel(either("lightgbm", "lightgbm_contributions"), "lightgbm/lib", "lib_lightgbm.so")
            }
            Self::LightgbmSingleRow => Program::Wheel("lightgbm_single_row", "lightgbm/lib", "lib_lightgbm.so"),
            Self::Onnxruntime => Program::Wheel("onnxruntime", "onnxruntime/capi", "libonnxruntime.so."),
            Self::Tl2cgen => Program::Made("tl2cgen", "tl2cgen.so"),
            Self::Lleaves => Program::Made("lleaves", "lleaves.so"),
            Self::Sklearn => Program::Python(either("sklearn_engine.py", "shap_contributions.py")),
            Self::Catboost => Program::Python(either("catboost_engine.py", "catboost_contributions.py")),
            Self::Onedal => Program::Python(either("onedal_engine.py", "onedal_contributions.py")),
        }
    }

    /// Its name in a table.
    pub(super) fn shown(self, part: Part) -> String {
        match (self, part) {
            (Self::Sklearn, Part::Contributions) => "shap.TreeExplainer".to_owned(),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arborgate => "Arborgate",
            Self::Xgboost => "XGBoost (C)",
            Self::Lightgbm => "LightGBM (C)",
            Self::LightgbmSingleRow => "LightGBM SingleRowFast (C)",
            Self::Sklearn => "scikit-learn",
            Self::Catboost => "CatBoost",
            Self::Onnxruntime => "onnxruntime (C)",
            Self::Tl2cgen => "tl2cgen (C)",
            Self::Onedal => "oneDAL",
            Self::Lleaves => "lleaves (C)",
        })
    }
}
