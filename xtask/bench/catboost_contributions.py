"""CatBoost's ShapValues of Pools. `catboost_contributions.py MODEL_FOLDER THREADS`"""

import catboost

from harness import serve


def open_engine(folder, about, threads):
    model = catboost.CatBoost()
    model.load_model(str(folder / "model.cbm"))
    return lambda pool: model.get_feature_importance(pool, type="ShapValues", thread_count=threads)


serve(open_engine, catboost.Pool, most_batches=2048, expected="contributions.npy")
