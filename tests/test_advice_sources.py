"""What messages about where photos come from advise helps, when it is obeyed to the letter."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlparse

import pytest
from test_advice_photos import CONFIG, message_of, picture, preprocessed, write_zip
from test_config import changed

from pandacat.app.inputs import open_photos, read_file
from pandacat.config.loading import parse_config
from pandacat.data.sources import fetching
from pandacat.data.sources.importing import find_archive, import_archive
from pandacat.data.sources.zip_files import open_zip
from pandacat.evaluation.field_test import read_field_test
from pandacat.report import pages


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_photos(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(sum(name.encode())))
    return folder


@pytest.mark.parametrize("named", ["photos/cat.png", "photos", "photos/*.png"])
def test_in_place_of_an_empty_path_a_photo_a_folder_or_a_pattern_is_named(named: str) -> None:
    write_photos(Path("photos"), "cat.png")
    message = message_of(lambda: open_photos([""]).__enter__())
    assert "name a photo, a folder or a pattern" in message
    with open_photos([named]) as photos:
        assert [*photos] == ["photos/cat.png"]


def test_a_file_is_given_in_place_of_a_pipe() -> None:
    os.mkfifo("pipe")
    assert message_of(lambda: read_file("pipe")) == "a named pipe: give a file"
    Path("file").write_bytes(b"a photo")
    assert read_file("file") == b"a photo"


@pytest.mark.parametrize("step", ["zip file", "folder"])
def test_an_archive_is_a_zip_or_a_folder(step: str) -> None:
    message = message_of(lambda: import_archive(Path("/dev/null"), Path("a.zip")))
    assert message == "/dev/null is neither a zip file nor a folder: give one."
    assert step in message
    if step == "folder":
        import_archive(write_photos(Path("photos"), "cat/1.png"), Path("a.zip"))
    else:
        import_archive(write_zip(Path("mine.zip"), ["cat/1.jpg"]), Path("a.zip"))
    with open_zip(Path("a.zip")) as opened:
        assert len(opened.namelist()) == 1


def test_an_empty_folder_gets_a_sub_folder_per_label() -> None:
    folder = Path("photos")
    folder.mkdir()
    message = message_of(lambda: import_archive(folder, Path("a.zip")))
    assert message.endswith("one sub-folder per label is needed.")
    write_photos(folder, *(f"{label}/1.png" for label in CONFIG.labels))
    photos = replace(CONFIG.photos, source="archive", archive="photos")
    _, index = fetching.fetch(replace(CONFIG, photos=photos), Path("a.zip"))
    assert {*index.photos.values()} == {*CONFIG.labels}


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("photos/cats.zip", "check the path"),
        ("https://example.org/photos/mine.zip", "download it, and give the file's path"),
    ],
)
def test_an_archive_is_found_when_its_path_is_checked_or_it_is_downloaded(
    given: str, advice: str
) -> None:
    Path("photos").mkdir()
    assert advice in message_of(lambda: find_archive(given, "photos.archive"))
    there = Path(urlparse(given).path.lstrip("/")).with_name("mine.zip")
    write_zip(there, [])
    assert find_archive(str(there), "photos.archive") == there


def test_an_archive_that_is_not_used_is_used_with_its_source(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_photos(Path("photos"), *(f"{label}/1.png" for label in CONFIG.labels))
    sample = replace(CONFIG.photos.sample, photos_per_class=1)
    photos = replace(CONFIG.photos, sample=sample, archive="photos")
    fetching.fetch(replace(CONFIG, photos=photos), Path("a.zip"))
    said = "photos.archive is not used: photos.source in params.yaml is sample."
    assert said in capsys.readouterr().err
    photos = replace(photos, source="archive")
    origin, _ = fetching.fetch(replace(CONFIG, photos=photos), Path("a.zip"))
    assert (origin.source, capsys.readouterr().err) == ("archive", "")


@pytest.mark.parametrize("changed_share", [{"validation_share": 0.6}, {"test_share": 0.74}])
def test_a_label_reaches_all_splits_with_another_share(
    tmp_path: Path, changed_share: dict[str, float]
) -> None:
    photos = {"panda/same": 8, "panda/more": 3, "cat": 12}
    shares = {"validation_share": 0.15, "test_share": 0.15, "min_photos_per_label": 5, "seed": 2}
    message = message_of(lambda: preprocessed(tmp_path, photos, **shares))
    assert message.startswith("No photo of panda is left for validation:")
    (name,) = changed_share
    assert f"preprocess.{name}" in message
    assert preprocessed(tmp_path, photos, **shares | changed_share)["photos"] == 23


def test_a_label_that_a_split_of_the_archive_lacks_is_split_at_random(tmp_path: Path) -> None:
    photos = {"train/panda": 8, "train/cat": 8, "val/cat": 5, "test/cat": 5, "test/panda": 5}
    given = {"min_photos_per_label": 5, "split": "archive"}
    message = message_of(lambda: preprocessed(tmp_path, photos, **given))
    assert message.startswith("No photo of panda is left for validation:")
    assert "change preprocess.split" in message
    assert preprocessed(tmp_path, photos, **given | {"split": "random"})["photos"] == 31


@pytest.mark.parametrize("step", ["add others", "set it to null"])
def test_a_field_test_gets_photos_of_each_label_or_is_left_out(tmp_path: Path, step: str) -> None:
    preprocessed(tmp_path, {"panda": 8, "cat": 8}, min_photos_per_label=5)
    folder = write_photos(Path("field"), *(f"{label}/1.png" for label in CONFIG.labels))
    whole = (folder / "panda/1.png").read_bytes()
    (folder / "panda/1.png").write_bytes(b"damaged")

    def read() -> int:
        return len(read_field_test(folder, CONFIG, photo_folder=tmp_path / "photos"))

    message = message_of(read)
    assert message.startswith("evaluate.field_test, field: no photo of panda is left")
    assert step in message
    if step == "add others":
        (folder / "panda/2.png").write_bytes(whole)
        assert read() == len(CONFIG.labels)
    else:
        assert parse_config(changed("evaluate.field_test", None)).evaluate.field_test is None


@pytest.mark.parametrize("name", ["figures/samples", "audit/label_issues"])
def test_a_missing_picture_is_drawn_by_the_stage_that_is_told(
    name: str,
) -> None:
    def dvc(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True)

    dvc("init", "--no-scm")
    for stage in ("audit", "plots"):
        folder = {"audit": "audit", "plots": "figures"}[stage]
        draw = f"mkdir -p plots/{folder} && touch plots/{folder}/{Path(name).name}.png"
        with Path("dvc.yaml").open("a") as stream:
            stream.write("stages:\n" * (stage == "audit"))
            stream.write(f"  {stage}: {{cmd: '{draw}', outs: [plots/{folder}]}}\n")
    dvc("repro", "--quiet")
    place = Path(f"plots/{name}.png")
    place.parent.chmod(0o755)
    place.unlink()
    message = message_of(lambda: pages._picture(name))
    dvc(*re.findall("`dvc ([^`]+)`", message)[0].split())
    assert pages._picture(name) == place
