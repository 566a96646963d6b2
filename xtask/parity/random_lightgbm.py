"""Random models of LightGBM, as text and as pickles."""

import pickle

import drawing
import joblib
import lightgbm as lgb
import numpy as np
from reference import Cases, odd_rows

target, version = drawing.place()
assert lgb.__version__ == version
major = int(version.split(".")[0])
text = "v3" if major < 4 else "v4"
cases = Cases(target)
OBJECTIVES = (
    "binary", "binary", "multiclass", "multiclassova", "cross_entropy", "cross_entropy_lambda", "poisson", "gamma", "tweedie",
    "huber", "fair", "quantile", "mape", "regression", "regression", "regression_l1", "lambdarank", "rank_xendcg",
)


def splits(booster):
    found = []

    def walk(node):
        if "split_feature" in node:
            if node["decision_type"] == "<=":
                found.append((node["split_feature"], float(node["threshold"])))
            walk(node["left_child"])
            walk(node["right_child"])

    for tree in booster.dump_model()["tree_info"]:
        walk(tree["tree_structure"])
    return found


def settings_of(draw, traits):
    settings = dict(
        num_leaves=draw.pick(2, 4, 15, 63, 127), min_child_samples=draw.pick(1, 5, 20), learning_rate=draw.pick(0.05, 0.3, 1.0),
        max_bin=draw.pick(15, 255, 1000), use_missing=draw.chance(0.8), max_cat_threshold=draw.pick(4, 32, 500),
        min_data_per_group=draw.pick(1, 100), cat_smooth=draw.pick(0.1, 10.0), max_cat_to_onehot=draw.pick(1, 4, 20),
        reg_lambda=draw.pick(0.0, 1.0), colsample_bytree=draw.pick(0.5, 1.0),
        boosting_type=draw.pick("gbdt", "gbdt", "dart", "rf"), verbosity=-1, random_state=draw.seed(),
    )
    if major >= 3 and draw.chance(0.2):
        settings["extra_trees"] = True
    if settings["boosting_type"] != "gbdt":
        traits.append(settings["boosting_type"])
    if settings["boosting_type"] == "rf":
        settings |= dict(subsample_freq=1, subsample=0.6)
    if major >= 3 and settings["boosting_type"] != "rf" and draw.chance(0.25):
        settings["linear_tree"] = True
        traits.append("linear leaves")
    elif draw.chance(0.25):
        settings["zero_as_missing"] = True
        traits.append("zeros that are missing")
    return settings


def labels(draw, objective, level, settings):
    if objective == "binary":
        settings["sigmoid"] = draw.pick(1.0, 0.3, 1.7, 0.123456789)
        return draw.classes(level, 2)
    if objective.startswith("multiclass"):
        y = draw.classes(level, draw.whole(3, 6))
        settings |= dict(num_class=int(y.max()) + 1, sigmoid=draw.pick(1.0, 0.77))
        return y
    if objective.startswith("cross"):
        return 1 / (1 + np.exp(-level))
    if objective in ("poisson", "gamma", "tweedie"):
        return np.abs(level) + 0.01
    if "rank" in objective:
        return draw.classes(level, 3)
    if objective.startswith("regression") and draw.chance(0.3):
        settings["reg_sqrt"] = True
    return level


def one(draw, number):
    X, level, sizes = draw.table(rows=(100, 800))
    categories, traits, objective = list(sizes), [], draw.pick(*OBJECTIVES)
    if objective == "rank_xendcg" and major < 3:
        raise drawing.Unfit("no such objective")
    if objective == "cross_entropy_lambda" and major < 4:
        # its formula changed without a word in the file
        raise drawing.Unfit("another formula")
    settings = settings_of(draw, traits)
    if draw.chance(0.4):
        X[draw.rng.random(X.shape) < 0.3] = 0.0
    traits += ["categories"] * bool(sizes) + ["missing values"] * bool(np.isnan(X).any())
    y = labels(draw, objective, level, settings)
    settings |= dict(objective=objective)
    wrapped = {"binary": lgb.LGBMClassifier, "multiclass": lgb.LGBMClassifier, "regression": lgb.LGBMRegressor,
               "poisson": lgb.LGBMRegressor}.get(objective)
    given = X
    if wrapped and draw.chance(0.4):
        settings.pop("num_class", None)
        model = wrapped(n_estimators=draw.pick(1, 5, 30), n_jobs=1, **settings)
        model.fit(X, y, categorical_feature=categories or "auto")
        booster, traits = model.booster_, [*traits, "a pickle of the wrapper"]
        file = f"m{number:03}.{draw.pick('pickle', 'joblib')}"
        if file.endswith("pickle"):
            (target / file).write_bytes(pickle.dumps(model, draw.whole(0, 5)))
        else:
            joblib.dump(model, target / file, compress=draw.pick(0, 3))
        loaded = joblib.load(target / file)
        kind, predictor = type(model).__name__, loaded
    else:
        group = dict(group=[25] * (len(X) // 25) + [len(X) % 25] * bool(len(X) % 25)) if "rank" in objective else {}
        data = lgb.Dataset(X, y, categorical_feature=categories or "auto", **group)
        booster = lgb.train({**settings, "num_threads": 1}, data, draw.pick(1, 5, 30))
        file, kind = f"m{number:03}.txt", objective
        booster.save_model(str(target / file))
        loaded = predictor = booster = lgb.Booster(model_file=str(target / file))
    rows = odd_rows(X, splits(booster), number, categories=categories, some=40, thresholds=20)
    if draw.chance(0.3):
        with np.errstate(over="ignore"):
            rows = rows.astype(np.float32)
    margins, found, classes = predictor.predict(rows, raw_score=True), None, []
    if kind == "LGBMClassifier":
        values, classes = loaded.predict_proba(rows), [loaded.classes_.tolist()]
        found = [classes[0].index(label) for label in loaded.predict(rows).tolist()]
    else:
        values = predictor.predict(rows)
        if kind == "binary":
            values = np.vstack((1.0 - values, values)).transpose()
        if kind in ("binary", "multiclass", "multiclassova"):
            found, classes = np.argmax(values, axis=1), [list(range(values.shape[1]))]
    cases.add(file, rows, values, margins=margins, labels=found, classes=[[str(label) for label in of] for of in classes],
              source=f"LightGBM {text} {kind}", trees=booster.num_trees(), names=booster.feature_name(), traits=traits)


drawing.run(one, unfit=(lgb.basic.LightGBMError,))
cases.finish()
