"""A saved model at work: photos in, verdicts out."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from PIL import Image

from pandacat.core.errors import MODEL_AGAIN, PandacatError, told_by_system
from pandacat.core.parallel import ordered_map
from pandacat.data.crops import crop_count, cut_crops
from pandacat.data.images import UnreadablePhotoError, load_image
from pandacat.labels import LABELS, Label, label_of_imagenet_class
from pandacat.models.engine import Engine, EngineName, compile_backbone
from pandacat.models.saved import FORMAT, Description, SavedModel, load_model, save_model

MAX_MEGAPIXELS = 178.0
PRETRAINED = "pretrained"


@dataclass(frozen=True)
class Prediction:
    """What a model says of one photo, or why it can say nothing."""

    name: str
    """As the photo was given."""
    probabilities: tuple[float, ...] | None
    """In the order of `LABELS`, summing to 1."""
    reason: str | None = None
    """Why the photo can't be read; `None` where it can."""
    prediction_set: str | None = None
    """Every label that can't be ruled out, or "neither"; of models that promise a coverage."""

    @property
    def label(self) -> Label | None:
        """The most probable label."""
        if self.probabilities is None:
            return None
        return LABELS[int(np.argmax(self.probabilities))]


class Classifier:
    """A model that is ready to run."""

    def __init__(self, model: SavedModel, engine: EngineName = "auto") -> None:
        """Compile the backbone of a saved model."""
        if model.description.labels != LABELS:
            raise PandacatError(
                f"This model tells {', '.join(model.description.labels)} apart, not "
                f"{', '.join(LABELS)}: choose another with --model."
            )
        self.description = model.description
        self._head_weight = model.tensors.get("head.weight")
        self._head_bias = model.tensors.get("head.bias")
        self.backbone_key = _backbone_key(model)
        """Classifiers with the same key share their features."""
        self._engine: Engine = compile_backbone(
            _backbone_builder(model),
            input_px=self.description.input_px,
            key=self.backbone_key,
            name=engine,
        )
        self._require_fit()

    def _require_fit(self) -> None:
        """Let one gray image pass, so that a head that does not fit is found at once."""
        side = self.description.input_px
        try:
            gray = self.features(np.full((1, side, side, 3), 127, np.uint8))
            with np.errstate(all="ignore"):
                answer = self.log_probabilities(gray)
        except (ValueError, IndexError, RuntimeError) as error:
            raise PandacatError(
                f"The model's head and backbone do not fit: {error}. {MODEL_AGAIN}"
            ) from None
        if answer.shape != (1, len(LABELS)) or not np.isfinite(answer).all():
            raise PandacatError(
                f"The model is damaged: it gives no probabilities for a gray image. {MODEL_AGAIN}"
            )

    @property
    def crop_count(self) -> int:
        """How many crops of each photo this model looks at."""
        return crop_count(self.description.crops)

    def cut(self, image: Image.Image) -> np.ndarray:
        """Return the crops `(V, S, S, 3) uint8` that this model looks at."""
        return cut_crops(image, self.description.input_px, self.description.crops)

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return features `(N, D) float32` of square images `(N, S, S, 3) uint8`."""
        return self._engine(images)

    def log_probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return `(…, 3)` log-probabilities, not yet tempered, for features `(…, D)`."""
        if self._head_weight is None:
            return _log_softmax(features.astype(np.float64))
        logits = features @ self._head_weight.T + self._head_bias
        return group_log_probabilities(logits.astype(np.float64))

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return `(…, 3)` probabilities of panda, cat and other for features `(…, V, D)`.

        The crops of one photo are judged one by one and their odds averaged.
        """
        logits = pool_crops(self.log_probabilities(features))
        return softmax(logits / self.description.temperature)

    def prediction_set(self, probabilities: Sequence[float]) -> str | None:
        """Return "panda", "cat", "panda or cat" or "neither"; `None` without a promise."""
        promise = self.description.conformal
        if promise is None:
            return None
        named = [
            label
            for label, probability, threshold in zip(
                LABELS[:2], probabilities[:2], promise.thresholds, strict=True
            )
            if probability >= threshold
        ]
        return " or ".join(named) or "neither"

    def predict_many(
        self, items: Iterable[tuple[str, Callable[[], bytes]]]
    ) -> Iterator[Prediction]:
        """Yield a verdict for each (name, function that returns the file's bytes), in order.

        Decoding and the network run side by side; memory stays flat however many photos come.
        """

        def verdict(item: tuple[str, Callable[[], bytes]]) -> Prediction:
            name, read = item
            try:
                photo = load_image(
                    read(), image_px=self.description.image_px, max_megapixels=MAX_MEGAPIXELS
                )
            except UnreadablePhotoError as error:
                return Prediction(name, None, str(error))
            except OSError as error:
                return Prediction(name, None, told_by_system(error))
            probabilities = tuple(predict_image(photo.image, [self])[0].tolist())
            return Prediction(
                name, probabilities, prediction_set=self.prediction_set(probabilities)
            )

        return ordered_map(verdict, items)


def predict_image(image: Image.Image, classifiers: Sequence[Classifier]) -> list[np.ndarray]:
    """Return the three probabilities that each classifier gives for one RGB photo.

    Classifiers that share a backbone share one pass through it.
    """
    features = extract_image_features(image, classifiers)
    return [
        classifier.probabilities(features[classifier.backbone_key][: classifier.crop_count])
        for classifier in classifiers
    ]


def extract_image_features(
    image: Image.Image, classifiers: Iterable[Classifier]
) -> dict[str, np.ndarray]:
    """Return the features `(V, D)` of an RGB photo by backbone key; each backbone runs once."""
    return {
        key: classifier.features(classifier.cut(image))
        for key, classifier in by_backbone(classifiers).items()
    }


def by_backbone(classifiers: Iterable[Classifier]) -> dict[str, Classifier]:
    """Return for each backbone, by its key, the classifier that looks at most crops."""
    by_views = sorted(classifiers, key=lambda classifier: classifier.crop_count)
    return {classifier.backbone_key: classifier for classifier in by_views}


def group_log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Return `(…, 3)` log-probabilities of panda, cat and other for `(…, 1000)` logits.

    Each label's probability is the sum over the ImageNet classes that mean it.
    """
    log_probabilities = _log_softmax(logits)
    label_of_class = np.array(label_of_imagenet_class())
    return np.stack(
        [
            np.logaddexp.reduce(log_probabilities[..., label_of_class == index], axis=-1)
            for index in range(len(LABELS))
        ],
        axis=-1,
    )


def pool_crops(log_probabilities: np.ndarray) -> np.ndarray:
    """Return `(…, 3)` logits of photos from the log-probabilities `(…, V, 3)` of their crops.

    The odds of panda and cat against other are averaged over the crops: a crop that is sure to hold
    the animal outweighs many that see none of it. The logit of other is 0. A single crop keeps its
    probabilities.
    """
    odds = log_probabilities - log_probabilities[..., -1:]
    pooled: np.ndarray = np.logaddexp.reduce(odds, axis=-2) - np.log(odds.shape[-2])
    return pooled


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities along the last axis."""
    probabilities: np.ndarray = np.exp(_log_softmax(logits))
    return probabilities


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def _backbone_key(model: SavedModel) -> str:
    """Return a hash over all that the backbone's features of a square image depend on."""
    about = model.description
    shape = [about.kind, about.backbone, about.input_px, about.architecture]
    digest = hashlib.sha256(json.dumps(shape, sort_keys=True).encode())
    for name, values in sorted(model.tensors.items()):
        if name.startswith("backbone."):
            digest.update(name.encode())
            digest.update(values.tobytes())
    return digest.hexdigest()[:32]


def _backbone_builder(model: SavedModel) -> Callable[[], Any]:
    def make() -> Any:
        if model.description.kind == "scratch":
            import torch

            from pandacat.models import scratch

            state = {
                name.removeprefix("backbone."): torch.from_numpy(values.copy())
                for name, values in model.tensors.items()
            }
            return scratch.ScratchBackbone(
                scratch.from_state(model.description.architecture, state)
            )
        from pandacat.models import pretrained

        return pretrained.restore(model.description.backbone, model.tensors).backbone

    return make


def load_classifier(name: str, *, models: Path, engine: EngineName = "auto") -> Classifier:
    """Return the model called `name` in the folder `models`, or in the folder `name` itself.

    `pretrained` needs no training: where the pipeline hasn't left it in `models`, it is made from
    the installed weights and kept in the user's cache folder.

    Raises:
        PandacatError: there is no such model, or it can't be used.
    """
    if not name:
        raise PandacatError("--model is empty: name a model, or leave it out.")
    if (models / name).is_dir():
        return Classifier(load_model(models / name), engine)
    if name == PRETRAINED:
        return Classifier(_load_pretrained(), engine)
    if Path(name).is_dir():
        return Classifier(load_model(Path(name)), engine)
    known = sorted({PRETRAINED, *(path.name for path in models.glob("*") if _knows_animals(path))})
    raise PandacatError(
        f"There is no model called {name} in {models.absolute()}. There is: {', '.join(known)}. "
        "In the project's folder, `dvc repro` trains the others; --models names another folder."
    )


def _knows_animals(model: Path) -> bool:
    try:
        return load_model(model).description.labels == LABELS
    except (PandacatError, OSError):
        return False


def _load_pretrained() -> SavedModel:
    """Return the untouched network; made anew where the cache has none that can be used."""
    name = f"pretrained-efficientnet_lite0-{FORMAT}"
    folder = platformdirs.user_cache_path("pandacat") / name
    with suppress(PandacatError, OSError):
        return load_model(folder)
    model = imagenet_model("efficientnet_lite0", image_px=384)
    with suppress(OSError):  # without a cache the next start makes it again
        save_model(folder, model.description, model.tensors)
    return model


def imagenet_model(backbone: str, *, image_px: int) -> SavedModel:
    """Return the network as it was trained on ImageNet: one center crop, nothing calibrated."""
    from pandacat.models import pretrained

    network = pretrained.load(backbone)
    description = Description(
        kind="pretrained",
        backbone=backbone,
        labels=LABELS,
        crops="center",
        input_px=network.input_px,
        temperature=1.0,
        image_px=image_px,
        trained_on="ImageNet",
        title="ImageNet (ILSVRC-2012)",
        architecture={},
    )
    return SavedModel(description, network.tensors())
