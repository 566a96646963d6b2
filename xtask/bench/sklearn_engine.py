"""scikit-learn's own predict_proba. `sklearn_engine.py MODEL_FOLDER THREADS`"""

import joblib
import sklearn

from harness import serve


def open_engine(folder, about, threads):
    if about["library"] != "sklearn":
        raise SystemExit(f"scikit-learn reads no model of {about['library']}")
    model = joblib.load(folder / about["file"])
    model.set_params(n_jobs=threads)
    sklearn.set_config(assume_finite=True)
    return model.predict_proba


serve(open_engine)
