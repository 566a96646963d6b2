"""CatBoost's own evaluator, given what it evaluates: Pools. `catboost_engine.py MODEL_FOLDER THREADS`"""

import catboost

from harness import serve


def open_engine(folder, about, threads):
    if about["library"] != "catboost":
        raise SystemExit(f"CatBoost reads no model of {about['library']}")
    model = catboost.CatBoost()
    model.load_model(str(folder / "model.cbm"))
    return lambda pool: model.predict(pool, prediction_type="RawFormulaVal", thread_count=threads)


serve(open_engine, catboost.Pool, most_batches=2048)
