"""All of a model but its backbone: from the features of crops to probabilities. NumPy only."""

from functools import cached_property
from itertools import compress

import numpy as np
from numpy.typing import ArrayLike

from pandacat.core.errors import PandacatError
from pandacat.data.crops import crop_count
from pandacat.labels import IMAGENET_CLASS_COUNT, OTHER, imagenet_names, listed
from pandacat.metrics import conformal
from pandacat.models import open_set, tiling
from pandacat.models.probabilities import (
    class_probabilities,
    label_log_probabilities,
    log_softmax,
    pool_crops,
    softmax,
)
from pandacat.models.saved import OpenSetScore, SavedModel


class FeatureClassifier:
    """From features to predictions; the backbone that extracts them is not needed."""

    def __init__(self, model: SavedModel) -> None:
        """Take a saved model for photos."""
        description = model.description
        if description.image is None or description.labels[-1] != OTHER:
            raise PandacatError(
                f"This model's labels are {listed(description.labels, 'and')}, and it is not for "
                "photos: choose another with --model."
            )
        self.description = description
        self.image_spec = description.image
        self.labels = description.labels
        """In the order of all probabilities, `other` last."""
        self._head_weight = model.tensors.get("head.weight")
        self._head_bias = model.tensors.get("head.bias")
        bank = model.tensors.get(open_set.BANK)
        self._bank = None if bank is None else bank.astype(np.float32)
        self._other_animals = tiling.other_animals(description.label_classes)

    @property
    def crop_count(self) -> int:
        """How many crops of each photo this model takes."""
        return crop_count(self.description.crops)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The names of the rows of the head: ImageNet's classes, then labels that it lacks.

        Empty where the rows mean no classes but the labels.
        """
        weight, about = self._head_weight, self.description
        if weight is None or not weight.any(axis=1).all():  # the linear probe discards classes
            return ()
        added = zip(about.labels, about.label_classes, strict=False)
        lacking = (label for label, rows in added if max(rows, default=0) >= IMAGENET_CLASS_COUNT)
        names = (*imagenet_names(), *lacking)
        return names if len(names) == len(weight) else ()

    def log_probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return `(…, K + 1)` log-probabilities before calibration for features `(…, D)`."""
        logits = self.class_logits(features)
        if self._head_weight is None:
            return log_softmax(logits)
        return label_log_probabilities(logits, self.description.label_classes)

    def class_logits(self, features: np.ndarray) -> np.ndarray:
        """Return the logits `(…, C)` of the head for features `(…, D)`; without one, these."""
        if self._head_weight is not None:
            features = features @ self._head_weight.T + self._head_bias
        return features.astype(np.float64)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return `(…, K + 1)` calibrated probabilities of photos for the features of `logits`."""
        return self.calibrated(self.logits(features))

    def calibrated(self, logits: np.ndarray) -> np.ndarray:
        """Return the probabilities `(…, K + 1)` for the logits of photos."""
        return softmax(logits / self.description.temperature)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return `(…, K + 1)` logits of photos before calibration.

        The features `(…, V, D)` are of their crops, or `(…, V + T, D)` with those of tiles, which
        count where the photo `is_doubtful`.
        """
        crops, tiles = np.split(features, [self.crop_count], axis=-2)
        logits = self._scored(crops, self.description.open_set)
        about = self.description.tiling
        if about is None or not tiles.shape[-2]:
            return logits
        each = tiles[..., None, :]
        again = tiling.refined(
            logits,
            self._scored(each, about.score),
            self.class_logits(tiles),
            self._other_animals,
        )
        return np.where(self.is_doubtful(crops)[..., None], again, logits)

    def is_doubtful(self, features: np.ndarray) -> np.ndarray:
        """Return for which photos `(…,)` tiles count, by the features `(…, V, D)` of their crops.

        Those are photos of `other` that show no other animal; none, if the model uses no tiles.
        """
        about = self.description.tiling
        if about is None:
            return np.zeros(features.shape[:-2], bool)
        logits, classes = self.logits(features), softmax(self.class_logits(features))
        return tiling.is_doubtful(logits, classes, self._other_animals, about.other_animals)

    def _scored(self, features: np.ndarray, score: OpenSetScore | None) -> np.ndarray:
        """Return the pooled logits `(…, K + 1)` of crops `(…, V, D)`, with the open-set score."""
        logits = pool_crops(self.log_probabilities(features))
        return open_set.add_score(logits, features, self._bank, score) if score else logits

    def top_classes(self, features: np.ndarray, count: int) -> tuple[tuple[str, float], ...]:
        """Return the `count` most probable of `class_names` for the features of a photo.

        The probabilities of the classes that mean a label sum to that of the label.
        """
        values = class_probabilities(
            self.class_logits(features),
            self.description.label_classes,
            self.probabilities(features),
        )
        rows = np.argsort(-values, kind="stable")[:count]
        return tuple((self.class_names[row], float(values[row])) for row in rows)

    def prediction_set(self, probabilities: ArrayLike) -> tuple[str, ...] | None:
        """Return the labels that can't be ruled out, such as `("cat", "other")`, in their order.

        The most probable label is among them. `None` where the model has no conformal thresholds.
        """
        calibrated = self.description.conformal
        if calibrated is None:
            return None
        (chosen,) = conformal.prediction_sets(np.array([probabilities]), calibrated.thresholds)
        return tuple(compress(self.labels, chosen))
