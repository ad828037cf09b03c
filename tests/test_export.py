"""Exported models: files that run without PyTorch, and give the same probabilities."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import EXAMPLES, ROOT
from PIL import Image

from pandacat.app.cli import main
from pandacat.config.loading import default_config
from pandacat.core.errors import PandacatError
from pandacat.data.images import load_image
from pandacat.evaluation.export_checks import (
    LARGEST_DIFFERENCE,
    all_crops,
    by_classifier,
    parity,
    reduced,
)
from pandacat.models.classifier import Classifier
from pandacat.models.exporting import ProbabilityNetwork, export_onnx, export_openvino
from pandacat.models.loading import imagenet_model, load_classifier
from pandacat.models.pretrained import restore
from pandacat.models.saved import OpenSetScore, Tiling, load_model, save_model
from pandacat.training.calibration import keep_neighbors

PHOTOS = [
    EXAMPLES / "panda/giant_panda.jpg",
    EXAMPLES / "cat/kitten.jpg",
    EXAMPLES / "other/cow.jpg",
]


def crops(classifier: Classifier) -> list[np.ndarray]:
    spec = classifier.image_spec
    return [classifier.cut(load_image(photo.read_bytes(), spec)) for photo in PHOTOS]


@pytest.fixture(scope="module")
def folder(workspace: Path) -> Path:
    """What the stage `export` wrote."""
    return workspace / "models/exported"


def test_the_stage_writes_all_forms_and_says_how_they_agree(workspace, folder):
    metrics = json.loads((workspace / "metrics/export.json").read_text())
    for form in ("openvino", "onnxruntime", "onnx_in_openvino"):
        assert metrics[form]["largest_difference"] <= LARGEST_DIFFERENCE
        assert metrics[form]["labels_kept"] == 1
    assert metrics["int8"]["labels_kept"] > 0.8
    assert metrics["megabytes"]["int8/backbone.bin"] < 4 < metrics["megabytes"]["backbone.bin"]
    assert json.loads((folder / "card.json").read_text())["figures"]
    exact, int8 = load_model(folder).description, load_model(folder / "int8").description
    assert int8.temperature != exact.temperature


def test_the_sample_program_needs_three_packages_and_gives_the_golden_probabilities(folder):
    forbidden = dict.fromkeys(["pandacat", "torch", "openvino", "pandas", "scipy"])
    code = (
        f"import sys; sys.modules |= {forbidden}\n"
        f"import runpy; sys.argv = ['sample.py']; runpy.run_path({str(folder / 'sample.py')!r}, "
        "run_name='__main__')"
    )
    lines = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    found = [
        {name: float(value) for name, value in re.findall(r"'(\w+)': ([\d.e-]+)", line)}
        for line in lines[::2]
    ]
    golden = json.loads((folder / "golden/probabilities.json").read_text())
    for ours, expected in zip(found, golden.values(), strict=True):
        assert ours == pytest.approx(expected, abs=1e-5)


def test_the_sample_program_refuses_what_it_would_read_wrongly(folder, tmp_path):
    deep, clear = tmp_path / "deep.png", tmp_path / "clear.png"
    Image.fromarray(np.full((300, 300), 9999, np.uint16)).save(deep)
    Image.new("RGBA", (300, 300)).save(clear)
    for photo in (deep, clear):
        command = [sys.executable, folder / "sample.py", photo]
        ended = subprocess.run(command, capture_output=True, text=True)
        assert ended.returncode == 1
        assert ended.stderr == (
            f"{photo}: this sample reads gray and color of 8 bits, without transparency.\n"
        )


def test_the_sample_program_starts_no_other_program(folder, tmp_path):
    eps = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "cat.jpg").write_text(eps)
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexit 1\n")
    (tmp_path / "gs").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [sys.executable, folder / "sample.py", tmp_path / "cat.jpg"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.stderr == f"{tmp_path}/cat.jpg: this sample reads JPEG, PNG, WEBP, BMP.\n"
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("shape", ["wide.jpg", "tall.png", "small.png"])
@pytest.mark.parametrize("scheme", ["square", "center", "two_scales"])
def test_the_crops_of_the_sample_program_are_ours(folder, tmp_path, monkeypatch, shape, scheme):
    size = {"wide.jpg": (700, 450), "tall.png": (401, 640), "small.png": (150, 100)}[shape]
    noise = np.random.default_rng(1).integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
    Image.fromarray(noise).resize(size).save(tmp_path / shape)
    model = load_model(folder)
    classifier = Classifier(model.described(crops=scheme))
    sample: dict = {"__file__": str(folder / "sample.py"), "__name__": "sample"}
    exec((folder / "sample.py").read_text(), sample)
    photo = sample["pixels"](tmp_path / shape)
    image = load_image((tmp_path / shape).read_bytes(), classifier.image_spec)
    assert np.array_equal(sample["crops"](photo, scheme), classifier.cut(image))
    assert np.array_equal(sample["crops"](photo, "tiles"), classifier.cut_tiles(image))


def test_the_same_model_gives_the_same_bytes_and_no_path(workspace, folder, tmp_path, monkeypatch):
    """Also where the cache has no conversion of the backbone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    model = load_model(workspace / "models/fine-tuned")
    export_openvino(model, tmp_path / "again")
    export_onnx(model, tmp_path / "again/model.onnx")
    for file in (tmp_path / "again").iterdir():
        written = file.read_bytes()
        assert written == (folder / file.name).read_bytes(), file.name
        assert not {
            str(part).encode()
            for part in (tmp_path, ROOT, workspace)
            if str(part).encode() in written
        }


def test_onnx_takes_the_crops_of_any_number_of_photos(folder):
    import onnxruntime

    classifier = load_classifier(str(folder), models=Path("models"))
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    photos = crops(classifier)
    for count in (1, 2, 3):
        together = np.stack(photos[:count])
        (values,) = session.run(None, {"crops": together})
        expected = [classifier.probabilities(classifier.features(own)) for own in photos[:count]]
        assert np.abs(values - expected).max() <= LARGEST_DIFFERENCE


def test_an_export_that_disagrees_is_refused(exported):
    classifier = Classifier(load_model(exported))
    photos = crops(classifier)
    right = by_classifier(classifier)

    def wrong(images):
        return right(images)[::-1]

    parity(photos, right, {"right": right})
    with pytest.raises(PandacatError, match="The export onnx gives other probabilities"):
        parity(photos, right, {"right": right, "onnx": wrong})


@pytest.mark.parametrize("tiles", [False, True])
def test_several_crops_are_pooled_in_the_file_as_here(exported, tiles):
    model = imagenet_model(default_config()).described(crops="two_scales", temperature=0.7)
    network = restore(model.description.backbone, model.tensors)
    bank = np.random.default_rng(0).random((30, 1280), np.float32)
    score = OpenSetScore(10, 9.0, -4.0)
    model = model.described(open_set=score, tiling=Tiling(0.6, OpenSetScore(10, 18.0, -5.0)))
    model = keep_neighbors(model, bank, 20)
    whole = ProbabilityNetwork(network, model).eval()
    classifier = Classifier(replace(model, exported=load_model(exported).exported))
    image = Image.open(PHOTOS[0]).convert("RGB")
    photos = crops(classifier)
    if tiles:
        photos = [all_crops(classifier, each) for each in (image, reduced(image))]
    with torch.inference_mode():
        together = whole(torch.from_numpy(np.stack(photos)))
    if tiles:
        doubtful = [classifier.is_doubtful(classifier.features(own)[:12]) for own in photos]
        assert {*map(bool, doubtful)} == {True, False}
    expected = [classifier.probabilities(classifier.features(own)) for own in photos]
    assert np.abs(together.numpy() - expected).max() <= LARGEST_DIFFERENCE


def test_a_damaged_backbone_is_told(exported, tmp_path, capsys):
    for path in exported.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "backbone.xml").write_text("<net>")
    assert main(["predict", str(PHOTOS[0]), "--model", str(tmp_path)]) == 1
    assert "backbone.xml can't be used" in capsys.readouterr().err
    (tmp_path / "backbone.bin").unlink()
    assert main(["predict", str(PHOTOS[0]), "--model", str(tmp_path)]) == 1
    assert "lacks backbone.bin" in capsys.readouterr().err


def test_a_file_of_a_model_stands_for_the_model(exported, capsys):
    outputs = []
    for name in (exported, exported / "backbone.xml"):
        assert main(["predict", *map(str, PHOTOS), "--model", str(name)]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_an_exported_model_runs_on_the_cpu(exported, monkeypatch, capsys):
    monkeypatch.setattr("pandacat.app.predict._require_gpu", lambda: None)
    predict = ["predict", str(PHOTOS[0]), "--model", str(exported), "--device"]
    assert main([*predict, "cuda"]) == 1
    assert "use --device cpu" in capsys.readouterr().err
    assert main([*predict, "cpu"]) == 0


@pytest.mark.parametrize("name", ["a#b", "a%20b"])
def test_no_model_is_packed_where_mlflow_would_not_find_it(tmp_path, capsys, name):
    assert main(["package", str(tmp_path / name)]) == 1
    assert "choose another place" in capsys.readouterr().err


def test_mlflow_loads_an_exported_model_from_a_folder(exported, tmp_path, capsys, monkeypatch):
    import mlflow

    packed = tmp_path / "my $5 packed"
    package = ["package", str(packed), "--model"]
    plain, golden = tmp_path / "plain", tmp_path / "exported/golden"
    save_model(plain, imagenet_model(default_config()))
    assert main([*package, str(plain)]) == 1
    assert "name the folder of one that was" in capsys.readouterr().err
    shutil.copytree(exported, golden.parent)
    assert main([*package, str(golden.parent)]) == 1
    assert "golden has no photo" in capsys.readouterr().err
    golden.mkdir()
    shutil.copy(PHOTOS[0], golden)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(golden.parent, "models/exported/int8")
    shutil.move("models/exported/int8/golden", "models/exported")
    assert main([*package, "exported/int8"]) == 0
    assert (packed / "code/pandacat/__init__.py").is_file()
    (line,) = capsys.readouterr().err.splitlines()
    (command,) = re.findall("`(.*)`", line)
    model = mlflow.pyfunc.load_model(shlex.split(command)[4])
    photos = [*(photo.read_bytes() for photo in PHOTOS), b"no photo"]
    *read, unreadable = model.predict(pd.DataFrame({"photo": photos})).to_dict("records")
    classifier = load_classifier(str(exported), models=Path("models"))
    for row, photo in zip(read, PHOTOS, strict=True):
        expected = classifier.predict(photo)
        assert row["label"] == expected.label
        assert {name: row[f"p_{name}"] for name in classifier.labels} == expected.probabilities
    assert unreadable["reason"]
    assert unreadable["label"] is unreadable["p_cat"] is None  # which JSON has, unlike NaN


def test_explanations_are_written_one_for_each_photo(exported, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    long = f"{'猫' * 60}/{'大' * 70}.jpg"
    for name in ("a/cat.jpg", "a_cat.jpg", "b/cat.png", long):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(PHOTOS[1].read_bytes())
    Path("b/damaged.jpg").write_bytes(b"no photo")
    predict = ["predict", ".", "b/damaged.jpg", "--model", str(exported), "--explain"]
    assert main([*predict, "why"]) == 1
    assert "Wrote 4 pictures to why." in capsys.readouterr().err
    assert sorted(path.name for path in Path("why").iterdir()) == [
        *("a_cat.jpg", "a_cat_2.jpg", "b_cat.jpg", f"{'大' * 66}.jpg")
    ]
    assert (
        Image.open("why/b_cat.jpg").size
        == load_image(PHOTOS[1].read_bytes(), default_config().preprocess.image_spec).size
    )
    for folder, message in (
        ("why", "holds files"),
        ("a_cat.jpg", "is a file"),
        (".", "holds files"),
    ):
        assert main([*predict, folder]) == 1
        assert message in capsys.readouterr().err
    assert len([*Path("why").iterdir()]) == 4
