"""A saved model, ready to run: photos in, predictions out."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pandacat.core.errors import MODEL_AGAIN, PandacatError, system_message
from pandacat.core.files import sha256_of
from pandacat.core.parallel import ordered_map
from pandacat.data.crops import crop_count, cut_crops
from pandacat.data.images import UnreadablePhotoError, load_photo
from pandacat.models import tiling
from pandacat.models.engine import (
    Engine,
    EngineName,
    NoFeatureMapError,
    compile_backbone,
    exported_engine,
)
from pandacat.models.explanation import grad_cam, heatmap
from pandacat.models.feature_classifier import FeatureClassifier
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


class Classifier(FeatureClassifier):
    """A model that is ready to run. Its backbone is compiled when it is first needed."""

    def __init__(self, model: SavedModel, engine: "EngineName | Classifier" = "auto") -> None:
        """Take a saved model; `engine` may be a classifier with the same backbone, to share its."""
        super().__init__(model)
        self.backbone_key = backbone_key(model)
        """Classifiers with the same key share their features."""
        self.model, self._engine = model, engine

    @cached_property
    def engine(self) -> Engine:
        """What runs the backbone.

        Raises:
            PandacatError: the head does not fit the backbone, or weights overflow.
        """
        if isinstance(self._engine, Classifier):
            engine = self._engine.engine
        elif self.model.exported:
            engine = self._exported_engine(self.model.exported)
        else:
            engine = compile_backbone(
                partial(_build_backbone, self.model),
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
        return self.model.card

    @property
    def sha256(self) -> str:
        """Of the weights file; empty where the model was not saved."""
        return self.model.sha256

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

    def _check_on_gray_image(self, engine: Engine) -> None:
        side = self.description.input_px
        try:
            features = engine.run(np.full((1, side, side, 3), 127, np.uint8))
            features = features.repeat(self.crop_count + crop_count(tiling.SCHEME), axis=0)
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
    def workers(self) -> int:
        """How many threads that decode photos, too, keep it busy: one more, while others decode."""
        return self.callers + 1

    def cut(self, image: Image.Image) -> np.ndarray:
        """Return the crops `(V, S, S, 3) uint8` that this model takes of an RGB photo."""
        return cut_crops(image, self.description.input_px, self.description.crops)

    def cut_tiles(self, image: Image.Image) -> np.ndarray:
        """Return the crops `(T, S, S, 3) uint8` of an RGB photo for a second look."""
        return cut_crops(image, self.description.input_px, tiling.SCHEME)

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return features `(N, D) float32` of square images `(N, S, S, 3) uint8`."""
        return self.engine.run(images)

    def with_tiles(self, features: np.ndarray, image: Image.Image) -> np.ndarray:
        """Return the features `(V, D)` of the crops of an RGB photo, and those of tiles if need be.

        So they are `(V + T, D)` where the photo `is_doubtful`.
        """
        if not self.is_doubtful(features):
            return features
        return np.concatenate([features, self.features(self.cut_tiles(image))])

    def predict(self, photo: str | Path) -> Prediction:
        """Return the prediction for one photo, given by its path."""
        return self.predict_photo(str(photo), Path(photo).read_bytes)

    def predict_many(
        self,
        items: Iterable[tuple[str, Callable[[], bytes]]],
        *,
        top: int = 0,
        explain: bool = False,
        workers: int | None = None,
    ) -> Iterator[Prediction]:
        """Yield what `predict_photo` returns for each path and function, in order.

        Decoding and the network run side by side, in `self.workers` threads unless another number
        is given; memory stays flat however many photos come.
        """

        def predict(item: tuple[str, Callable[[], bytes]]) -> Prediction:
            return self.predict_photo(*item, top=top, explain=explain)

        return ordered_map(predict, items, workers=workers or self.workers)

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
        with np.errstate(all="ignore"):  # of weights that overflow
            if explain:
                features, maps = self._extract_with_maps(photo.image)
            else:
                features = self.with_tiles(self.features(self.cut(photo.image)), photo.image)
                maps = None
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
        return self._heatmap(image.size, *self._extract_with_maps(image), label)

    def _extract_with_maps(self, image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
        """Return what `with_tiles` does, and the last feature maps `(…, D, h, w)`."""
        features, maps = self.engine.run_with_maps(self.cut(image))
        if not self.is_doubtful(features):
            return features, maps
        more, more_maps = self.engine.run_with_maps(self.cut_tiles(image))
        return np.concatenate([features, more]), np.concatenate([maps, more_maps])

    def _heatmap(
        self, photo_size: tuple[int, int], features: np.ndarray, maps: np.ndarray, label: int
    ) -> np.ndarray:
        if self._head_weight is None:
            raise NoFeatureMapError
        scheme, looked_at = self.description.crops, slice(0, self.crop_count)
        if len(features) > self.crop_count and label != len(self.labels) - 1:
            scheme, looked_at = tiling.SCHEME, slice(self.crop_count, None)
        logits, label_classes = (
            self.class_logits(features[looked_at]),
            self.description.label_classes,
        )
        evidence = grad_cam(logits, maps[looked_at], self._head_weight, label, label_classes)
        return heatmap(photo_size, evidence, scheme)


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
