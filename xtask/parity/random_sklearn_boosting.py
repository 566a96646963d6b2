"""Random boosting, isolation forests and pipelines of scikit-learn.

`sklearn_vectors`: numpy computes exp, log and pow by its own vectors, a unit in the last place or so from the C library's and
other on another processor. Probabilities are held within 4 units; where a logarithm or a difference follows, as near as that unit
lets them be.
"""

import pathlib
import sys

if pathlib.Path(sys.argv[1]).parts[-2] == "sklearn_vectors":
    import numpy  # noqa: F401  before the next, which keeps numpy from its vectors unless it is there already

import make_sklearn_boosting as shared
import drawing
import numpy as np
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OrdinalEncoder, StandardScaler

target, version = drawing.place()
vectors = target.parts[-2] == "sklearn_vectors"
assert sklearn.__version__ == version
minor = int(version.split(".")[1])
shared.FULL = (version,)
maker = shared.Maker(target)
FORESTS = (RandomForestClassifier, RandomForestRegressor)


def bounds(source, classes):
    """How near numpy's own exp, log and pow leave what is computed by them."""
    if "IsolationForest" in source:
        # an offset is taken from the score; before 1.3 the lengths of paths were worked out for each row
        return dict(bound={"absolute": 1e-15}, margins_bound="bits" if minor >= 3 else {"absolute": 1e-12})
    if " GradientBoosting" in source and classes and minor < 5:
        # margins start from logarithms of the classes' shares, and a unit of a margin is several of a probability
        return dict(bound={"absolute": 4e-15}, margins_bound={"absolute": 4e-15})
    if " GradientBoosting" in source and classes:
        return dict(bound={"ulp": 4}, margins_bound={"absolute": 4e-15})
    return dict(bound={"ulp": 4}) if "Boosting" in source else {}


def estimator(draw, sizes):
    """And whether it classifies."""
    kind = draw.pick("gb", "hgb", "hgb", "gb", "if", "rf")
    rate, seed = draw.pick(0.1, 0.05, 1.0, 0.3), draw.seed()
    classifies = draw.chance(0.5)
    if kind == "gb":
        settings = dict(
            n_estimators=draw.whole(1, 15), max_depth=draw.pick(1, 2, 3, 6, None), learning_rate=rate, random_state=seed,
            subsample=draw.pick(1.0, 0.6), max_leaf_nodes=draw.pick(None, 5), max_features=draw.pick(None, 1),
            init=draw.pick(None, None, "zero"),
        )
        if classifies:
            return GradientBoostingClassifier(loss=draw.pick("log_loss", "log_loss", "exponential"), **settings), True
        loss = draw.pick("squared_error", "absolute_error", "huber", "quantile")
        return GradientBoostingRegressor(loss=loss, **settings), False
    if kind == "hgb":
        settings = dict(
            max_iter=draw.whole(1, 15), learning_rate=rate, max_leaf_nodes=draw.pick(3, 8, 31), random_state=seed,
            min_samples_leaf=draw.pick(1, 5, 20), l2_regularization=draw.pick(0.0, 1.0), early_stopping=draw.chance(0.3),
            max_bins=draw.pick(255, 60),
        )
        if sizes and max(sizes.values()) < 60 and draw.chance(0.7):
            settings["categorical_features"] = list(sizes)
        if classifies:
            return HistGradientBoostingClassifier(**settings), True
        loss = draw.pick("squared_error", "absolute_error", "poisson", "quantile", *(["gamma"] if minor >= 3 else []))
        return HistGradientBoostingRegressor(loss=loss, **({"quantile": 0.3} if loss == "quantile" else {}), **settings), False
    if kind == "if":
        settings = dict(
            n_estimators=draw.whole(1, 15), contamination=draw.pick("auto", 0.13), random_state=seed,
            max_samples=draw.pick("auto", 10, 0.5), max_features=draw.pick(1.0, 0.5), bootstrap=draw.chance(0.5),
        )
        return IsolationForest(**settings), False
    return FORESTS[not classifies](n_estimators=draw.whole(1, 8), max_depth=draw.pick(3, 6), random_state=seed), classifies


def steps(draw, width, sizes, holes):
    """What stands before the model."""
    def impute():
        return SimpleImputer(strategy=draw.pick("mean", "median", "most_frequent", "constant"))

    def scale():
        if draw.chance(0.5):
            return StandardScaler(with_mean=draw.chance(0.7), with_std=draw.chance(0.7))
        return MinMaxScaler(draw.pick((0, 1), (-3, 0.7)), clip=draw.chance(0.5))

    style = draw.pick("none", "none", "scale", "impute", "both", "columns", "columns")
    if style in ("scale", "impute", "both"):
        return {"scale": [scale()], "impute": [impute()], "both": [impute(), scale(), scale()]}[style]
    if style == "none":
        return []
    parts = []
    plain = [column for column in range(width) if column not in sizes]
    if plain:
        alone = draw.pick(scale(), "passthrough", "drop" if sizes else "passthrough")
        parts.append(("numbers", make_pipeline(impute(), scale()) if draw.chance(0.6) else alone, plain))
    if sizes:
        unknown = {} if draw.chance(0.5) else dict(handle_unknown="use_encoded_value", unknown_value=draw.pick(-1, -7))
        encoder = OrdinalEncoder(dtype=np.float64 if holes else draw.pick(np.float64, np.int64), **unknown)
        if draw.chance(0.5):
            encoder = make_pipeline(SimpleImputer(strategy="most_frequent"), encoder)
        parts.append(("categories", encoder, list(sizes)))
    if draw.chance(0.3):
        parts.reverse()
    if draw.chance(0.3):
        parts.append(("again", impute(), [0]))
    before = [ColumnTransformer(parts, remainder=draw.pick("drop", "passthrough"))]
    return before + ([scale()] if draw.chance(0.4) else [])


def one(draw, number):
    X, level, sizes = draw.table(rows=(60, 400))
    model, classifies = estimator(draw, sizes)
    name = type(model).__name__
    holes = bool(np.isnan(X).any())
    own = getattr(model, "categorical_features", None) not in (None, "warn", "from_dtype")
    before = [] if own else steps(draw, X.shape[1], sizes, holes)
    takes_holes = name.startswith("Hist") or (name == "IsolationForest" and minor >= 6)
    if holes and not takes_holes and not any(isinstance(step, SimpleImputer) for step in before):
        before = [SimpleImputer(), *before]
    traits = ["missing values"] * holes + ["a pipeline"] * bool(before) + ["categories"] * own
    whole = make_pipeline(*before, model) if before else model
    y = draw.classes(level, draw.pick(2, 2, 3, 4, 9, 12)) if classifies else np.abs(level) + 0.1
    given = X
    if draw.chance(0.35):
        with np.errstate(over="ignore"):
            given = X.astype(np.float32)
    fitted = given if draw.chance(0.5) else X
    whole.fit(fitted) if name == "IsolationForest" else whole.fit(fitted, y)
    shared.SAVES = shared.SAVES[1:] + shared.SAVES[:1]
    maker.saves = 0
    add = maker.cases.add

    def held(file, rows, values, **facts):
        extra = bounds(facts["source"], facts.get("classes")) if vectors else {}
        add(file, rows, values, **facts, **extra, traits=traits)

    maker.cases.add = held
    try:
        maker.write(f"m{number:03}_{name}", whole, given, categories=tuple(sizes), some=30, thresholds=12, seed=number)
    finally:
        maker.cases.add = add


drawing.run(one, unfit=(ValueError, IndexError))
maker.cases.finish()
