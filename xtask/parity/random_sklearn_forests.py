"""Random forests and trees of scikit-learn."""

import drawing
import make_sklearn_boosting as shared
import numpy as np
import sklearn
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

target, version = drawing.place()
assert sklearn.__version__ == version
minor = int(version.split(".")[1])
shared.FULL = (version,)
maker = shared.Maker(target)
CLASSIFIERS = (RandomForestClassifier, ExtraTreesClassifier, DecisionTreeClassifier, ExtraTreeClassifier)
REGRESSORS = (RandomForestRegressor, ExtraTreesRegressor, DecisionTreeRegressor, ExtraTreeRegressor)


def words(draw, numbers):
    """The same classes by other names."""
    kind = draw.whole(0, 5)
    if kind == 0:
        return np.array([f"class {k} é" for k in range(20)])[numbers]
    if kind == 1:
        return np.array([f"of {k}" for k in range(20)], dtype=object)[numbers]
    if kind == 2:
        return numbers * 1.5 - 2
    if kind == 3:
        return (numbers * 7 - 4).astype(draw.pick(np.int8, np.int32, np.int64))
    if kind == 4 and numbers.max() < 2:
        return numbers == 1
    return numbers


def one(draw, number):
    kind = draw.pick(*CLASSIFIERS, *REGRESSORS)
    classifies = kind in CLASSIFIERS
    X, level, sizes = draw.table(categories=0.2, holes=0.4)
    traits = []
    # these take values beyond neither f32 nor, most of them, holes
    takes_holes = minor >= 6 or (minor >= 4 and kind in (RandomForestClassifier, RandomForestRegressor)) or (
        minor >= 3 and kind in (DecisionTreeClassifier, DecisionTreeRegressor))
    settings = dict(
        max_depth=draw.pick(None, 2, 4, 8), min_samples_leaf=draw.pick(1, 1, 5), max_features=draw.pick(1.0, 0.5, "sqrt"),
        random_state=draw.seed(), ccp_alpha=draw.pick(0.0, 0.0, 0.001), max_leaf_nodes=draw.pick(None, None, 3, 20),
    )
    if "Trees" in kind.__name__ or "Forest" in kind.__name__:
        settings |= dict(n_estimators=draw.whole(1, 25), bootstrap=draw.chance(0.5))
    else:
        settings["splitter"] = draw.pick("best", "random")
        takes_holes = takes_holes and (minor >= 6 or settings["splitter"] == "best")
    if classifies:
        settings["criterion"] = draw.pick("gini", "entropy", "log_loss")
    else:
        settings["criterion"] = draw.pick("squared_error", "absolute_error", "poisson", "friedman_mse")
        takes_holes = takes_holes and settings["criterion"] != "absolute_error"
    if not takes_holes:
        X = np.nan_to_num(X)
    if np.isnan(X).any():
        traits.append("missing values")
    outputs = draw.pick(1, 1, 1, 2, 3)
    if outputs > 1:
        traits.append("several outputs")
    if classifies:
        y = [words(draw, draw.classes(level * draw.pick(1, -1), draw.whole(2, 9))) for _ in range(outputs)]
        if outputs > 1:
            y = [draw.classes(level * draw.pick(1, -1), draw.whole(2, 5)) for _ in range(outputs)]
        if draw.chance(0.3):
            settings["class_weight"] = "balanced"
    else:
        y = [np.abs(level) * draw.pick(1, 1000, 1e-5) if settings["criterion"] == "poisson" else level * draw.pick(1, -3e4)
             for _ in range(outputs)]
    y = y[0] if outputs == 1 else np.stack(y, axis=1)
    weights = draw.rng.random(len(X)) if draw.chance(0.3) else None
    if weights is not None or "class_weight" in settings:
        traits.append("weights")
    model = kind(**settings).fit(X, y, sample_weight=weights)
    shared.SAVES = shared.SAVES[1:] + shared.SAVES[:1]
    maker.saves = 0
    add, maker.cases.add = maker.cases.add, lambda *args, **facts: add(*args, **facts, traits=traits)
    try:
        maker.write(f"m{number:03}", model, X, categories=tuple(sizes), some=30, thresholds=12, seed=number)
    finally:
        maker.cases.add = add


drawing.run(one, unfit=(ValueError,))
maker.cases.finish()
