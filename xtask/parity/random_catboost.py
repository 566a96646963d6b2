"""Random models of CatBoost as JSON. Categories stand in the rows as CatBoost's own hashes of their texts."""

import json
import pathlib

import catboost
import drawing
import make_catboost
import numpy as np
import pandas as pd
from catboost import CatBoostClassifier, CatBoostRegressor
from reference import Cases, odd_rows

target, version = drawing.place()
assert catboost.__version__ == version
new = tuple(int(part) for part in version.split(".")) >= (1, 2)
cases = Cases(target)
HASHES = json.loads((pathlib.Path(make_catboost.__file__).parent / "catboost" / "1.2.10" / "hashes.json").read_text())
TEXTS = sorted(text for text in HASHES if text.startswith("y")) + make_catboost.TEXTS
LOSSES = (
    "Logloss", "Logloss", "CrossEntropy", "MultiClass", "MultiClass", "MultiClassOneVsAll", "MultiLogloss", "RMSE", "RMSE", "MAE",
    "Quantile", "LogLinQuantile", "Poisson", "Tweedie", "RMSEWithUncertainty", "MultiRMSE", "Huber", "Expectile", "LogCosh",
    *(["MultiQuantile"] * new),
)
PARAMETERS = {"Quantile": ":alpha=0.3", "Tweedie": ":variance_power=1.4", "MultiQuantile": ":alpha=0.1,0.5,0.9", "Huber": ":delta=1.1",
              "Expectile": ":alpha=0.3"}
CLASSIFIES = ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll", "MultiLogloss")


def labels(draw, loss, level):
    """And the classes."""
    if loss == "Logloss":
        y = draw.classes(level, 2)
        return (np.array(["no", "yes"])[y], ["no", "yes"]) if draw.chance(0.4) else (y, [0, 1])
    if loss == "CrossEntropy":
        return 1 / (1 + np.exp(-level)), [0, 1]
    if loss in ("MultiClass", "MultiClassOneVsAll"):
        y = draw.classes(level, draw.whole(3, 8)) * draw.pick(1, 10) - draw.pick(0, 3)
        return y, sorted(set(y.tolist()))
    if loss == "MultiLogloss":
        return np.stack([draw.classes(draw.rng.permutation(level), 2) for _ in range(draw.whole(2, 4))], axis=1), [0, 1]
    if loss == "MultiRMSE":
        return np.stack([level, draw.rng.permutation(level) * 100], axis=1), []
    if loss in ("Poisson", "Tweedie", "LogLinQuantile"):
        return np.abs(np.round(level * 4)) + (loss == "LogLinQuantile"), []
    return level * draw.pick(1.0, 1000.0), []


def one(draw, number):
    X, level, sizes = draw.table(rows=(60, 500))
    sizes = {column: min(size, 60) for column, size in sizes.items()}
    loss = draw.pick(*LOSSES)
    y, classes = labels(draw, loss, level)
    traits = ["missing values"] * bool(np.isnan(X).any()) + ["categories"] * bool(sizes)
    policy = draw.pick("SymmetricTree", "SymmetricTree", "Depthwise", "Lossguide")
    settings = dict(
        loss_function=loss + PARAMETERS.get(loss, ""), iterations=draw.pick(1, 5, 30), depth=draw.whole(1, 8), grow_policy=policy,
        border_count=draw.pick(8, 32, 254), learning_rate=draw.pick(0.03, 0.3, 1.0), nan_mode=draw.pick("Min", "Max"),
        random_seed=draw.seed(), thread_count=1, verbose=0, allow_writing_files=False, one_hot_max_size=255,
        l2_leaf_reg=draw.pick(1.0, 3.0, 10.0),
    )
    if policy != "SymmetricTree":
        traits.append("trees that are not oblivious")
    if policy == "Lossguide":
        settings["max_leaves"] = draw.whole(2, 30)
    with np.errstate(over="ignore"):
        X = X.astype(np.float32) if draw.chance(0.4) else X
    texts, data = {}, X
    if sizes:
        texts = {column: draw.rng.choice(TEXTS, min(size, len(TEXTS)), replace=False).tolist() for column, size in sizes.items()}
        data = spoken(draw, X, texts)
        settings["cat_features"] = list(data.columns[list(sizes)])
    model = (CatBoostClassifier if loss in CLASSIFIES else CatBoostRegressor)(**settings).fit(data, y)
    if loss == "RMSE" and draw.chance(0.2):
        model.set_scale_and_bias(0.37, 1.1)
    file = f"m{number:03}.json"
    model.save_model(str(target / file), format="json")
    document = json.loads((target / file).read_text())
    if document.get("ctr_data") or "ctrs" in document["features_info"]:
        raise drawing.Unfit("CTRs")
    splits = [
        (feature["flat_feature_index"], float(np.float32(border)))
        for feature in document["features_info"].get("float_features", [])
        for border in feature["borders"] or []
    ]
    plain = X.copy()
    plain[:, list(sizes)] = 0.0
    rows = odd_rows(plain, splits, number, some=40, thresholds=20, categories=tuple(sizes))
    given = rows
    if sizes:
        every = {column: [*known, *make_catboost.UNSEEN] for column, known in texts.items()}
        given = spoken(draw, rows, every, rows_in=True)
        rows = rows.astype(np.float64)
        for column in sizes:
            rows[:, column] = [HASHES[text] for text in given.iloc[:, column]]
    margins = model.predict(given, prediction_type="RawFormulaVal")
    found, names = None, [str(column) for column in data.columns] if sizes and version != "1.0.6" else []
    if loss in CLASSIFIES:
        values = model.predict_proba(given)
        predicted = np.asarray(model.predict(given)).reshape(len(rows), -1).tolist()
        found = [[[str(of) for of in classes].index(str(label)) for label in row] for row in predicted]
        if loss == "MultiLogloss":
            values = np.stack([1 - values, values], axis=2).reshape(len(values), -1)
    else:
        values = model.predict(given)
    outputs = y.shape[1] if loss == "MultiLogloss" else 1
    known = f"tags/v{version}" in document["model_info"].get("catboost_version_info", "")
    cases.add(file, rows, values, margins=margins, labels=found, classes=[[str(of) for of in classes]] * outputs if classes else [],
              source=f"CatBoost {version if known else 'unknown'} {loss}", trees=model.tree_count_, names=names, traits=traits)


def spoken(draw, X, texts, rows_in=False):
    """A frame with texts in the columns of categories: at random, or by the number that stands there."""
    frame = pd.DataFrame({f"f{column}": X[:, column] for column in range(X.shape[1])})
    for column, known in texts.items():
        numbers = draw.rng.integers(len(known), size=len(X)) if rows_in else np.nan_to_num(X[:, column]).astype(int) % len(known)
        frame[f"f{column}"] = pd.Series([known[number] for number in numbers], dtype=object)
    return frame


drawing.run(one, unfit=(catboost.CatBoostError,))
cases.finish()
