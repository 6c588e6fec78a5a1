"""A classifier behind FastAPI, as one writes it: `POST /v1/predict` with a photo as the body.

    uvicorn fastapi_peer:app --app-dir benchmarks/peers

onnx_classifier.py says what the environment has; POOL=1 computes in FastAPI's pool of threads.
"""

import os

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from onnx_classifier import Classifier

app = FastAPI()
classifier = Classifier()
pool = os.environ.get("POOL") == "1"


@app.post("/v1/predict")
async def predict(request: Request):
    data = await request.body()
    if pool:
        return {"predictions": [await run_in_threadpool(classifier.classify, data)]}
    return {"predictions": [classifier.classify(data)]}


@app.get("/readyz")
async def ready():
    return {"ready": True}
