"""Writes contributions.npy beside a model of the bench: what its library (shap for scikit-learn) says that each feature
contributed to the first rows, for each margin one number a feature and the base.

    contributions.py MODEL_FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np

ROWS = 256


def explainer(folder, about):
    """shap's, with what it gives in the order of the others."""
    import joblib
    import shap

    values = shap.TreeExplainer(joblib.load(folder / about["file"]), feature_perturbation="tree_path_dependent")
    base = np.reshape(values.expected_value, (1, -1, 1))

    def explain(rows):
        found = np.asarray(values.shap_values(rows, check_additivity=False)).reshape(*rows.shape, -1).transpose(0, 2, 1)
        return np.concatenate([found, np.broadcast_to(base, (*found.shape[:2], 1))], axis=2)

    return explain


def contributions(folder, about, rows):
    file = folder / about["file"]
    match about["library"]:
        case "xgboost":
            import xgboost

            return xgboost.Booster(model_file=file).predict(xgboost.DMatrix(rows), pred_contribs=True)
        case "lightgbm":
            import lightgbm

            return lightgbm.Booster(model_file=file).predict(rows, pred_contrib=True)
        case "catboost":
            import catboost

            model = catboost.CatBoost()
            model.load_model(str(folder / "model.cbm"))
            return model.get_feature_importance(catboost.Pool(rows), type="ShapValues")
        case "sklearn":
            return explainer(folder, about)(rows)


def main():
    folder = Path(sys.argv[1])
    about = json.loads((folder / "about.json").read_text())
    found = contributions(folder, about, np.load(folder / "rows.npy")[:ROWS])
    unfinished = folder / "unfinished.npy"
    np.save(unfinished, np.ascontiguousarray(found, dtype=np.float64).reshape(ROWS, -1))
    unfinished.rename(folder / "contributions.npy")


if __name__ == "__main__":
    main()
