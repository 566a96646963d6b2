//! Who can predict, what is to be made for it first, and which program measures it.

use std::fmt;

use super::model::{Library, Model};

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

    /// Whether this is a model of a library that it is made for. What it then can not run is told.
    pub(super) fn knows(self, model: &Model) -> bool {
        match self {
            Self::Arborgate | Self::Onnxruntime | Self::Onedal => true,
            Self::Tl2cgen => model.library != Library::Catboost,
            Self::Xgboost => model.library == Library::Xgboost,
            Self::Lightgbm | Self::LightgbmSingleRow | Self::Lleaves => model.library == Library::Lightgbm,
            Self::Sklearn => model.library == Library::Sklearn,
            Self::Catboost => model.library == Library::Catboost,
        }
    }

    pub(super) fn takes(self, threads: usize) -> bool {
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

    pub(super) fn program(self) -> Program {
        match self {
            Self::Arborgate => Program::Ours,
            Self::Xgboost => Program::Wheel("xgboost", "xgboost/lib", "libxgboost.so"),
            Self::Lightgbm => Program::Wheel("lightgbm", "lightgbm/lib", "lib_lightgbm.so"),
            Self::LightgbmSingleRow => Program::Wheel("lightgbm_single_row", "lightgbm/lib", "lib_lightgbm.so"),
            Self::Onnxruntime => Program::Wheel("onnxruntime", "onnxruntime/capi", "libonnxruntime.so."),
            Self::Tl2cgen => Program::Made("tl2cgen", "tl2cgen.so"),
            Self::Lleaves => Program::Made("lleaves", "lleaves.so"),
            Self::Sklearn => Program::Python("sklearn_engine.py"),
            Self::Catboost => Program::Python("catboost_engine.py"),
            Self::Onedal => Program::Python("onedal_engine.py"),
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
