"""Damaged models: description and weights."""

import json
import random
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from pandacat.core.errors import PandacatError
from pandacat.models import scratch
from pandacat.models.classifier import Classifier
from pandacat.models.saved import DESCRIPTION, FORMAT, WEIGHTS, load_model
from torture.damage import damaged
from torture.params import ODD_VALUES

SPEC: dict[str, Any] = {
    "image_channels": 3,
    "input_px": 16,
    "channels": [4],
    "depths": [1],
    "classes": 3,
}


def mutant(number: int) -> bytes:
    """Return a model, its parts one after the other, of which one is damaged."""
    generator = random.Random(f"models {number}")
    description, weights = original()
    if number % 3 == 0:
        weights = damaged([weights], generator)
    elif number % 3 == 1:
        description = damaged([description], generator)
    else:
        content = json.loads(description)
        place = generator.choice((content, content, content["architecture"], content["conformal"]))
        place[generator.choice(list(place))] = generator.choice(ODD_VALUES)
        description = json.dumps(content).encode()
    return struct.pack("<I", len(description)) + description + weights


def examine(data: bytes) -> str:
    """Open it and predict a picture: three probabilities, or an error of ours."""
    (length,) = struct.unpack_from("<I", data)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / DESCRIPTION).write_bytes(data[4 : 4 + length])
        (Path(folder) / WEIGHTS).write_bytes(data[4 + length :])
        try:
            model = Classifier(load_model(Path(folder)), "torch").compiled()
        except PandacatError:
            return "refused"
    image_px = model.description.input_px
    gray = np.full((1, image_px, image_px, 3), 127, np.uint8)
    probabilities = model.probabilities(model.features(gray))
    assert probabilities.shape == (3,)
    assert np.isfinite(probabilities).all()
    assert abs(probabilities.sum() - 1) < 1e-6
    return "opened"


@cache
def original() -> tuple[bytes, bytes]:
    """Return the description and the weights of a small network of ours."""
    spec: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in SPEC.items()
    }
    network = scratch.build(scratch.ScratchSpec(**spec), seed=1)
    state = {f"backbone.{name}": values.numpy() for name, values in network.state_dict().items()}
    about = {
        "kind": "scratch",
        "backbone": "scratch",
        "labels": ["panda", "cat", "other"],
        "label_classes": [],
        "crops": "square",
        "input_px": 16,
        "temperature": 1.0,
        "image": {"image_px": 64, "jpeg_quality": 92, "max_megapixels": 178},
        "trained_on": "0" * 64,
        "title": "nothing",
        "architecture": SPEC,
        "conformal": {"coverage": 0.95, "confidence": 0.9, "thresholds": [0.5, 0.5, 0.5]},
        "format": FORMAT,
    }
    return json.dumps(about).encode(), save(state)
