"""One thread that owns a device, and computes in batches what many threads ask for."""

import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, Queue, SimpleQueue
from threading import Thread, current_thread
from time import monotonic

import numpy as np

Wait = Callable[[], np.ndarray]
"""Waits for the results of a batch, a row for each image."""

Launch = Callable[[Sequence[np.ndarray]], Wait]
"""Starts to compute a batch, given in parts `(n, …)` of equal shape but for their length."""

BATCHES_AHEAD = 3
"""How many batches are launched at most before the results of the first are fetched."""


@dataclass(frozen=True)
class _Request:
    images: np.ndarray
    results: Future[np.ndarray] = field(default_factory=Future)


class Batcher:
    """Computes images `(N, …)` of many threads in batches of up to `batch_images`.

    Once the first images are there, up to `wait_seconds` pass until a batch that is not full is
    launched. While it is computed, the next one is gathered.
    """

    def __init__(self, launch: Launch, batch_images: int, wait_seconds: float = 0.002) -> None:
        """Start the thread that calls `launch`, and one that fetches the results.

        They end with the last reference to this object, and before the program does: what `launch`
        holds on the device is then given back.
        """
        self._batch_images = batch_images
        self._requests: SimpleQueue[_Request | None] = SimpleQueue()
        launched: Queue[tuple[list[_Request], Wait] | None] = Queue(BATCHES_AHEAD - 2)
        work = (self._requests, launch, batch_images, wait_seconds, launched)
        threads = (
            Thread(target=_launch_batches, args=work, name="device", daemon=True),
            Thread(target=_fetch_results, args=(launched,), name="results", daemon=True),
        )
        for thread in threads:
            thread.start()
        weakref.finalize(self, _end, self._requests, threads)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return a row of results for each image; any thread may call it.

        Raises what computing them raised. Images of another shape than those of other threads, and
        so their errors, are in batches of their own.
        """
        places = range(self._batch_images, len(images), self._batch_images)
        requests = [_Request(part) for part in np.split(images, places)]
        for request in requests:
            self._requests.put(request)
        return np.concatenate([request.results.result() for request in requests])


def _end(requests: SimpleQueue[_Request | None], threads: Sequence[Thread]) -> None:
    requests.put(None)
    for thread in threads:
        if thread is not current_thread():  # which may be collecting garbage
            thread.join()


def _launch_batches(
    requests: SimpleQueue[_Request | None],
    launch: Launch,
    batch_images: int,
    wait_seconds: float,
    launched: Queue[tuple[list[_Request], Wait] | None],
) -> None:
    """Launch what is requested, until `None` comes."""
    following: _Request | None = None
    while first := following or requests.get():
        batch, following = _gathered(first, requests, batch_images, wait_seconds)
        try:
            launched.put((batch, launch([request.images for request in batch])))
        except Exception as error:  # whatever it is, it belongs to those who wait for results
            for request in batch:
                request.results.set_exception(error)
    launched.put(None)


def _gathered(
    first: _Request,
    requests: SimpleQueue[_Request | None],
    batch_images: int,
    wait_seconds: float,
) -> tuple[list[_Request], _Request | None]:
    """Return the requests of a batch, and the one that came after them but does not fit in."""
    batch, room, deadline = [first], batch_images - len(first.images), monotonic() + wait_seconds
    while room > 0:
        try:
            request = requests.get(timeout=max(0.0, deadline - monotonic()))
        except Empty:
            break
        if request is None:
            requests.put(None)  # the end, for the loop that calls this
            break
        if len(request.images) > room or request.images.shape[1:] != first.images.shape[1:]:
            return batch, request
        batch.append(request)
        room -= len(request.images)
    return batch, None


def _fetch_results(launched: Queue[tuple[list[_Request], Wait] | None]) -> None:
    """Hand out the results of batches in the order in which they were launched."""
    while following := launched.get():
        batch, wait = following
        try:
            results = wait()
        except Exception as error:  # as above
            for request in batch:
                request.results.set_exception(error)
            continue
        start = 0
        for request in batch:
            request.results.set_result(results[start : start + len(request.images)])
            start += len(request.images)
