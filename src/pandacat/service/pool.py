"""The threads in which photos are predicted."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import partial

from PIL import Image

from pandacat.core.parallel import core_count
from pandacat.models.classifier import Classifier
from pandacat.models.engine import NoFeatureMapError, spread
from pandacat.service.answers import PhotoAnswer, photo_answer
from pandacat.service.body import Photo
from pandacat.service.limits import busy
from pandacat.service.traffic import Traffic


class Pool:
    """Predicts photos in threads that stay, as many as keep the classifier busy.

    `explains` is whether the classifier has heatmaps; without, none are made.
    """

    def __init__(self, classifier: Classifier, traffic: Traffic) -> None:
        self._classifier, self._in_flight = _for_lone_photos(classifier), traffic.photos
        self.explains = _explains(classifier)
        self._seconds = traffic.limits.seconds
        self._threads = ThreadPoolExecutor(classifier.callers, thread_name_prefix="photo")

    async def predict(self, photos: Sequence[Photo], *, explain: bool) -> list[PhotoAnswer | None]:
        """Return an answer for each photo, in order; `None` where it takes too long.

        Of one request few photos wait for threads at once, so that those of others come in between.

        Raises:
            HTTPException: too many photos are in flight.
        """
        if not self._in_flight.take(len(photos)):
            raise busy("Too many photos are in flight")
        turn = asyncio.Semaphore(2 * self._classifier.callers)
        answer = partial(self._answer, explain=explain)
        return await asyncio.gather(
            *(self._in_turn(partial(answer, each), turn) for each in photos)
        )

    async def _in_turn(
        self, answer: Callable[[], PhotoAnswer], turn: asyncio.Semaphore
    ) -> PhotoAnswer | None:
        async with turn:
            job = self._threads.submit(answer)
            job.add_done_callback(lambda _: self._in_flight.give_back(1))
            done, _ = await asyncio.wait([asyncio.wrap_future(job)], timeout=self._seconds)
            if not done:
                job.cancel()  # if it still waits; a thread that runs can't be stopped
            return done.pop().result() if done else None

    def _answer(self, photo: Photo, *, explain: bool) -> PhotoAnswer:
        predict = self._classifier.predict_photo
        return photo_answer(
            predict(photo.name, lambda: photo.data, explain=explain and self.explains)
        )


def _for_lone_photos(classifier: Classifier) -> Classifier:
    """Return a classifier that spreads the crops of a photo over the cores, if it runs on them."""
    if classifier.crop_count == 1 or classifier.callers > core_count():
        return classifier
    spreading = copy(classifier)
    spreading.engine = spread(classifier.engine)
    return spreading


def _explains(classifier: Classifier) -> bool:
    side = classifier.description.input_px
    try:
        classifier.heatmap(Image.new("RGB", (side, side)), 0)
    except NoFeatureMapError:
        return False
    return True
