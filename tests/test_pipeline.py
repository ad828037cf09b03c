"""The stages, one after the other, on a small drawn data set."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import PROBABILITY_COLUMNS, ROOT, run_stage, write_params

from pandacat.core.tables import read_table
from pandacat.data import store
from pandacat.data.features import read_features
from pandacat.evaluation.headline import field_test_fingerprint
from pandacat.evaluation.networks import NETWORKS
from pandacat.models.loading import load_classifier
from pandacat.models.saved import load_model

PROBABILITIES = PROBABILITY_COLUMNS
LABELS = ("panda", "cat", "other")


def metrics(workspace: Path, name: str) -> dict[str, Any]:
    return json.loads((workspace / "metrics" / f"{name}.json").read_text())


def test_preprocess_uses_every_drawn_image_and_splits_each_label(workspace: Path) -> None:
    counts = metrics(workspace, "preprocess")
    assert (counts["photos"], counts["quarantined"]) == (35, 1)
    for split in ("train", "validation", "test"):
        assert all(counts[split][label] >= 1 for label in LABELS)


def test_an_excluded_photo_is_quarantined_with_the_reason(workspace: Path) -> None:
    (left_out,) = pd.read_csv(workspace / "data/photos/quarantine.csv").itertuples(index=False)
    assert tuple(left_out) == ("cat/cat-0001.jpg", "cat", "excluded: a test")
    assert "cat/cat-0001.jpg" not in store.read_index(workspace / "data/photos").name.tolist()


def test_the_audit_of_the_drawn_sample_warns_of_nothing(workspace: Path) -> None:
    assert metrics(workspace, "audit")["warnings"] == 0
    assert "No measured property" in (workspace / "reports/audit.md").read_text()


def test_shards_hold_the_photos_of_the_index_in_its_order(workspace: Path) -> None:
    index = store.read_index(workspace / "data/photos")
    names = [name for name, _ in store.iter_jpegs(workspace / "data/photos")]
    assert names == index.name.tolist()


def test_a_photo_has_the_shorter_side_that_was_asked_for(workspace: Path) -> None:
    from pandacat.data.images import decode_jpeg

    for _, jpeg in store.iter_jpegs(workspace / "data/photos"):
        assert min(decode_jpeg(jpeg).size) == 200


def test_features_belong_to_the_pretrained_backbone(workspace: Path) -> None:
    kept = read_features(workspace / "data/features")
    classifier = load_classifier("pretrained", models=workspace / "models")
    assert kept.backbone_key == classifier.backbone_key
    assert kept.centers.shape == (35, 1280)
    assert np.isfinite(kept.centers).all()


def test_features_are_those_of_the_photos_themselves(workspace: Path) -> None:
    from pandacat.data.images import decode_jpeg

    kept = read_features(workspace / "data/features")
    classifier = load_classifier("pretrained", models=workspace / "models")
    for row, (_, jpeg) in enumerate(store.iter_jpegs(workspace / "data/photos")):
        again = classifier.features(classifier.cut(decode_jpeg(jpeg)))
        np.testing.assert_allclose(again, kept.centers[[row]], atol=1e-5)


def test_the_fine_tuned_network_starts_from_the_pretrained_one_and_gets_no_worse(
    workspace: Path,
) -> None:
    figures = metrics(workspace, "fine_tune")
    assert figures["best"]["validation_loss"] <= figures["start"]["validation_loss"]


def test_the_fine_tuned_network_keeps_the_trunk_and_its_1000_classes(workspace: Path) -> None:
    before, after = (load_model(workspace / "models" / n) for n in ("pretrained", "fine-tuned"))
    assert after.tensors["head.weight"].shape == (1000, 1280)
    assert not np.array_equal(after.tensors["head.weight"], before.tensors["head.weight"])
    for name in before.tensors:
        if name.startswith("backbone."):
            np.testing.assert_array_equal(after.tensors[name], before.tensors[name])


def test_a_model_says_what_it_was_trained_on(workspace: Path) -> None:
    fingerprint = store.dataset_fingerprint(store.read_index(workspace / "data/photos"))
    for name in ("scratch-photos", "tuned-threshold", "linear-probe", "fine-tuned"):
        about = load_model(workspace / "models" / name).description
        assert (about.trained_on, about.drawn) == (fingerprint, True)
    about = load_model(workspace / "models/pretrained").description
    assert (about.trained_on, about.drawn) == ("ImageNet", False)


def test_a_tuned_threshold_is_all_that_sets_its_network_apart(workspace: Path) -> None:
    before, after, fine_tuned = (
        load_model(workspace / "models" / name)
        for name in ("pretrained", "tuned-threshold", "fine-tuned")
    )
    for name, values in before.tensors.items():
        assert np.array_equal(values, after.tensors[name]) == (name != "head.bias")
    assert after.description.crops == fine_tuned.description.crops


@pytest.mark.parametrize("table", ["test", "field_test"])
def test_every_network_judges_the_same_photos(workspace: Path, table: str) -> None:
    judged = read_table(workspace / f"data/predictions/{table}.csv")
    paths = judged.groupby("network").path.apply(list)
    assert set(paths.index) == set(NETWORKS)
    assert paths.map(tuple).nunique() == 1
    np.testing.assert_allclose(judged[PROBABILITIES].sum(axis=1), 1, atol=1e-5)


def test_evaluation_uses_the_test_split_alone(workspace: Path) -> None:
    index = store.read_index(workspace / "data/photos")
    judged = read_table(workspace / "data/predictions/test.csv")
    assert set(judged.path) == set(index.name[index.split == "test"])


def test_figures_agree_with_the_predictions(workspace: Path) -> None:
    judged = read_table(workspace / "data/predictions/test.csv")
    for name, table in judged.groupby("network"):
        verdicts = table[PROBABILITIES].to_numpy().argmax(axis=1)
        right = (verdicts == table.label.map(LABELS.index)).mean()
        figure = metrics(workspace, "evaluate")["test"][name]["accuracy"]
        assert figure["value"] == pytest.approx(right)
        assert figure["low"] <= figure["value"] <= figure["high"]


def test_trust_is_measured_besides_accuracy(workspace: Path) -> None:
    for photos in ("test", "field_test"):
        for figures in metrics(workspace, "evaluate")[photos].values():
            assert 0 <= figures["calibration_error"] <= 1
            assert 0 <= figures["open_set"]["false_positive_rate"]["value"] <= 1
    elsewhere = metrics(workspace, "evaluate")["field_test"]
    assert elsewhere["pretrained"]["open_set"]["auroc"]["value"] == 1


def test_the_gate_gets_the_photos_of_the_field_test(workspace: Path) -> None:
    predictions = read_table(workspace / "metrics/test_predictions.csv")
    field_test = read_table(workspace / "data/predictions/field_test.csv")
    assert set(predictions.path[predictions.split == "field_test"]) == set(field_test.path)
    assert set(predictions.path[predictions.split == "test"]).isdisjoint(field_test.path)
    kept = metrics(workspace, "headline")
    assert kept["data"]["field_test"] == field_test_fingerprint(field_test)
    assert set(kept["field_test"]) == set(NETWORKS)


def test_the_untouched_network_knows_real_photos(workspace: Path) -> None:
    judged = read_table(workspace / "data/predictions/field_test.csv")
    known = judged[judged.network == "pretrained"]
    verdicts = [LABELS[k] for k in known[PROBABILITIES].to_numpy().argmax(axis=1)]
    assert verdicts == known.label.tolist()


def test_a_second_run_gives_the_same_bits(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from conftest import run_stage

    monkeypatch.chdir(workspace)
    outputs = [
        Path("data/photos/index.parquet"),
        Path("data/photos/shard-0000.parquet"),
        Path("data/features/centers.npy"),
        Path("data/features/copies.npy"),
        Path("data/features/validation_crops.npy"),
        Path("data/features/test_crops.npy"),
        Path("models/fine-tuned/weights.safetensors"),
        Path("models/fine-tuned/model.json"),
    ]
    before = [output.read_bytes() for output in outputs]
    for stage in ("preprocess", "predict_pretrained", "fine_tune"):
        run_stage(stage)
    assert [output.read_bytes() for output in outputs] == before


def test_predictions_have_a_row_per_photo_and_network(workspace: Path) -> None:
    judged = pd.read_csv(workspace / "data/predictions/test.csv")
    assert not judged.duplicated(["path", "network"]).any()


def test_dvc_leaves_a_zip_alone_that_a_user_keeps_where_the_pipeline_keeps_its_own(
    tmp_path: Path, workspace: Path, small_params: dict[str, Any]
) -> None:
    for part in ("dvc.yaml", "requirements.txt", "stages", "src"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    own = "data/raw/photos.zip"
    (tmp_path / "data/raw").mkdir(parents=True)
    shutil.copy(workspace / own, tmp_path / own)
    photos = {**small_params["photos"], "source": "archive", "archive": own}
    write_params(tmp_path, {**small_params, "photos": photos})

    def dvc(*arguments: str) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        command = [sys.executable, "-m", "dvc", *arguments]
        subprocess.run(command, cwd=tmp_path, env={**os.environ, "PATH": path}, check=True)

    dvc("init", "--no-scm", "--quiet")
    dvc("repro", "--single-item", "fetch_photos")
    assert (tmp_path / own).read_bytes() == (workspace / own).read_bytes()


def test_where_too_few_photos_can_be_used_the_reasons_are_counted(
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    small_params: dict[str, dict[str, object]],
) -> None:
    shutil.copytree(workspace / "data", tmp_path / "data")
    smaller = small_params["preprocess"] | {"max_megapixels": 0.0001}
    write_params(tmp_path, small_params | {"preprocess": smaller})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_stage("preprocess")
    assert (
        "Only 0 of 12 photos of panda can be used, and 5 are needed (12: more than 0.0001"
        in str(ended.value)
    )


def test_an_exclusion_that_matches_no_photo_is_reported(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(workspace / "data", tmp_path / "data")
    shutil.copy(workspace / "params.yaml", tmp_path)
    (tmp_path / "data/exclusions.csv").write_text("path,reason\ncat/typo.jpg,a test\n")
    monkeypatch.chdir(tmp_path)
    run_stage("preprocess")
    message = "Exclusions that match no photo of this archive (expected if they belong to another"
    assert f"{message} one): cat/typo.jpg\n" in capsys.readouterr().err
