"""The whole pipeline on other labels: one, two and three, one of them unknown to ImageNet."""

import csv
import json
import re
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from conftest import copy_exported_files, write_digits, write_params
from dvc_stages import declared_stages, run_stage

from pandacat.core.files import write_json
from pandacat.models.saved import load_model

FOX = {"folders": ["fox"], "imagenet": ["red fox", "kit fox", "Arctic fox", "grey fox"]}
DOG = {"folders": ["dog", "dogs"], "imagenet": ["151-268"]}
CAT = {"folders": ["cat", "cats"], "imagenet": ["tabby", "tiger cat", "Persian cat"]}
RACCOON = {"folders": ["raccoon"], "imagenet": []}

NAMED_LABELS = {
    "one": {"fox": FOX},
    "two": {"dog": DOG, "cat": CAT},
    "three": {"cat": CAT, "fox": FOX, "raccoon": RACCOON},
}


@pytest.fixture(scope="module", params=NAMED_LABELS)
def run(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    small_params: dict[str, Any],
) -> tuple[dict[str, Any], Path]:
    """The labels, and a folder in which all stages have run with them."""
    labels = NAMED_LABELS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    fewer = {key: value for key, value in small_params.items() if key not in ("labels", "other")}
    fewer["evaluate"] = small_params["evaluate"] | {"field_test": None}
    fewer["photos"] = small_params["photos"] | {"sample": {"photos_per_class": 10, "seed": 1}}
    fewer["robustness"] = small_params["robustness"] | {"severities": [1]}
    if request.param != "three":  # for the network finds little here, so that most take tiles
        tiling = small_params["fine_tune"]["tiling"] | {"other_animals": 0}
        fewer["fine_tune"] = small_params["fine_tune"] | {"tiling": tiling}
    write_params(folder, {"labels": labels, "other": ["other"], **fewer})
    write_digits(folder / "data/mnist")
    (folder / "data/exclusions.csv").write_text("path,reason\n")
    copy_exported_files(folder)
    with chdir(folder):
        for name, stage in declared_stages().items():
            if name == "export" and request.param != "three":  # it takes long
                write_json(Path("metrics/export.json"), {"int8": {}, "megabytes": {}})
            elif name != "fetch_mnist":
                run_stage(*stage.command)
    return labels, folder


def test_all_stages_follow_the_labels(run: tuple[dict[str, Any], Path]) -> None:
    labels, folder = run
    names = [*labels, "other"]
    with (folder / "data/predictions/test.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [name for name in rows[0] if name.startswith("p_")] == [f"p_{name}" for name in names]
    assert {row["label"] for row in rows} == set(names)
    assert list(load_model(folder / "models/fine-tuned").description.labels) == names
    for page in ("reports/report.html", "reports/model_card.md", "reports/audit.md"):
        text = re.sub('base64,[^"]*', "", (folder / page).read_text()).lower()
        assert all(name in text for name in labels)
        assert "panda" not in text.replace("pandacat", "")


def test_metrics_of_a_pair_are_there_with_two_labels_only(
    run: tuple[dict[str, Any], Path],
) -> None:
    labels, folder = run
    networks = json.loads((folder / "metrics/headline.json").read_text())["test"]
    for metrics in networks.values():
        assert "accuracy" in metrics
        assert ("two_class_accuracy" in metrics) == ("roc_auc" in metrics) == (len(labels) == 2)


def test_a_label_that_imagenet_lacks_has_a_row_of_its_own(
    run: tuple[dict[str, Any], Path],
) -> None:
    labels, folder = run
    missing = sum(not label["imagenet"] for label in labels.values())
    for name in ("pretrained", "linear-probe", "fine-tuned"):
        model = load_model(folder / "models" / name)
        assert len(model.tensors["head.weight"]) == 1000 + missing
