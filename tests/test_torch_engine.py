"""The torch engine: photos in batches, in order, each with its own error; here on the CPU."""

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import EXAMPLES

from pandacat.core.errors import PandacatError
from pandacat.models import engine, scratch
from pandacat.models.classifier import Classifier
from pandacat.models.engine import EngineName, compile_backbone
from pandacat.models.loading import load_classifier
from pandacat.models.pretrained import Backbone
from pandacat.models.scratch import ScratchSpec

PHOTOS = sorted(EXAMPLES.rglob("*.jpg"))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier("pretrained", models=Path("nowhere"), engine="torch")


def test_many_photos_are_predicted_in_order_as_one_by_one(classifier: Classifier) -> None:
    items = [(str(path), path.read_bytes) for path in PHOTOS * 3]
    together = list(classifier.predict_many(items))
    assert [prediction.path for prediction in together] == [path for path, _ in items]
    for prediction in together[: len(PHOTOS)]:
        alone = classifier.predict(prediction.path)
        assert prediction.probabilities == pytest.approx(alone.probabilities, abs=1e-5)


def test_a_photo_that_can_not_be_read_keeps_its_error_to_itself(classifier: Classifier) -> None:
    whole = [(str(path), path.read_bytes) for path in PHOTOS[:4]]
    damaged = [("damaged.jpg", lambda: b"no photo"), ("missing.jpg", Path("missing").read_bytes)]
    predictions = list(classifier.predict_many([whole[0], damaged[0], *whole[1:], damaged[1]]))
    readable = [prediction.reason is None for prediction in predictions]
    assert readable == [True, False, True, True, True, False]


def test_few_photos_are_read_ahead_so_that_memory_stays_flat(classifier: Classifier) -> None:
    read = 0

    def photo() -> bytes:
        nonlocal read
        read += 1
        return PHOTOS[0].read_bytes()

    predictions = classifier.predict_many((str(number), photo) for number in range(1000))
    for _ in range(3):
        next(predictions)
    assert read < 3 + 8 * classifier.workers
    predictions.close()  # type: ignore[attr-defined]


def test_ctrl_c_ends_a_long_prediction_at_once() -> None:
    code = (
        "import signal, sys, threading\n"
        "from pathlib import Path\n"
        "from pandacat.models.loading import load_classifier\n"
        "classifier = load_classifier('pretrained', models=Path('nowhere'), engine='torch')\n"
        "items = ((sys.argv[1], Path(sys.argv[1]).read_bytes) for _ in range(100_000))\n"
        "try:\n"
        "    for number, _ in enumerate(classifier.predict_many(items)):\n"
        "        if number == 2: signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    print('ended')\n"
    )
    command = [sys.executable, "-c", code, str(PHOTOS[0])]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (ended.returncode, ended.stdout) == (0, "ended\n"), ended.stderr


@pytest.mark.parametrize("name", ["auto", "torch"])
def test_a_lower_precision_is_used_only_where_it_is_asked_for(
    name: EngineName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    spec = ScratchSpec(3, 32, channels=(8, 16), depths=(1, 1), classes=3)
    backbone = Backbone(scratch.build(spec, seed=1), mean=[127.0] * 3, std=[128.0] * 3)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    exact, rounded = (
        compile_backbone(lambda: backbone, 32, precision, name=name, precision=precision).run(
            images
        )
        for precision in ("float32", "bfloat16")
    )
    difference = np.abs(exact - rounded).max() / np.abs(exact).max()
    assert 1e-4 < difference < 0.05


def test_openvino_is_not_asked_for_what_the_processor_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "is_native", lambda precision: precision == "float32")
    monkeypatch.setattr(engine, "_torch_engine", lambda *_: "torch")
    build = partial(compile_backbone, lambda: None, 224, "key", precision="bfloat16")
    assert build(name="auto") == "torch"
    with pytest.raises(PandacatError, match="float32"):
        build(name="openvino")
