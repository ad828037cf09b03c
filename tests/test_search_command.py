"""`pandacat search` on stored features: what it learns from, says and queues: the extra search."""

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
from conftest import ROOT
from filelock import FileLock
from small_heads import with_head

pytest.importorskip("optuna", reason="the extra search is not installed: make extra-search")

from pandacat.app import search as command
from pandacat.app.cli import main
from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import write_json
from pandacat.data import features as stored
from pandacat.data import provenance, store
from pandacat.data.provenance import Provenance
from pandacat.models.saved import load_model, save_model
from pandacat.training import search
from pandacat.training.photo_dataset import photo_features

LABELS = ("panda", "cat", "other")
WIDTH = 16
ROWS = {"panda": 388, "cat": 281, "other": 200}
"""The ImageNet class that a photo looks like."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with features of photos, which come in pairs, and the head that they are for."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("params.yaml", "dvc.yaml"):
            shutil.copy(ROOT / name, name)
        write_features()
    return folder


def write_features() -> None:
    rng = np.random.default_rng(0)
    splits = ["train"] * 24 + ["validation"] * 8 + ["test"] * 8
    index = pd.DataFrame({"label": np.repeat(LABELS, len(splits)), "split": splits * len(LABELS)})
    index["sha256"] = [f"{number:064x}" for number in index.index]
    index["group"] = index.index // 2
    paths.PHOTOS.mkdir(parents=True)
    store.write_index(paths.PHOTOS, index, LABELS)
    provenance.write(paths.PHOTOS / "provenance.json", Provenance("Noise", "sample", "tests"))

    weight = rng.normal(0, 0.3, (1000, WIDTH))
    centers = weight[index.label.map(ROWS)] + rng.normal(0, 0.5, (len(index), WIDTH))
    centers = centers.astype(np.float32)
    paths.FEATURES.mkdir(parents=True)
    np.save(paths.FEATURES / stored.CENTERS, centers)
    np.save(paths.FEATURES / stored.COPIES, centers[index.split == "train", None])
    for split, name in stored.CROPS.items():
        np.save(paths.FEATURES / name, centers[index.split == split, None])
    write_json(paths.FEATURES / stored.ORIGIN, {"crops": "center", "backbone_key": ""})
    save_model(paths.MODELS / "pretrained", with_head(weight))


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project; the current folder. Settings are tried in a moment."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    folder = tmp_path / "project"
    shutil.copytree(template, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setitem(search.SPACE, "steps", search.Range(1, 8))
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(re.sub("steps: 100 ", "steps: 2 ", text))
    return folder


def run(*arguments: str) -> int:
    return main(["search", "--trials", "3", "--folds", "4", *arguments])


def test_groups_stay_whole_and_each_photo_is_held_out_once(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = photo_features(paths.PHOTOS, stored.read_features(paths.FEATURES))
    groups = np.arange(len(dataset.train)) // 2
    seen = []

    def keep(model, part, params):
        seen.append((params, part))
        return model, None

    monkeypatch.setattr(search, "fine_tune", keep)
    params = load_config().fine_tune
    model = load_model(paths.MODELS / "pretrained")
    loss = search.fold_losses(model, dataset, groups, params, 4)
    losses = [loss({"l2_sp": 0.5}, fold) for fold in range(4)]

    assert {used for used, _ in seen} == {replace(params, l2_sp=0.5)}
    rows = {row.tobytes(): number for number, row in enumerate(dataset.train.inputs[:, 0].numpy())}
    held_out = []
    for _, part in seen:
        assert part.validation is dataset.validation
        trained = {rows[row.tobytes()] for row in part.train.inputs[:, 0].numpy()}
        held_out.append({*rows.values()} - trained)
        assert {groups[row] for row in held_out[-1]}.isdisjoint(groups[row] for row in trained)
    assert sorted(row for fold in held_out for row in fold) == sorted(rows.values())
    expected = model_losses(dataset, model)
    assert losses == pytest.approx([expected[[*fold]].mean() for fold in held_out], rel=1e-4)


def model_losses(dataset, model) -> np.ndarray:
    """Return the log loss of the center crop of each training photo."""
    logits = dataset.train.inputs[:, 0].numpy() @ model.tensors["head.weight"].T
    values = np.exp(logits - logits.max(axis=1, keepdims=True))
    classes = model.description.label_classes
    labels = np.stack([values[:, list(each)].sum(axis=1) for each in classes], axis=1)
    total = values.sum(axis=1)
    own = np.concatenate([labels, (total - labels.sum(axis=1))[:, None]], axis=1) / total[:, None]
    return -np.log(own[np.arange(len(own)), dataset.train.classes.numpy()])


def test_it_prints_the_best_and_goes_on_where_it_was(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    first = capsys.readouterr().out
    assert "3 trials" in first
    assert "are optimistic, as the lowest of many" in first
    assert first.count("\ndvc exp run --name search-") == 3
    assert run() == 0
    assert capsys.readouterr().out == first
    assert run("--trials", "4") == 0
    assert "4 trials" in capsys.readouterr().out


def test_stopped_by_ctrl_c_it_says_how_to_go_on(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_trial = search.Search.run_trial

    def stop_after_two(self: search.Search) -> None:
        if len(self.results()) == 2:
            raise KeyboardInterrupt
        run_trial(self)

    with monkeypatch.context() as patch:
        patch.setattr(search.Search, "run_trial", stop_after_two)
        assert run() == 130
    assert "2 of 3 trials are done; the same command goes on." in capsys.readouterr().err
    assert run() == 0


def test_the_best_are_queued_as_experiments(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def shell(*words: str) -> str:
        return subprocess.check_output(words, text=True)

    shell("git", "init", "--quiet")
    shell(sys.executable, "-m", "dvc", "init", "--quiet")
    Path("dvc.yaml").write_text("stages: {tune: {cmd: 'true', params: [fine_tune]}}\n")
    shell("git", "add", "params.yaml", "dvc.yaml", ".dvc")
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    shell("git", *who, "commit", "--quiet", "--message", "start")
    assert run("--queue", "2") == 0
    output = capfd.readouterr().out
    commands = [shlex.split(line) for line in output.splitlines() if line.startswith("dvc exp")]
    names = [each[each.index("--name") + 1] for each in commands]
    assert len(names) == 2
    queue = shell(sys.executable, "-m", "dvc", "queue", "status")
    assert all(name in queue for name in names)
    assert "`dvc queue start` runs them." in output


def test_settings_that_are_printed_are_valid(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dvc.utils.hydra import apply_overrides

    assert run() == 0
    (line, *_) = re.findall("^dvc exp run .*", capsys.readouterr().out, re.MULTILINE)
    words = shlex.split(line)
    values = [words[place + 1] for place, word in enumerate(words) if word == "-S"]
    assert len(values) == len(search.SPACE)
    apply_overrides(Path("params.yaml"), values)
    assert load_config().fine_tune.strategy == "head"


def test_another_strategy_than_head_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("strategy: head", "strategy: everything"))
    assert run() == 1
    message = "fine_tune.strategy is everything, and a search needs head"
    assert message in capsys.readouterr().err
    Path("params.yaml").write_text(text)
    assert run() == 0


def test_two_searches_at_once_are_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.STUDIES.parent.mkdir()
    with FileLock(f"{command.STUDIES}.lock"):
        assert run() == 1
    assert "Another `pandacat search` is at work here: wait until" in capsys.readouterr().err
    assert run() == 0


def test_folds_are_two_or_more(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run("--folds", "1")
    assert "'1' is not a whole number from 2 up" in capsys.readouterr().err
    assert run("--folds", "2") == 0
