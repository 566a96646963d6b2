"""Random models of XGBoost: boosters as JSON and UBJSON, and the wrapper's pickles."""

import json

import drawing
import numpy as np
import xgboost as xgb
from make_xgboost import Maker

target, version = drawing.place()
assert xgb.__version__ == version
xgb.set_config(verbosity=0) if hasattr(xgb, "set_config") else None
maker = Maker(target, version)
OBJECTIVES = [
    "reg:squarederror", "reg:squarederror", "reg:squarederror", "reg:logistic", "binary:logistic", "binary:logistic",
    "binary:logitraw", "binary:hinge", "multi:softprob", "multi:softmax", "count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "rank:pairwise",
    "reg:squaredlogerror",
]
OBJECTIVES += ["reg:pseudohubererror"] * maker.at_least(1, 3) + ["reg:absoluteerror"] * maker.at_least(1, 7)
OBJECTIVES += ["reg:quantileerror"] * maker.at_least(2, 0) + ["reg:expectileerror"] * maker.at_least(3, 3)


def settings_of(draw):
    settings = dict(
        max_depth=draw.whole(1, 8), learning_rate=draw.pick(0.05, 0.3, 1.0, 5.0), min_child_weight=draw.pick(0.0, 1.0, 5.0),
        subsample=draw.pick(0.6, 1.0), gamma=draw.pick(0.0, 0.0, 0.1, 1.0), tree_method=draw.pick("exact", "approx", "hist"),
    )
    if draw.chance(0.3):
        settings["num_parallel_tree"] = draw.whole(2, 3)
    if draw.chance(0.3):
        settings |= dict(grow_policy="lossguide", max_leaves=draw.whole(2, 40), tree_method="hist")
    return settings


def labels(draw, objective, level, settings):
    """What an objective is trained on; what it needs is added to `settings`."""
    if objective.startswith(("binary", "reg:logistic", "rank")):
        return draw.classes(level, 2).astype(float)
    if objective.startswith("multi"):
        settings["num_class"] = draw.whole(2, 8)
        return draw.rng.integers(0, settings["num_class"], len(level)).astype(float)
    if objective in ("count:poisson", "reg:gamma", "reg:tweedie", "reg:squaredlogerror"):
        return np.exp(np.clip(level, -3, 3))
    if objective == "survival:cox":
        return np.exp(np.clip(level, -3, 3)) * draw.rng.choice([-1, 1], len(level))
    for name in ("quantile", "expectile"):
        if objective == f"reg:{name}error":
            settings[f"{name}_alpha"] = sorted(draw.rng.random(draw.whole(1, 4)).tolist())
    return level


def trained(model):
    """The booster, unless training diverged: leaves that are no finite numbers are refused by name."""
    forest = json.loads(maker.document(model))["learner"]["gradient_booster"]
    for tree in forest.get("gbtree", forest)["model"]["trees"]:
        if not np.isfinite([float(number) for number in tree["split_conditions"]]).all():
            raise drawing.Unfit("training diverged")
    return model


def booster(draw, number):
    X, level, sizes = draw.table(rows=(50, 400), categories=0.3 if maker.at_least(2, 0) else 0)
    objective, traits = draw.pick(*OBJECTIVES), []
    settings = settings_of(draw) | dict(objective=objective, nthread=1, verbosity=0, seed=draw.seed())
    if draw.chance(0.25):
        settings |= dict(booster="dart", rate_drop=0.4, normalize_type=draw.pick("tree", "forest"))
        traits.append("dart")
    if draw.chance(0.3):
        settings["base_score"] = draw.pick(0.5, 0.1, 0.9, 0.3333)
        traits.append("a base score of one's own")
    if "num_parallel_tree" in settings:
        traits.append("several trees a round")
    y, matrix = labels(draw, objective, level, settings), {}
    if sizes:
        settings["tree_method"] = draw.pick("approx", "hist")
        settings["max_cat_to_onehot"] = draw.pick(1, 100)
        types = ["c" if column in sizes else "q" for column in range(X.shape[1])]
        matrix = dict(feature_types=types, enable_categorical=True)
        traits.append("categories")
    if maker.at_least(1, 6) and objective in ("reg:squarederror", "binary:logistic", "reg:logistic") and draw.chance(0.6):
        y = np.stack([y] + [draw.rng.permutation(y) for _ in range(draw.whole(1, 4))], axis=1)
        vectors = maker.at_least(2, 0) and settings.get("booster") != "dart" and draw.chance(0.7)
        if vectors:
            settings |= dict(multi_strategy="multi_output_tree", tree_method="hist", num_parallel_tree=1)
        traits.append("leaves of vectors" if vectors else "several outputs")
    if np.isnan(X).any():
        traits.append("missing values")
    if draw.chance(0.5):
        with np.errstate(over="ignore"):
            X = X.astype(np.float32)
    data = xgb.DMatrix(X, label=y, **matrix)
    if objective.startswith("rank"):
        data.set_group([len(X) // 2, len(X) - len(X) // 2])
    model = trained(xgb.train(settings, data, draw.whole(1, 25)))
    rows = maker.rows(model, X, some=40, thresholds=20, categories=tuple(sizes))
    file = f"m{number:03}.{'ubj' if maker.at_least(1, 6) and draw.chance(0.5) else 'json'}"
    maker.save_as(file, model)
    if objective.startswith("binary"):
        maker.add_pairs(file, rows, model, traits=traits)
    elif objective.startswith("multi"):
        likely = model.copy()
        likely.set_param({"objective": "multi:softprob"})
        values = maker.predict(likely, rows)
        predicted = np.argmax(values, axis=1) if objective == "multi:softprob" else maker.predict(model, rows)
        maker.add(file, rows, model, values, predicted, [list(range(settings["num_class"]))], traits=traits)
    else:
        maker.add(file, rows, model, maker.predict(model, rows), traits=traits)


def wrapped(draw, number):
    X, level, _ = draw.table(rows=(50, 400), categories=0)
    traits = ["a pickle of the wrapper"] + ["missing values"] * bool(np.isnan(X).any())
    settings = settings_of(draw) | dict(n_estimators=draw.whole(1, 25), n_jobs=1, random_state=draw.seed())
    file = f"m{number:03}.{draw.pick('p0.z', 'p2.z', 'p4.z', 'p5.z', 'joblib')}"
    if draw.chance(0.3):
        model = xgb.XGBRegressor(**settings).fit(X, level)
        rows = maker.rows(trained(model.get_booster()), X, some=40, thresholds=20)
        maker.save_as(file, model)
        maker.add(file, rows, model.get_booster(), model.predict(rows), prefix="XGBRegressor ", traits=traits)
        return
    y = draw.classes(level, draw.whole(2, 6))
    model = xgb.XGBClassifier(**settings).fit(X, y)
    rows = maker.rows(trained(model.get_booster()), X, some=40, thresholds=20)
    maker.save_as(file, model)
    classes = sorted(set(y.tolist()))
    maker.add(file, rows, model.get_booster(), model.predict_proba(rows), model.predict(rows), [classes],
              prefix="XGBClassifier ", traits=traits)


def one(draw, number):
    wrapped(draw, number) if maker.at_least(1, 6) and draw.chance(0.2) else booster(draw, number)


drawing.run(one, unfit=(xgb.core.XGBoostError, json.JSONDecodeError))
maker.cases.finish()
