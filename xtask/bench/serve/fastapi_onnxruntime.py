"""The best of Python that we know: `async def`, onnxruntime on one thread, a JWT checked by hand; TLS and two workers are
uvicorn's. MODEL names the model's file, JWT_KEY the key."""

import os

import jwt
import numpy
import onnxruntime
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options)
outputs = [output.name for output in session.get_outputs()]
KEY = os.environ["JWT_KEY"]
app = FastAPI()


class Row(BaseModel):
    sepal_length: float
    sepal_width: float
    petal_length: float
    petal_width: float


async def caller(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise HTTPException(401)
    try:
        return jwt.decode(token, KEY, algorithms=["HS256"])["sub"]
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error


@app.post("/predict")
async def predict(row: Row, _: str = Depends(caller)):
    values = [[row.sepal_length, row.sepal_width, row.petal_length, row.petal_width]]
    label, probabilities = session.run(outputs, {"x": numpy.asarray(values, dtype=numpy.float32)})
    return {"prediction": int(label[0]), "probabilities": [float(p) for p in probabilities[0]]}
