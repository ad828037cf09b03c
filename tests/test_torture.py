"""The short forms of `make torture`: damage, kills, full disks, other folders, other seeds."""

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, run_stage, write_params
from PIL import Image
from ruamel.yaml import YAML
from torture import inputs
from torture.bits import changed

from pandacat.config.loading import load_config
from pandacat.core import parallel
from pandacat.data.augmented_copies import augmented_copies

Copy = Callable[[str], Path]


@pytest.fixture
def copy(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """Copy the small project to a folder of this name, and go there."""

    def copied(name: str) -> Path:
        shutil.copytree(workspace, tmp_path / name)
        monkeypatch.chdir(tmp_path / name)
        return tmp_path / name

    return copied


def content_of(*outputs: str) -> dict[str, bytes]:
    """Return all files of these outputs in the current folder."""
    paths = [
        path
        for output in map(Path, outputs)
        for path in (output.rglob("*") if output.is_dir() else [output])
    ]
    return {str(path): path.read_bytes() for path in paths if path.is_file()}


def set_params(**values: object) -> None:
    """Change `params.yaml` in the current folder; `a__b` stands for the key `a.b`."""
    content = YAML(typ="safe", pure=True).load(Path("params.yaml").read_text())
    for key, value in values.items():
        content = changed(content, key.replace("__", "."), value)
    write_params(Path(), content)


@pytest.mark.parametrize(
    ("target", "count", "fates"),
    [
        ("photos", 300, {"read", "refused"}),
        ("archives", 300, {"read", "read in part", "refused"}),
        ("params", 60, {"valid", "refused"}),
        ("models", 90, {"opened", "refused"}),
    ],
)
def test_no_mutant_ends_in_anything_but_a_result_or_a_reason(
    target: str, count: int, fates: set[str]
) -> None:
    module = import_module(f"torture.{target}")
    found = Counter(module.examine(module.mutant(number)) for number in range(count))
    assert set(found) == fates


def test_a_damaged_input_of_a_stage_ends_in_a_result_or_a_sentence(copy: Copy) -> None:
    copy("damaged")
    paths = [
        "data/photos/index.parquet",
        "data/photos/provenance.json",
        "data/features/centers.npy",
        "data/features/origin.json",
        "models/pretrained/weights.safetensors",
    ]
    ends: Counter[str] = Counter()
    for number in range(50):
        path = Path(paths[number % len(paths)])
        original = path.read_bytes()
        path.write_bytes(inputs.mutant(str(path), original, random.Random(number)))
        try:
            run_stage("train_linear_probe")
            ends["ran through"] += 1
        except SystemExit as ended:
            ends["unexpected" if inputs.UNEXPECTED in str(ended.code) else "expected"] += 1
        path.write_bytes(original)
    assert ends["expected"] > ends["unexpected"] > 0
    assert ends["ran through"]


def test_a_killed_training_does_not_go_on_with_other_pixels(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    copy("killed")
    set_params(train_scratch__photos__epochs=12)
    kill_training_of_photos()
    set_params(preprocess__jpeg_quality=60)
    run_stage("preprocess")

    capsys.readouterr()
    run_stage("train_scratch_photos")
    said = capsys.readouterr().err
    assert "left from other settings; not used" in said
    assert "epoch 1/12" in said


def kill_training_of_photos() -> None:
    """Train in the current folder, and kill it in the fourth epoch."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "stages/train_scratch_photos.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    for line in process.stderr:
        if line.startswith("epoch 3/"):
            process.send_signal(signal.SIGKILL)
            break
    process.stderr.close()
    assert process.wait() == -signal.SIGKILL


def test_a_killed_training_goes_on_where_it_was_and_ends_with_the_same_bits(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = ("models/scratch-photos", "plots/train_scratch_photos.csv")
    copy("undisturbed")
    set_params(train_scratch__photos__epochs=12)
    run_stage("train_scratch_photos")
    expected = content_of(*outputs)

    copy("killed, in another folder")
    set_params(train_scratch__photos__epochs=12)
    shutil.rmtree("models/scratch-photos")
    kill_training_of_photos()

    capsys.readouterr()
    run_stage("train_scratch_photos")
    said = capsys.readouterr().err
    (resumed,) = re.findall(r"resumed after epoch (\d+)/12", said)
    trained = [int(epoch) for epoch in re.findall(r"^epoch (\d+)/", said, re.MULTILINE)]
    assert int(resumed) >= 3
    assert trained == list(range(int(resumed) + 1, 13))
    assert content_of(*outputs) == expected
    assert not list(Path(".pandacat/checkpoints").iterdir())


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """Let every file end at this size, as a full disk would; the system sends EFBIG for ENOSPC."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


OUTPUTS = {
    "preprocess": ["data/photos"],
    "train_scratch_photos": ["models/scratch-photos"],
    "predict_pretrained": ["models/pretrained", "data/features"],
    "fine_tune": ["models/fine-tuned"],
}


@pytest.mark.parametrize("stage", OUTPUTS)
def test_a_full_disk_is_explained_and_the_last_good_outputs_stay(copy: Copy, stage: str) -> None:
    copy("full")
    before = content_of(*OUTPUTS[stage])
    with (
        files_no_larger_than(30_000),
        pytest.raises(SystemExit, match=r"error: .*too large\. The system"),
    ):
        run_stage(stage)
    assert content_of(*OUTPUTS[stage]) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_explained_and_the_last_good_outputs_stay(copy: Copy) -> None:
    folder = copy("read-only")
    before = content_of("data/photos")
    (folder / "data").chmod(0o500)
    try:
        with pytest.raises(SystemExit, match=r"error: .*Permission denied\. Change its"):
            run_stage("preprocess")
    finally:
        (folder / "data").chmod(0o700)
    assert content_of("data/photos") == before


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order_from_any_number_of_workers(workers: int) -> None:
    assert list(parallel.ordered_map(str, range(40), workers=workers)) == list(map(str, range(40)))


def test_one_worker_in_another_folder_gives_the_same_bits(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy("ein anderer, größerer Ordner")
    outputs = ("data/photos", "data/features", "models/pretrained", "data/predictions")
    before = content_of(*outputs)
    monkeypatch.setattr(parallel, "core_count", lambda: 1)
    run_stage("preprocess")
    run_stage("predict_pretrained")
    assert content_of(*outputs) == before


def test_each_seed_is_honored(copy: Copy) -> None:
    """Another seed, other bits; the same seed again, the same bits."""
    copy("seeds")
    set_params(fine_tune__batch_size=8)
    run_stage("fine_tune")
    cases = {
        "preprocess__seed": ("preprocess", "data/photos/index.parquet"),
        "train_scratch__photos__seed": ("train_scratch_photos", "models/scratch-photos"),
        "fine_tune__seed": ("fine_tune", "plots/fine_tune.csv"),
    }
    for key, (stage, output) in cases.items():
        first = content_of(output)
        original = Path("params.yaml").read_bytes()
        set_params(**{key: 98765})
        run_stage(stage)
        assert content_of(output) != first, key
        Path("params.yaml").write_bytes(original)
        run_stage(stage)
        assert content_of(output) == first, key


def test_the_seed_of_augmented_copies_is_honored() -> None:
    params = load_config(ROOT / "params.yaml").predict_pretrained.augmented_copies
    image = Image.effect_noise((80, 60), 90).convert("RGB")
    one, again, other = (
        augmented_copies(image, 32, params, np.random.default_rng((seed, 0))) for seed in (1, 1, 2)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_params_that_leave_a_split_empty_are_refused_before_anything_is_trained(copy: Copy) -> None:
    copy("too few")
    set_params(preprocess__validation_share=0.001)
    with pytest.raises(SystemExit, match=r"No photo of cat is left for validation.*Add others"):
        run_stage("preprocess")
