"""A classifier without a network, for tests of what is done with predictions."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from pandacat.core.parallel import ordered_map
from pandacat.data.images import UnreadablePhotoError
from pandacat.models.classifier import Prediction


@dataclass(frozen=True)
class Description:
    temperature: float = 1.0


@dataclass
class Fake:
    """In place of a classifier: probabilities follow from the bytes, which may be empty or gone."""

    sha256: str = "a" * 64
    description: Description = field(default_factory=Description)
    labels: tuple[str, ...] = ("panda", "other")
    stops_after: int = sys.maxsize
    """So many photos come before Ctrl-C."""

    def predict_photo(self, path: str, read: Callable[[], bytes]) -> Prediction:
        try:
            if not (data := read()):
                raise UnreadablePhotoError("empty")
        except (UnreadablePhotoError, OSError) as error:
            return Prediction(path, None, str(error))
        share = hashlib.sha256(data).digest()[0] / 256
        values = {"panda": share, "other": 1 - share}
        return Prediction(path, values, prediction_set=("panda",), notes=("odd",) * (share > 0.5))

    def predict_many(
        self, items: Iterable[tuple[str, Callable[[], bytes]]], *, workers: int | None = None
    ) -> Iterator[Prediction]:
        predictions = ordered_map(
            lambda item: self.predict_photo(*item), items, workers=workers or 2
        )
        for number, prediction in enumerate(predictions):
            if number == self.stops_after:
                raise KeyboardInterrupt
            yield prediction
