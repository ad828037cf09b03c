"""`pandacat score`: each photo once, and the same bytes however often it was stopped."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
import tracemalloc
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import EXAMPLES, ROOT
from fake_classifier import Description, Fake
from filelock import FileLock

from pandacat.app import score
from pandacat.app.blocks import schema_of, write_blocks
from pandacat.app.cli import main
from pandacat.core.errors import PandacatError
from pandacat.core.files import read_json
from pandacat.models.portable import portable

BLOCK = 4


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten files called photos, the last of which can't be read; the current folder is above."""
    monkeypatch.chdir(tmp_path)
    make_photos(10)
    use(monkeypatch, Fake())
    monkeypatch.setattr(score, "BLOCK_PHOTOS", BLOCK)
    return tmp_path


def make_photos(count: int) -> None:
    Path("photos").mkdir()
    for number in range(count):
        data = b"" if number == count - 1 else f"photo {number}".encode()
        Path(f"photos/{number:02d}.jpg").write_bytes(data)


def use(monkeypatch: pytest.MonkeyPatch, classifier: Fake) -> None:
    monkeypatch.setattr(score, "load", lambda _: ("fake", classifier))


def run(*arguments: str, to: str = "scores") -> int:
    return main(["score", *(arguments or ["photos"]), "--to", to])


def files(folder: str = "scores") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def rows(folder: str = "scores") -> list[dict]:
    """Return the rows of all blocks, as a program reads them that is given the folder."""
    return pq.read_table(folder).to_pylist()


def test_the_scores_are_the_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(score, "BLOCK_PHOTOS", BLOCK)
    shutil.copytree(EXAMPLES, "photos")
    Path("photos/bad.jpg").write_bytes(b"no picture")
    with zipfile.ZipFile("zoo.zip", "w") as packed:
        packed.write("photos/cat/kitten.jpg", "inside/kitten.jpg")
    arguments = ["photos", "zoo.zip", "--model", "pretrained"]

    assert main(["predict", *arguments, "-o", "predictions.json"]) == 1
    assert main(["score", *arguments, "--to", "scores"]) == 1

    expected = json.loads(Path("predictions.json").read_bytes())
    found = rows()
    assert len(found) == len(expected) == 13
    for row, prediction in zip(found, expected, strict=True):
        label = prediction["label"]
        assert row["label"] == (None if label == "unreadable" else label)
        others = prediction.keys() - {"label"}
        assert {key: row[key] for key in others} == {key: prediction[key] for key in others}
    for row in found[:-1]:
        assert row["sha256"] == hashlib.sha256(Path(row["path"]).read_bytes()).hexdigest()
    manifest = read_json(Path("scores/_manifest.json"))
    assert manifest["sources"] == {"photos": f"{tmp_path}/photos", "zoo.zip": f"{tmp_path}/zoo.zip"}
    assert manifest["model"]["labels"] == ["panda", "cat", "other"]
    assert len(manifest["model"]["sha256"]) == 64


def test_columns_and_what_is_null(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos/gone.jpg").symlink_to("nowhere.jpg")
    assert run() == 1
    first, *_, empty, gone = rows()
    assert [*first] == [
        *("path", "label", "p_panda", "p_other", "prediction_set"),
        *("sha256", "reason", "notes"),
    ]
    assert first["prediction_set"] == ["panda"]
    assert first["reason"] is None
    assert {row["notes"] == ["odd"] for row in rows()[:9]} == {True, False}
    assert empty == dict.fromkeys(first) | {
        "path": "photos/09.jpg",
        "sha256": hashlib.sha256(b"").hexdigest(),
        "reason": "empty",
        "notes": [],
    }
    assert (gone["sha256"], gone["label"]) == (None, None)
    assert "No such file" in gone["reason"]
    assert capsys.readouterr().err.endswith("2 of 11 files could not be read.\n")


def test_blocks_are_of_one_size_and_numbered(folder: Path) -> None:
    run()
    blocks = sorted(Path("scores").glob("*.parquet"))
    assert [path.name for path in blocks] == [f"block-00000{number}.parquet" for number in range(3)]
    assert [pq.read_metadata(path).num_rows for path in blocks] == [4, 4, 2]


def test_stopped_after_any_photo_the_same_command_gives_the_same_bytes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(to="undisturbed") == 1
    for photos in range(10):
        use(monkeypatch, Fake(stops_after=photos))
        capsys.readouterr()
        assert run(to=f"stopped-{photos}") == 130
        scored = photos // BLOCK * BLOCK
        said = f"{scored} of 10 photos are scored; the same command scores the rest."
        assert capsys.readouterr().err == f"{said}\n"
        assert len(list(Path(f"stopped-{photos}").glob("*.parquet"))) == photos // BLOCK
        use(monkeypatch, Fake(stops_after=10 - scored))
        assert run(to=f"stopped-{photos}") == 1
        assert files(f"stopped-{photos}") == files("undisturbed")


KILLS = """
import os, signal
from pathlib import Path
import pandas, pyarrow.dataset  # or each process would load them
from fake_classifier import Fake
from pandacat.app import score
from pandacat.app.cli import main

renames, rename = [], Path.replace

def start(to, number=0, when=""):
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def replace(path, target):
        renames.append(target)
        if (len(renames), when) == (number, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        rename(path, target)
        if (len(renames), when) == (number, "after"):
            os.kill(os.getpid(), signal.SIGKILL)

    Path.replace = replace
    os._exit(main(["score", "photos", "--to", to]))

score.BLOCK_PHOTOS, score.load = 4, lambda _: ("fake", Fake())
for number in (1, 2, 3, 4):
    for when in ("before", "after"):
        to = f"killed-{when}-{number}"
        fates = start(to, number, when), len([*Path(to).glob(".*.part")]), start(to, 2, "before")
        print(*fates, flush=True)  # or each process that is forked would print it again
        start(to)
"""


def test_killed_before_and_after_each_rename_it_gives_the_same_bytes(folder: Path) -> None:
    """Renames are of the manifest and of three blocks; it is killed once more on the way."""
    run(to="undisturbed")
    environment = os.environ | {"PYTHONPATH": f"{ROOT}/src:{ROOT}/tests"}
    command = [sys.executable, "-c", KILLS]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    again = [-9] * 5 + [1] * 3  # fewer than two blocks are left of the last
    left = [1, 0] * 4
    wanted = [f"-9 {part} {code}" for part, code in zip(left, again, strict=True)]
    assert said.stdout.splitlines() == wanted
    killed = list(Path().glob("killed-*"))
    assert len(killed) == 8
    for folder_of_scores in killed:
        assert files(str(folder_of_scores)) == files("undisturbed")


def test_what_is_finished_is_not_read_again(folder: Path) -> None:
    run()
    before = files()
    shutil.rmtree("photos")
    make_photos(10)
    Path("photos/00.jpg").write_bytes(b"changed")
    assert run() == 1
    assert files() == before


def test_a_photo_that_came_meanwhile_has_a_row_and_none_has_two(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, Fake(stops_after=6))
    run()
    Path("photos/00a.jpg").write_bytes(b"new")
    Path("photos/01.jpg").unlink()
    use(monkeypatch, Fake())
    assert run() == 1
    Path("photos/zz.jpg").write_bytes(b"last")
    assert run() == 1
    numbers = [*range(4), "00a", *range(4, 10), "zz"]
    names = [n if isinstance(n, str) else f"{n:02d}" for n in numbers]
    assert [row["path"] for row in rows()] == [f"photos/{name}.jpg" for name in names]


def test_a_block_that_was_removed_comes_back_alike(folder: Path) -> None:
    run()
    before = files()
    Path("scores/block-000001.parquet").unlink()
    run()
    assert files() == before


def test_a_damaged_block_is_scored_again_when_it_is_removed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    before = files()
    block = Path("scores/block-000001.parquet")
    block.write_bytes(before[block.name][:-10])
    capsys.readouterr()
    assert run() == 1
    advice = f"pandacat: {block} is damaged: remove it; the same command scores its photos again."
    assert capsys.readouterr().err == f"{advice}\n"
    block.unlink()
    run()
    assert files() == before


@pytest.mark.parametrize(
    ("change", "other"),
    [
        ("sha256", "model"),
        ("temperature", "model"),
        ("damage", "model"),
        ("photos", "source"),
        ("./photos", "source"),
        ("block size", "version of pandacat"),
    ],
)
def test_scores_of_two_models_or_sources_are_not_mixed(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: str,
    other: str,
) -> None:
    Path("elsewhere").mkdir()
    shutil.copytree("photos", "elsewhere/photos")
    run()
    arguments = ["photos"]
    if change == "sha256":
        use(monkeypatch, Fake(sha256="b" * 64))
    elif change == "temperature":
        use(monkeypatch, Fake(description=Description(2.0)))
    elif change == "damage":
        Path("scores/_manifest.json").write_text("[")
    elif change == "photos":  # called alike, and elsewhere
        monkeypatch.chdir("elsewhere")
    elif change == "./photos":
        arguments = ["./photos"]
    else:
        monkeypatch.setattr(score, "BLOCK_PHOTOS", 3)
    before = files(f"{folder}/scores")
    capsys.readouterr()

    assert run(*arguments, to=f"{folder}/scores") == 2

    message = capsys.readouterr().err
    assert f"scores holds the scores of another {other}, as its _manifest.json says" in message
    assert message.endswith(": give the name of a new folder.\n")
    assert files(f"{folder}/scores") == before
    assert run(*arguments, to="new") == 1


def test_two_do_not_write_to_one_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run()
    Path("scores/block-000001.parquet").unlink()
    before = files()
    capsys.readouterr()
    with FileLock("scores/.lock"):
        assert run() == 1
        assert capsys.readouterr().err == (
            "pandacat: Another `pandacat score` is writing to scores: wait until it ends, or stop "
            "it.\n"
        )
        assert files() == before
    run()
    assert len(rows()) == 10


def test_names_that_are_not_utf8_have_escapes_and_one_row(folder: Path) -> None:
    odd = os.fsdecode(b"photos/caf\xe9.jpg")
    Path(odd).write_bytes(b"odd")
    assert run() == 1
    assert rows()[-1]["path"] == "photos/caf\\udce9.jpg"
    before = files()
    assert run() == 1
    assert files() == before
    Path("photos/caf\\udce9.jpg").write_bytes(b"looks like it")
    assert run() == 1
    assert len(rows()) == 12
    shutil.copytree("photos", odd_folder := os.fsdecode(b"\xe9"))
    assert run(odd_folder, to="others") == 1
    assert len(rows("others")) == 12


@pytest.mark.parametrize("source", ["empty", "nowhere", "gs://bucket/photos", "-"])
def test_without_photos_nothing_is_begun(
    folder: Path, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    Path("empty").mkdir()
    assert run(source) == 1
    message = capsys.readouterr().err
    if source == "empty":
        assert "No photos in empty: name the folder they are in" in message
    else:
        assert f"There is no folder or zip {source}: check the name. Photos that are" in message
        assert message.endswith("must be copied to this machine first.\n")
    assert not Path("scores").exists()
    shutil.copytree("photos", copied := "copied-to-this-machine")
    assert run(copied) == 1
    assert len(rows()) == 10


def test_the_extra_that_object_storage_needs_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("botocore", "botocore.config", "botocore.session"):
        monkeypatch.setitem(sys.modules, module, None)
    assert run("s3://bucket/photos") == 1
    message = capsys.readouterr().err
    assert "s3://bucket/photos needs the extra s3: `make extra-s3` installs it" in message
    assert "`pip install '.[s3]'`" in message
    assert "botocore" in (ROOT / "extras/s3.lock").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert any("botocore" in each for each in extras["optional-dependencies"]["s3"])
    assert not Path("scores").exists()


def test_what_a_cluster_needs_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run("photos", "--ray", "local") == 1
    message = capsys.readouterr().err
    assert "The package ray is not installed: `make extra-ray` installs it" in message
    assert "`pip install '.[ray]'`" in message
    assert run("photos", "--ray", "local", "--device", "cuda") == 1
    assert "--ray computes on CPUs: leave out --device" in capsys.readouterr().err
    assert not Path("scores").exists()


def test_a_model_whose_files_are_gone_does_not_travel(tmp_path: Path) -> None:
    downloaded: Any = SimpleNamespace(model=SimpleNamespace(exported=tmp_path / "gone.xml"))
    with pytest.raises(PandacatError, match="`mlflow artifacts download` gives its folder"):
        portable(downloaded)


ON_ANY_CORE = """
import os, threading
import numpy as np
from pandacat.models.openvino_engine import compile_model, compute_in_one_thread, openvino

compute_in_one_thread()
from openvino import Model, opset13
images = opset13.parameter([-1, 8, 8, 3], np.uint8)
means = opset13.reduce_mean(opset13.convert(images, "f32"), np.array([1, 2]), keep_dims=False)
compiled = compile_model(Model([means], [images], "means"), "float32")
work = threading.Thread(target=compiled.run, args=[np.zeros((20_000, 8, 8, 3), np.uint8)])
work.start()
while work.is_alive():
    for task in os.listdir("/proc/self/task"):
        assert os.sched_getaffinity(int(task)) == os.sched_getaffinity(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, no thread is tied to a core")
def test_processes_of_one_thread_each_do_not_share_a_core() -> None:
    subprocess.run([sys.executable, "-c", ON_ANY_CORE], check=True)


def test_a_folder_or_file_of_other_things_is_not_written_to(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(to="photos") == 1
    assert "--to photos holds files; give the name of a new folder" in capsys.readouterr().err
    assert run(to="photos/00.jpg") == 1
    assert "--to photos/00.jpg is a file; give the name of a folder" in capsys.readouterr().err
    Path("empty").mkdir()
    assert run(to="empty") == 1
    assert len(rows("empty")) == 10


def test_what_was_done_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos/09.jpg").unlink()
    assert run() == 0
    assert "scores has the scores of 9 photos: 9 scored now, " in capsys.readouterr().err
    assert run() == 0
    assert "9 photos: 0 scored now" in capsys.readouterr().err
    assert run("photos", "-q") == 0
    assert capsys.readouterr().err == ""


def test_a_place_for_the_scores_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["score", "photos"])
    assert "the following arguments are required: --to" in capsys.readouterr().err


def test_a_model_that_was_built_just_now_is_the_one_that_is_cached(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = iter([Fake(sha256=""), Fake(), Fake()])
    monkeypatch.setattr(score, "load", lambda _: ("pretrained", next(loaded)))
    assert run() == run() == 1


def test_memory_does_not_grow_with_the_number_of_photos(tmp_path: Path) -> None:
    class Streaming(Fake):
        def predict_many(self, items, *, workers=None):
            return (self.predict_photo(*item) for item in items)

    streaming: Any = Streaming()

    def peak(count: int) -> int:
        photos = ((f"{number:09d}.jpg", lambda: bytes(1000)) for number in range(count))
        scored = score.score_photos(streaming, photos)
        schema = schema_of(Fake().labels)
        tracemalloc.start()
        blocks = write_blocks(tmp_path / f"{count}", scored, schema, size=500, used=())
        assert sum(map(len, blocks)) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(500)
    assert peak(10_000) < 1.1 * peak(1_000)
