"""oneDAL by daal4py's model builders; its C++ interface has no stable names to call. `onedal_engine.py MODEL_FOLDER THREADS`"""

import daal4py

from harness import serve


def booster(folder, about):
    file = str(folder / about["file"])
    match about["library"]:
        case "xgboost":
            import xgboost

            return xgboost.Booster(model_file=file)
        case "lightgbm":
            import lightgbm

            return lightgbm.Booster(model_file=file)
        case "catboost":
            import catboost

            model = catboost.CatBoost()
            model.load_model(str(folder / "model.cbm"))
            return model
        case "sklearn":
            import joblib
            import treelite

            return treelite.sklearn.import_model(joblib.load(file))


def open_engine(folder, about, threads):
    daal4py.daalinit(nthreads=threads)
    model = daal4py.mb.convert_model(booster(folder, about))
    if about["library"] == "sklearn":
        # it takes a forest of two classes for a regressor of the second one's probability
        return both_classes(model.predict)
    return model.predict_proba if model.is_classifier_ else model.predict


def both_classes(predict):
    import numpy as np

    def proba(batch):
        second = predict(batch)
        return np.stack([1 - second, second], axis=1)

    return proba


if __name__ == "__main__":
    serve(open_engine)
