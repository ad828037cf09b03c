"""Whether exported files agree with the network in PyTorch, and what 8-bit integers cost."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pandacat.core.errors import PandacatError
from pandacat.core.parallel import ordered_map
from pandacat.evaluation.compare import compare_networks, evaluate
from pandacat.evaluation.predictions import OURS, predicted_labels
from pandacat.models.classifier import Classifier
from pandacat.models.openvino_engine import openvino_core

LARGEST_DIFFERENCE = 1e-5
"""Of a probability, which rounding explains."""

WEIGHTS = {".bin", ".onnx", ".safetensors"}
"""Endings of files that hold weights."""

Predict = Callable[[np.ndarray], np.ndarray]
"""From the crops `(V, S, S, 3) uint8` of a photo to its probabilities `(K + 1,)`."""


def by_classifier(classifier: Classifier) -> Predict:
    """Return what computes probabilities as `pandacat predict` does."""
    return lambda crops: classifier.probabilities(classifier.features(crops))


def by_onnxruntime(path: Path) -> Predict:
    """Return what computes probabilities of an ONNX file by ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return lambda crops: np.asarray(session.run(None, {"crops": crops[None]})[0][0])


def by_openvino(path: Path) -> Predict:
    """Return what computes probabilities of an ONNX file by OpenVINO."""
    compiled = openvino_core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda crops: np.asarray(compiled({0: crops[None]})[0][0])


def reduced(image: Image.Image) -> Image.Image:
    """Return a gray photo, in whose middle an RGB photo is small: one that only tiles show."""
    photo = Image.new("RGB", image.size, "gray")
    photo.paste(image.reduce(8), (image.width * 7 // 16, image.height * 7 // 16))
    return photo


def all_crops(classifier: Classifier, image: Image.Image) -> np.ndarray:
    """Return the crops of an RGB photo, and its tiles if any are used: `(V + T, S, S, 3) uint8`."""
    crops = classifier.cut(image)
    if classifier.description.tiling is None:
        return crops
    return np.concatenate([crops, classifier.cut_tiles(image)])


def parity(
    crops: Sequence[np.ndarray], reference: Predict, exported: Mapping[str, Predict]
) -> dict[str, dict[str, float]]:
    """Return for each export its `largest_difference` from the reference, and `labels_kept`.

    `crops` are those of each photo, with tiles or without; the differences are of probabilities,
    `labels_kept` the share of photos that get the same label.

    Raises:
        PandacatError: an export disagrees by more than rounding explains.
    """
    expected = np.stack([*ordered_map(reference, crops)])
    results = {}
    for name, predict in exported.items():
        found = np.stack([predict(own) for own in crops])
        difference = float(np.abs(found - expected).max())
        kept = float((found.argmax(axis=1) == expected.argmax(axis=1)).mean())
        if not difference <= LARGEST_DIFFERENCE or kept < 1:
            raise PandacatError(
                f"The export {name} gives other probabilities than PyTorch, by up to "
                f"{difference:.2g} in {len(crops)} photos: choose another "
                "predict_pretrained.backbone, or report it to the project."
            )
        results[name] = {"largest_difference": difference, "labels_kept": kept}
    return results


def quantized(int8: pd.DataFrame, exact: pd.DataFrame, *, seed: int) -> dict[str, Any]:
    """Return the metrics of `int8`: those of `evaluate`, and `labels_kept`.

    Both are tables of predictions on the test split; `exact` has those of the fine-tuned network.
    """
    ours = exact[exact.network == OURS]
    table = pd.concat([ours, int8], ignore_index=True)
    metrics = evaluate(table, compare_networks(table, seed=seed), seed=seed)["int8"]
    kept = float((predicted_labels(int8) == predicted_labels(ours)).mean())
    return {"int8": metrics | {"labels_kept": kept}}


def megabytes(folder: Path) -> dict[str, float]:
    """Return the size of each file of an exported model that holds weights."""
    sizes = {path.relative_to(folder): path.stat().st_size for path in sorted(folder.rglob("*.*"))}
    return {str(name): size / 1e6 for name, size in sizes.items() if name.suffix in WEIGHTS}
