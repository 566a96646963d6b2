"""What a data scientist writes: FastAPI and XGBoost, under uvicorn. MODEL names the model's file."""

import os

import numpy
import xgboost
from fastapi import FastAPI
from pydantic import BaseModel

booster = xgboost.Booster()
booster.load_model(os.environ["MODEL"])
booster.set_param({"nthread": 1})
app = FastAPI()


class Rows(BaseModel):
    rows: list[list[float]]


@app.post("/predict")
def predict(body: Rows):
    probabilities = booster.inplace_predict(numpy.asarray(body.rows, dtype=numpy.float32))
    return {"probabilities": [float(p) for p in probabilities]}
