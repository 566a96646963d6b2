"""oneDAL's contributions, by daal4py's model builders. `onedal_contributions.py MODEL_FOLDER THREADS`"""

import daal4py

from harness import serve
from onedal_engine import booster


def open_engine(folder, about, threads):
    daal4py.daalinit(nthreads=threads)
    model = daal4py.mb.convert_model(booster(folder, about))
    return lambda batch: model.predict(batch, pred_contribs=True)


serve(open_engine, expected="contributions.npy")
