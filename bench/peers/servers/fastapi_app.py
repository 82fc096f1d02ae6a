"""FastAPI under uvicorn, with TensorFlow or onnxruntime. Each request is computed alone, or queued and batched.

BATCH=queue   rows wait while the model runs, and form a batch when it is free
RUN=inline    the model runs in the event loop, after all requests that have arrived were read
RUN=thread    the model runs in a thread
WAIT_MS       how long a batch that is not full waits for more rows
BODY=pydantic the request is a declared model, as in FastAPI's guide; BODY=orjson parses it by hand
"""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import engine
import numpy as np
import orjson
import uvicorn
from engine import MAX_BATCH, option
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

WAIT_S = float(option("WAIT_MS", "0")) / 1e3


class Queue:
    """Rows that wait for the model. With RUN=thread the model runs in a thread; all else runs in the event loop."""

    def __init__(self, predict: engine.Predict) -> None:
        self._predict = predict
        self._waiting: list[tuple[list[int], asyncio.Future[float]]] = []
        self._busy = False  # the model runs, or a flush is scheduled
        self._thread = ThreadPoolExecutor(1) if option("RUN", "inline") == "thread" else None

    def ask(self, row: list[int]) -> asyncio.Future[float]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.append((row, future))
        if not self._busy:
            self._busy = True
            if WAIT_S:
                loop.call_later(WAIT_S, self._flush)
            else:
                loop.call_soon(self._flush)
        return future

    def _flush(self) -> None:
        batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        rows = np.array([row for row, _ in batch], np.int32)
        futures = [future for _, future in batch]
        if self._thread is None:
            self._answer(futures, self._predict(rows))
            return
        run = asyncio.get_running_loop().run_in_executor(self._thread, self._predict, rows)
        run.add_done_callback(lambda done: self._answer(futures, done.result()))

    def _answer(self, futures: list[asyncio.Future[float]], probabilities: np.ndarray) -> None:
        for future, probability in zip(futures, probabilities.tolist(), strict=True):
            if not future.done():  # the caller may have disconnected
                future.set_result(probability)
        self._busy = bool(self._waiting)
        if self._busy:
            asyncio.get_running_loop().call_soon(self._flush)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.predict = engine.load()
    app.state.queue = Queue(app.state.predict)
    yield


app = FastAPI(lifespan=lifespan)


async def probability(row: list[int]) -> float:
    if option("BATCH", "queue") == "queue":
        return await app.state.queue.ask(row)
    return float(app.state.predict(np.array([row], np.int32))[0])


if option("BODY", "orjson") == "pydantic":

    class Question(BaseModel):
        instances: list[list[int]]

    class Answer(BaseModel):
        predictions: list[float]

    @app.post(engine.PATH)
    async def declared(question: Question) -> Answer:
        return Answer(predictions=[await probability(question.instances[0])])

else:

    @app.post(engine.PATH)
    async def by_hand(request: Request) -> Response:
        row = orjson.loads(await request.body())["instances"][0]
        answer = orjson.dumps({"predictions": [await probability(row)]})
        return Response(answer, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(
        "fastapi_app:app",
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        workers=int(option("WORKERS", "1")),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )
