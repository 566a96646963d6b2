"""Random models of ONNX: what converters make of other libraries' models, and graphs that no converter wrote."""

import drawing
import make_onnx
import numpy as np
from reference import Cases

target, version = drawing.place()
import onnxruntime  # noqa: E402

assert onnxruntime.__version__ == version
import lightgbm  # noqa: E402
import xgboost  # noqa: E402
from onnxmltools import convert_lightgbm, convert_xgboost  # noqa: E402
from onnxmltools.convert.common.data_types import FloatTensorType  # noqa: E402
from skl2onnx import to_onnx  # noqa: E402
from sklearn import ensemble, tree  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import MinMaxScaler, StandardScaler  # noqa: E402

cases = Cases(target)
KINDS = ("RandomForest", "ExtraTrees", "GradientBoosting", "DecisionTree", "ExtraTree")


def converted(draw):
    """A converted model, its data, and what it is."""
    library = draw.pick("scikit-learn", "scikit-learn", "XGBoost", "LightGBM")
    X, level, _ = draw.table(rows=(60, 400), categories=0, holes=0 if library == "scikit-learn" else 0.6)
    X = X.astype(np.float32)
    classifies = draw.chance(0.5)
    y = draw.classes(level, draw.pick(2, 2, 3, 5)) if classifies else level
    word = "Classifier" if classifies else "Regressor"
    rounds, depth = draw.pick(1, 5, 30), draw.whole(1, 6)
    types = [("input", FloatTensorType([None, X.shape[1]]))]
    if library == "XGBoost":
        model = getattr(xgboost, f"XGB{word}")(n_estimators=rounds, max_depth=depth, n_jobs=1, learning_rate=draw.pick(0.1, 1.0))
        return convert_xgboost(model.fit(X, y), initial_types=types), X, library
    if library == "LightGBM":
        model = getattr(lightgbm, f"LGBM{word}")(n_estimators=rounds, max_depth=depth, verbose=-1, n_jobs=1)
        return convert_lightgbm(model.fit(X, y), initial_types=types), X, library
    kind = draw.pick(*KINDS)
    module = tree if kind in ("DecisionTree", "ExtraTree") else ensemble
    settings = {} if module is tree else dict(n_estimators=rounds)
    model = getattr(module, kind + word)(max_depth=depth, random_state=draw.seed(), **settings)
    if draw.chance(0.3):
        model = make_pipeline(draw.pick(StandardScaler(), MinMaxScaler()), model)
    options = {"zipmap": False} if classifies and draw.chance(0.5) else None
    return to_onnx(model.fit(X, y), X[:1], options=options), X, library


def one(draw, number):
    if draw.chance(0.5):
        name, model, X = make_onnx.handmade(draw.rng, version)
        made_by = "written by hand"
    else:
        model, X, made_by = converted(draw)
        made_by = f"converted from {made_by}"
    # what the runtime sums in parts differs with the batch: then it is held as near as is promised, not to the bit
    add = cases.add
    cases.add = lambda *args, **facts: add(*args, **facts, traits=[made_by])
    try:
        make_onnx.add(cases, f"m{number:03}", model, X, number, steady=False, some=40, thresholds=20)
    finally:
        cases.add = add


drawing.run(one, unfit=(RuntimeError, ValueError, onnxruntime.capi.onnxruntime_pybind11_state.Fail))
cases.finish()
