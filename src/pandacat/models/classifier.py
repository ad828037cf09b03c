"""A saved model, ready to run: photos in, predictions out."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from pandacat.core.errors import MODEL_AGAIN, PandacatError, system_message
from pandacat.core.files import sha256_of
from pandacat.core.parallel import ordered_map
from pandacat.data.crops import crop_count, cut_crops
from pandacat.data.images import UnreadablePhotoError, load_photo
from pandacat.labels import IMAGENET_CLASS_COUNT, OTHER, imagenet_names, listed
from pandacat.metrics import conformal
from pandacat.models import open_set
from pandacat.models.engine import (
    Engine,
    EngineName,
    NoFeatureMapError,
    compile_backbone,
    exported_engine,
)
from pandacat.models.explanation import grad_cam, heatmap
from pandacat.models.probabilities import (
    class_probabilities,
    label_log_probabilities,
    log_softmax,
    pool_crops,
    softmax,
)
from pandacat.models.saved import SavedModel

FEWEST_PX = 32
"""Of the shorter side of a photo on which an animal can be told."""
FEW_PIXELS = f"fewer than {FEWEST_PX} pixels a side, too few to tell animals apart"
"""Note."""


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for one photo, or why it can't."""

    path: str
    """As the photo was given."""
    probabilities: dict[str, float] | None
    """By label, summing to 1; `None` where the photo can't be read."""
    reason: str | None = None
    """Why the photo can't be read; `None` where it can."""
    prediction_set: tuple[str, ...] | None = None
    """All labels that can't be ruled out, `other` among them; of calibrated models only."""
    top_classes: tuple[tuple[str, float], ...] = ()
    """The most probable classes of the head, most first, where asked for, and their probability."""
    notes: tuple[str, ...] = ()
    """What is wrong with the file, or doubtful, though its pixels were read."""
    heatmap: np.ndarray | None = field(default=None, compare=False, repr=False)
    """How much each part of the photo supports the label, `(H, W) float32` in 0…1, if asked for."""

    @property
    def label(self) -> str | None:
        """The most probable label; `None` where the photo can't be read."""
        probabilities = self.probabilities
        return max(probabilities, key=probabilities.__getitem__) if probabilities else None


class Classifier:
    """A model that is ready to run. Its backbone is compiled when it is first needed."""

    def __init__(self, model: SavedModel, engine: "EngineName | Classifier" = "auto") -> None:
        """Take a saved model; `engine` may be a classifier with the same backbone, to share its."""
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
        self.backbone_key = backbone_key(model)
        """Classifiers with the same key share their features."""
        self._model, self._engine = model, engine

    @cached_property
    def engine(self) -> Engine:
        """What runs the backbone.

        Raises:
            PandacatError: the head does not fit the backbone, or weights overflow.
        """
        if isinstance(self._engine, Classifier):
            engine = self._engine.engine
        elif self._model.exported:
            engine = self._exported_engine(self._model.exported)
        else:
            engine = compile_backbone(
                partial(_build_backbone, self._model),
                self.description.input_px,
                self.backbone_key,
                name=self._engine,
                precision=self.description.precision,
            )
        self._check_on_gray_image(engine)
        return engine

    @property
    def card(self) -> dict[str, Any] | None:
        """How well the model does and what it must not be used for, if it was exported."""
        return self._model.card

    @property
    def sha256(self) -> str:
        """Of the weights file; empty where the model was not saved."""
        return self._model.sha256

    def _exported_engine(self, backbone: Path) -> Engine:
        if self._engine == "torch":
            raise PandacatError(
                "This model was exported for the CPU: use --device cpu, or --model fine-tuned, "
                "which it was exported from."
            )
        try:
            return exported_engine(backbone, self.description.precision)
        except RuntimeError as error:
            reason = str(error).strip().rpartition("\n")[2]
            raise PandacatError(f"{backbone} can't be used: {reason}. {MODEL_AGAIN}") from None

    def compiled(self) -> "Classifier":
        """Return this, its backbone compiled and checked now rather than at the first photo."""
        _ = self.engine
        return self

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

    def _check_on_gray_image(self, engine: Engine) -> None:
        side = self.description.input_px
        try:
            features = engine.run(np.full((1, side, side, 3), 127, np.uint8))
            with np.errstate(all="ignore"):
                probabilities = self.probabilities(features)
        except (ValueError, IndexError, RuntimeError) as error:
            raise PandacatError(
                f"The model's head and backbone do not fit: {error}. {MODEL_AGAIN}"
            ) from None
        if probabilities.shape != (len(self.labels),) or not np.isfinite(probabilities).all():
            raise PandacatError(
                f"The model is damaged: it gives no probabilities for a gray image. {MODEL_AGAIN}"
            )

    @property
    def callers(self) -> int:
        """How many threads that ask for features keep the engine busy."""
        return self.engine.callers

    @property
    def crop_count(self) -> int:
        """How many crops of each photo this model takes."""
        return crop_count(self.description.crops)

    def cut(self, image: Image.Image) -> np.ndarray:
        """Return the crops `(V, S, S, 3) uint8` that this model takes of an RGB photo."""
        return cut_crops(image, self.description.input_px, self.description.crops)

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return features `(N, D) float32` of square images `(N, S, S, 3) uint8`."""
        return self.engine.run(images)

    def log_probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return `(…, K + 1)` log-probabilities before calibration for features `(…, D)`."""
        logits = self._logits(features)
        if self._head_weight is None:
            return log_softmax(logits)
        return label_log_probabilities(logits, self.description.label_classes)

    def _logits(self, features: np.ndarray) -> np.ndarray:
        if self._head_weight is not None:
            features = features @ self._head_weight.T + self._head_bias
        return features.astype(np.float64)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return `(…, K + 1)` calibrated probabilities of photos for features `(…, V, D)`."""
        return softmax(self.logits(features) / self.description.temperature)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return `(…, K + 1)` logits of photos before calibration for features `(…, V, D)`."""
        logits, score = pool_crops(self.log_probabilities(features)), self.description.open_set
        return open_set.add_score(logits, features, self._bank, score) if score else logits

    def top_classes(self, features: np.ndarray, count: int) -> tuple[tuple[str, float], ...]:
        """Return the `count` most probable of `class_names` for the features `(V, D)` of a photo.

        The probabilities of the classes that mean a label sum to that of the label.
        """
        values = class_probabilities(
            self._logits(features), self.description.label_classes, self.probabilities(features)
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

    def predict(self, photo: str | Path) -> Prediction:
        """Return the prediction for one photo, given by its path."""
        return self.predict_photo(str(photo), Path(photo).read_bytes)

    def predict_many(
        self,
        items: Iterable[tuple[str, Callable[[], bytes]]],
        *,
        top: int = 0,
        explain: bool = False,
    ) -> Iterator[Prediction]:
        """Yield what `predict_photo` returns for each path and function, in order.

        Decoding and the network run side by side; memory stays flat however many photos come.
        """

        def predict(item: tuple[str, Callable[[], bytes]]) -> Prediction:
            return self.predict_photo(*item, top=top, explain=explain)

        return ordered_map(predict, items, workers=self.callers)

    def predict_photo(
        self, path: str, read: Callable[[], bytes], *, top: int = 0, explain: bool = False
    ) -> Prediction:
        """Return the prediction for one photo; a photo that can't be read has a reason instead.

        Args:
            path: how the photo is called.
            read: returns the bytes of its file.
            top: how many of the most probable classes to name, where the model has `class_names`.
            explain: whether to return a heatmap.

        Raises:
            NoFeatureMapError: the network can't be explained.
        """
        try:
            photo = load_photo(read(), self.image_spec)
        except UnreadablePhotoError as error:
            return Prediction(path, None, str(error))
        except OSError as error:
            return Prediction(path, None, system_message(error))
        images, maps = self.cut(photo.image), None
        if explain:
            features, maps = self.engine.run_with_maps(images)
        else:
            features = self.features(images)
        with np.errstate(all="ignore"):  # of weights that overflow
            values = self.probabilities(features)
        if not np.isfinite(values).all():
            return Prediction(path, None, "the model gives no probabilities for it")
        has_few = min(photo.width_px, photo.height_px) < FEWEST_PX
        return Prediction(
            path,
            dict(zip(self.labels, values.tolist(), strict=True)),
            prediction_set=self.prediction_set(values),
            top_classes=self.top_classes(features, top) if top and self.class_names else (),
            notes=photo.notes + (FEW_PIXELS,) * has_few,
            heatmap=None
            if maps is None
            else self._heatmap(photo.image.size, features, maps, int(values.argmax())),
        )

    def heatmap(self, image: Image.Image, label: int) -> np.ndarray:
        """Return how much each part of an RGB photo supports a label, `(H, W) float32` in 0…1.

        Raises:
            NoFeatureMapError: the network can't be explained.
        """
        features, maps = self.engine.run_with_maps(self.cut(image))
        return self._heatmap(image.size, features, maps, label)

    def _heatmap(
        self, photo_size: tuple[int, int], features: np.ndarray, maps: np.ndarray, label: int
    ) -> np.ndarray:
        if self._head_weight is None:
            raise NoFeatureMapError
        about = self.description
        logits = self._logits(features)
        evidence = grad_cam(logits, maps, self._head_weight, label, about.label_classes)
        return heatmap(photo_size, evidence, about.crops)


def backbone_key(model: SavedModel) -> str:
    """Return a hash over all that the backbone's features of a square image depend on."""
    about = model.description
    shape = [about.kind, about.backbone, about.input_px, about.architecture, about.precision]
    if model.exported:
        shape.append(sha256_of(model.exported.with_suffix(".bin")))
    digest = hashlib.sha256(json.dumps(shape, sort_keys=True).encode())
    for name, values in sorted(model.tensors.items()):
        if name.startswith("backbone."):
            digest.update(name.encode())
            digest.update(values.tobytes())
    return digest.hexdigest()[:32]


def _build_backbone(model: SavedModel) -> Any:
    """Return the backbone in PyTorch, which is imported only for that."""
    from pandacat.models import pretrained, scratch

    if model.description.kind == "scratch":
        network = scratch.restore(model.description.architecture, model.tensors)
        return pretrained.Backbone(network, mean=[0.0] * 3, std=[255.0] * 3)
    return pretrained.restore(model.description.backbone, model.tensors).backbone
