"""Trains the models of `cargo xtask bench kernels` from fixed seeds and writes, for each, a folder with

    model.{pkl,json,txt}    as its own library saves it, and as Arborgate reads it
    rows.npy                65,536 rows that it was not trained on, f32 or f64 as the library takes them
    expected.npy            what the library predicts for them: probabilities or values, f64
    about.json              what the bench and its engines have to know of it

    models.py FOLDER [NAME ...]
"""

import json
import sys
from pathlib import Path

import numpy as np

ROWS = 65536


def iris(folder):
    from sklearn.datasets import load_iris

    return forest(folder, load_iris(), 100, 0.25)


def cancer(folder):
    from sklearn.datasets import load_breast_cancer

    return forest(folder, load_breast_cancer(), 300, 0.1)


def forest(folder, data, trees, spread):
    """Rows are those of the data set, each number moved by some of its column's deviation."""
    import joblib
    from sklearn.ensemble import RandomForestClassifier

    random = np.random.default_rng(1)
    model = RandomForestClassifier(n_estimators=trees, random_state=0, n_jobs=2).fit(data.data, data.target)
    model.set_params(n_jobs=None)
    joblib.dump(model, folder / "model.pkl")
    near = data.data[random.integers(len(data.data), size=ROWS)]
    rows = near + random.normal(size=near.shape) * data.data.std(axis=0) * spread
    splits = sum(int((tree.tree_.children_left >= 0).sum()) for tree in model.estimators_)
    return rows, model.predict_proba(rows), {"library": "sklearn", "file": "model.pkl", "splits": splits}


def made_up(random, count, columns):
    """Numbers of several kinds, and a score that asks for interactions of many of them."""
    rows = random.normal(size=(count, columns))
    rows[:, 1::4] = np.exp(rows[:, 1::4])
    rows[:, 2::4] = np.round(rows[:, 2::4] * 20) / 4
    rows[:, 3::8] = np.abs(rows[:, 3::8]) * 100
    fixed = np.random.default_rng(7)
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    score = scaled @ fixed.normal(size=columns)
    for _ in range(3 * columns):
        one, other = fixed.integers(columns, size=2)
        score += fixed.normal() * np.where(scaled[:, one] > fixed.normal(), np.sin(2 * scaled[:, other]), 0.5)
    return rows, score / score.std()


def xgb(folder):
    import xgboost

    random = np.random.default_rng(2)
    rows, score = made_up(random, 50_000 + ROWS, 32)
    rows = rows.astype(np.float32)
    rows[random.random(rows.shape) < 0.05] = np.nan
    target = (score + random.normal(size=len(score)) * 0.5 > 0).astype(int)
    settings = {"objective": "binary:logistic", "max_depth": 8, "eta": 0.1, "seed": 0, "nthread": 2}
    return xgboost_model(folder, xgboost, settings, 500, rows, target)


def multi(folder):
    import xgboost

    random = np.random.default_rng(3)
    rows, score = made_up(random, 50_000 + ROWS, 32)
    rows = rows.astype(np.float32)
    noisy = score + random.normal(size=len(score)) * 0.2
    target = np.searchsorted(np.quantile(noisy, np.linspace(0.1, 0.9, 9)), noisy)
    settings = {"objective": "multi:softprob", "num_class": 10, "max_depth": 6, "seed": 0, "nthread": 2}
    return xgboost_model(folder, xgboost, settings, 100, rows, target)


def xgboost_model(folder, xgboost, settings, rounds, rows, target):
    train = xgboost.DMatrix(rows[:-ROWS], label=target[:-ROWS])
    booster = xgboost.train(settings, train, rounds)
    booster.save_model(folder / "model.json")
    rows = rows[-ROWS:]
    splits = sum(tree.count('"split"') for tree in booster.get_dump(dump_format="json"))
    return rows, booster.inplace_predict(rows), {"library": "xgboost", "file": "model.json", "splits": splits}


def lgbm(folder):
    import lightgbm

    random = np.random.default_rng(4)
    rows, score = made_up(random, 50_000 + ROWS, 24)
    sizes = [3, 5, 8, 12, 20, 40, 80, 150]
    categories = np.stack([random.integers(size, size=len(rows)) for size in sizes], axis=1)
    for column, size in enumerate(sizes):
        score = score + random.normal(size=size)[categories[:, column]] * 0.4
    rows = np.hstack([rows, categories.astype(float)])
    target = (score + random.normal(size=len(score)) * 0.5 > 0).astype(int)
    settings = {
        "objective": "binary", "num_leaves": 63, "learning_rate": 0.05, "seed": 0, "deterministic": True,
        "force_row_wise": True, "num_threads": 2, "verbose": -1,
    }
    train = lightgbm.Dataset(rows[:-ROWS], target[:-ROWS], categorical_feature=list(range(24, 32)))
    booster = lightgbm.train(settings, train, 1000)
    booster.save_model(folder / "model.txt")
    rows = rows[-ROWS:]
    splits = sum(tree["num_leaves"] - 1 for tree in booster.dump_model()["tree_info"])
    loaded = lightgbm.Booster(model_file=folder / "model.txt")
    return rows, loaded.predict(rows), {"library": "lightgbm", "file": "model.txt", "splits": splits}


def catboost(folder):
    import catboost

    random = np.random.default_rng(5)
    rows, score = made_up(random, 50_000 + ROWS, 32)
    rows = rows.astype(np.float32)
    model = catboost.CatBoostRegressor(
        iterations=500, depth=6, random_seed=0, thread_count=2, verbose=False, allow_writing_files=False
    )
    model.fit(rows[:-ROWS], score[:-ROWS])
    model.save_model(str(folder / "model.json"), format="json")
    model.save_model(str(folder / "model.cbm"))
    splits = sum(len(tree["splits"]) for tree in json.loads((folder / "model.json").read_text())["oblivious_trees"])
    rows = rows[-ROWS:]
    return rows, model.predict(rows), {"library": "catboost", "file": "model.json", "splits": splits}


ALL = {"iris": iris, "cancer": cancer, "xgb": xgb, "multi": multi, "lgbm": lgbm, "catboost": catboost}


def main():
    folder, names = Path(sys.argv[1]), sys.argv[2:] or list(ALL)
    for name in names:
        own = folder / name
        if (own / "about.json").exists():
            continue
        print(f"training {name}", file=sys.stderr, flush=True)
        own.mkdir(parents=True, exist_ok=True)
        rows, expected, about = ALL[name](own)
        expected = np.asarray(expected, dtype=np.float64).reshape(ROWS, -1)
        np.save(own / "rows.npy", np.ascontiguousarray(rows))
        np.save(own / "expected.npy", expected)
        about |= {"name": name, "rows": ROWS, "columns": rows.shape[1], "width": expected.shape[1]}
        about |= {"input": {"float32": "f32", "float64": "f64"}[rows.dtype.name]}
        # last: a folder with it is whole
        (own / "about.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main()
