"""Makes the files of this folder: for each of four libraries a model that was fitted to numbers and categories in a data
frame, and what the library itself predicts, by name, as an answer of the service has it.

    python3.11 -m venv VENV
    VENV/bin/pip install lightgbm==4.7.0 xgboost==3.2.0 catboost==1.2.10 onnx==1.23.2 skl2onnx==1.20.0 \
        onnxruntime==1.32.0 scikit-learn==1.9.1 pandas==3.1.1 numpy==2.4.6
    VENV/bin/python make.py

  NAME.txt, NAME.json, NAME.onnx   the model
  NAME.rows.json                   a list of {"row", "prediction", "probabilities"}; floats read back to the same bits
"""

import json
import pathlib

import catboost
import lightgbm
import numpy as np
import onnxruntime
import pandas as pd
import skl2onnx
import xgboost
from sklearn.ensemble import GradientBoostingClassifier

HERE = pathlib.Path(__file__).resolve().parent
CITIES = ["berlin", "new york", "paris", "rome", "zürich"]
SHOWN = 40


def table(seed, rows=400):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "age": np.round(rng.uniform(18, 90, rows), 1),
        "income": np.round(rng.lognormal(10, 1, rows), 2),
        "city": rng.choice(CITIES, rows),
        "plan": rng.choice([10, 20, 30], rows),
    })
    frame.loc[rng.random(rows) < 0.1, "age"] = np.nan
    score = frame["age"].fillna(40) / 20 + np.log(frame["income"]) + 2 * frame["city"].isin(["paris", "rome"])
    return frame, score + (frame["plan"] == 20) + rng.normal(size=rows) / 4


def categorical(frame):
    return frame.astype({"city": "category", "plan": "category"})


def plain(value):
    if isinstance(value, str):
        return value
    number = float(value)
    if np.isnan(number):
        return None
    return int(number) if isinstance(value, (int, np.integer)) else number


def write(name, frame, predictions, probabilities=None):
    rows = []
    for at, row in enumerate(frame.to_dict("records")):
        shown = {"row": {key: plain(value) for key, value in row.items()}, "prediction": plain(predictions[at])}
        if probabilities is not None:
            shown["probabilities"] = {str(c): float(p) for c, p in probabilities[at].items()}
        rows.append(shown)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (HERE / f"{name}.rows.json").write_text(f"[\n{lines}\n]\n")


def by_class(probabilities):
    return [dict(enumerate(row)) for row in probabilities]


def with_lightgbm():
    frame, score = table(1)
    model = lightgbm.LGBMClassifier(n_estimators=30, num_leaves=12, min_child_samples=5, verbose=-1, n_jobs=1, cat_smooth=1)
    model.fit(categorical(frame), pd.qcut(score, 3, labels=False))
    model.booster_.save_model(HERE / "lightgbm.txt")
    shown = frame.head(SHOWN).copy()
    shown.loc[shown.index[:3], "city"] = "oslo"
    # a category that it was not fitted with is missing to the library
    given = shown.assign(city=pd.Categorical(shown["city"], CITIES), plan=pd.Categorical(shown["plan"], [10, 20, 30]))
    probabilities = lightgbm.Booster(model_file=HERE / "lightgbm.txt").predict(given, num_threads=1)
    write("lightgbm", shown, probabilities.argmax(1), by_class(probabilities))


def with_xgboost():
    frame, score = table(2)
    # this version cuts names of other letters short
    frame["city"] = frame["city"].str.replace("ü", "u")
    model = xgboost.XGBClassifier(n_estimators=30, max_depth=4, enable_categorical=True, tree_method="hist", n_jobs=1)
    model.fit(categorical(frame), pd.qcut(score, 3, labels=False))
    model.save_model(HERE / "xgboost.json")
    shown = frame.head(SHOWN)
    given = categorical(frame).head(SHOWN)
    write("xgboost", shown, model.predict(given), by_class(model.predict_proba(given)))


def with_catboost():
    frame, score = table(3)
    frame = frame.astype({"plan": str})
    model = catboost.CatBoostRegressor(iterations=40, depth=4, one_hot_max_size=20, thread_count=1, verbose=False,
                                       cat_features=["city", "plan"], allow_writing_files=False)
    model.fit(frame, score)
    model.save_model(HERE / "catboost.json", format="json")
    shown = frame.head(SHOWN).copy()
    shown.loc[shown.index[:3], "city"] = "oslo"
    write("catboost", shown, model.predict(shown, thread_count=1))


def with_onnx():
    frame, score = table(4)
    rows = frame[["age", "income"]].fillna(40).astype("float32")
    model = GradientBoostingClassifier(n_estimators=20, random_state=0)
    model.fit(rows.to_numpy(), pd.qcut(score, 3, labels=["low", "mid", "high"]).astype(str))
    converted = skl2onnx.to_onnx(model, rows.to_numpy()[:1])
    (HERE / "onnx.onnx").write_bytes(converted.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(converted.SerializeToString(), options, providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(None, {session.get_inputs()[0].name: rows.head(SHOWN).to_numpy()})
    write("onnx", rows.head(SHOWN), [str(label) for label in labels], probabilities)


with_lightgbm()
with_xgboost()
with_catboost()
with_onnx()
