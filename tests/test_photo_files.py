"""Which files count as photos, and in which split: one rule for training and for prediction."""

import csv
import io
import re
import shutil
import unicodedata
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from PIL import Image

from pandacat.app.inputs import open_photos
from pandacat.config.loading import load_config
from pandacat.core.errors import PandacatError
from pandacat.data import store
from pandacat.data.preprocess import preprocess
from pandacat.data.provenance import Provenance
from pandacat.data.sources import fetching
from pandacat.data.sources.archive import index_archive
from pandacat.data.sources.importing import find_archive, import_archive
from pandacat.data.sources.photo_files import is_hidden, split_of_folder
from pandacat.data.splits import whole_groups

CONFIG = load_config(ROOT / "params.yaml")
ORIGIN = Provenance("a test", "archive", "here")
LABELS = {"cat": "cat", "panda": "panda"}


def picture(seed: int = 0, form: str = "PNG") -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    stream = io.BytesIO()
    image = Image.fromarray(coarse).resize((96, 80), Image.Resampling.BICUBIC)
    image.save(stream, form)
    return stream.getvalue()


BY_ENDING = ("2.JPE", "film.heic", "x.jpg.", "3.jp2", "4.tga", "5.pgm", "6.apng", "7.dib", "8.pnm")
PHOTOS = {
    "1.jpg": b"damaged",
    **dict.fromkeys(BY_ENDING, b""),
    "images_q=tbn_ANd9Gc": picture(form="JPEG"),
    "a.jpg.download": picture(form="JPEG"),
    "photo.jpg.1": picture(form="WEBP"),
    "avatar.jpg?size=large": picture(form="GIF"),
    "scan": picture(form="TIFF"),
    "gray": picture(form="PPM"),
    "new": picture(form="AVIF"),
    "packed.7z": picture(form="JPEG"),
    "packed.tar.gz": picture(form="PNG"),
    "packed.zip": picture(form="JPEG"),
    "deep/er/9": picture(),
}
OTHERS = {
    "film.mp4": b"\0\0\0\x18ftypisom",
    "data.bin": bytes(90),
    "BMW": b"BMW and others",
    "empty": b"",
    "LICENSE.rar": b"",
}
DOCUMENTS = dict.fromkeys(("README", "LICENSES.md", "labels.csv", "deep/notes.TXT"), b"text")
SYSTEM = {
    name: picture()
    for name in (
        *("._1.jpg", "@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "$RECYCLE.BIN/1.jpg", "Thumbs.db"),
        *(".thumbnails/1.jpg", "__MACOSX/1.jpg", ".Trash-1000/files/1.jpg", ".cache/1.png"),
        *("#recycle/1.jpg", "System Volume Information/1.jpg", "lost+found/1.jpg"),
        *("Network Trash Folder/1.jpg", "Temporary Items/1.jpg", "FOUND.000/1.jpg"),
        *("resource.frk/1.jpg", "_vti_cnf/1.jpg", "LOST.DIR/1.jpg", "1.jpg_original"),
        *("9.png~", "MVI_1.THM", "Previews.lrdata/1.jpg", "1.jpg:Zone.Identifier"),
    )
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of photos of a cat and a panda, among other files."""
    for name, content in (PHOTOS | OTHERS | DOCUMENTS | SYSTEM).items():
        for label in LABELS:
            path = tmp_path / "photos" / label / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return tmp_path / "photos"


def test_prediction_and_training_read_the_same_files_of_folders_and_zips(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = {f"{label}/{name}" for label in LABELS for name in PHOTOS}
    with open_photos([str(folder)]) as photos:
        assert {Path(name).relative_to(folder).as_posix() for name in photos} == expected
    assert "no photos that can be read: 10 (" in capsys.readouterr().err
    hidden = import_archive(folder, tmp_path / "photos.zip")
    assert {*hidden} == {f"{label}/{name}" for label in LABELS for name in SYSTEM}
    index = index_archive(tmp_path / "photos.zip", LABELS)
    assert set(index.photos) == expected
    ignored = index.counts()["ignored"]
    assert [ignored[kind] for kind in ("not_photos", "nested_archives", "documents")] == [8, 2, 8]
    with open_photos([str(tmp_path / "photos.zip")]) as photos:
        assert {name.partition(".zip/")[2] for name in photos} == expected
    assert "no photos that can be read: 10 (" in capsys.readouterr().err


def test_a_folder_and_a_zip_of_it_have_the_same_counts(folder: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "all"), "zip", folder)
    counted = []
    for archive in (folder, tmp_path / "all.zip"):
        photos = replace(CONFIG.photos, source="archive", archive=str(archive))
        _, index = fetching.fetch(replace(CONFIG, photos=photos), tmp_path / "fetched.zip")
        counted.append(index.counts())
    assert counted[0] == counted[1]
    assert counted[0]["ignored"]["hidden"] == len(LABELS) * len(SYSTEM)


@pytest.mark.parametrize(
    "name", ["found.jpg", "FOUND.jpg", "the_original.jpg", "cat_original", "original", "~1.jpg"]
)
def test_names_that_only_resemble_those_of_systems_count(name: str) -> None:
    assert not is_hidden(name)


def test_documents_beside_photos_are_not_worth_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("1.jpg", "README.md"):
        (tmp_path / name).touch()
    with open_photos([str(tmp_path)]) as photos:
        assert list(photos) == [str(tmp_path / "1.jpg")]
    assert capsys.readouterr().err == ""


def test_prediction_follows_links_once(folder: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "cats").symlink_to(folder / "cat")
    (linked / "loop").symlink_to(linked)
    (linked / "1.jpg").symlink_to(folder / "cat/1.jpg")
    with open_photos([str(linked)]) as photos:
        assert set(photos) == {
            str(linked / "1.jpg"),
            *(str(linked / "cats" / name) for name in PHOTOS),
        }


@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_a_path_is_found_however_its_accents_are_composed(tmp_path: Path, written: str) -> None:
    given = {form: unicodedata.normalize(form, "größe/é.jpg") for form in ("NFC", "NFD")}
    path = tmp_path / given.pop(written)
    path.parent.mkdir()
    path.touch()
    (other,) = given.values()
    assert find_archive(str(tmp_path / other), "photos.archive") == path
    with open_photos([str(tmp_path / other)]) as photos:
        assert list(photos) == [str(path)]


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        *(("train", "train"), ("training_set", "train"), ("seg_train", "train")),
        *(
            ("val", "validation"),
            ("valid", "validation"),
            ("test", "test"),
            ("test-images", "test"),
        ),
        *(("trainers", None), ("contest", None), ("train and test", None), ("cats", None)),
    ],
)
def test_folders_for_splits_are_known_by_their_words(folder: str, split: str | None) -> None:
    assert split_of_folder(folder) == split


def preprocessed(
    tmp_path: Path,
    files: Mapping[str, bytes],
    exclusions: Mapping[str, str],
    split: Literal["random", "archive"] = "random",
) -> pd.DataFrame:
    """Return the index of the photos of cats and pandas in a zip of these files."""
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    params = replace(CONFIG.preprocess, split=split, min_photos_per_label=5)
    config = replace(CONFIG, preprocess=params)
    preprocess(archive, ORIGIN, tmp_path / "photos", config, exclusions=exclusions)
    return store.read_index(tmp_path / "photos")


def in_splits(**counts: int) -> dict[str, bytes]:
    """Return so many photos of each label in folders of these names."""
    names = [
        f"{split}/{label}/{number}.png"
        for split, count in counts.items()
        for number in range(count)
        for label in LABELS
    ]
    return {name: picture(seed) for seed, name in enumerate(names)}


def test_an_archives_own_split_is_told_and_kept_if_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = in_splits(train=20, val=4, test=5)
    index = preprocessed(tmp_path, files, {})
    said = capsys.readouterr().err
    assert "has folders for test, train, validation, whose photos are split anew" in said
    assert set(index.split[index.name.str.startswith("test/")]) > {"train"}
    assert "set preprocess.split to archive" in said
    index = preprocessed(tmp_path, files, {}, split="archive")
    assert index.split.tolist() == [
        {"train": "train", "val": "validation", "test": "test"}[name.split("/")[0]]
        for name in index.name
    ]


def test_a_validation_split_that_the_archive_lacks_is_taken_from_its_training_photos(
    tmp_path: Path,
) -> None:
    index = preprocessed(tmp_path, in_splits(train=20, test=5), {}, split="archive")
    own = index.name.str.split("/").str[0]
    assert set(index.split[own == "test"]) == {"test"}
    assert (index.split[own == "train"] == "validation").sum() == 8
    assert (index.split == "test").sum() == 10


def test_a_copy_of_a_test_photo_is_no_training_photo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = in_splits(train=20, test=5)
    files["train/cat/copy.png"] = files["test/cat/0.png"]
    files["cat/without a split.png"] = picture(1000)
    index = preprocessed(tmp_path, files, {}, split="archive").set_index("name")
    assert index.split["train/cat/copy.png"] == "test"
    assert index.split["cat/without a split.png"] in ("train", "validation")
    assert "which are moved there: 1" in capsys.readouterr().err


def test_groups_are_whole_in_the_split_that_is_held_out_most() -> None:
    given = pd.Series(["train", "validation", "test", "train", None, "validation"])
    groups = np.array([0, 0, 0, 1, 2, 2])
    assert whole_groups(groups, given).tolist() == [*["test"] * 3, "train", *["validation"] * 2]


def test_an_archive_without_a_split_cannot_keep_it(tmp_path: Path) -> None:
    with pytest.raises(PandacatError, match=r"split is archive, but .* set it to random"):
        preprocessed(tmp_path, in_splits(a=20), {}, split="archive")


def test_exclusions_match_however_their_accents_are_composed(tmp_path: Path) -> None:
    one, another = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    odd = {f"cat/{another}.png": picture(101), "=1/cat/1.png": picture(102)}
    files = in_splits(a=20) | odd
    excluded = {f"cat/{one}.png": "no cat", "=1/cat/1.png": "none, either"}
    index = preprocessed(tmp_path, files, excluded)
    assert len(index) == 40
    quarantine = pd.read_csv(tmp_path / "photos/quarantine.csv")
    assert quarantine.name.tolist() == ["./=1/cat/1.png", f"cat/{one}.png"]


def test_photos_that_cannot_be_read_are_told_and_excluded_ones_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = {f"cat/damaged {number}.jpg": b"no photo" for number in range(4)}
    preprocessed(tmp_path, in_splits(a=20) | damaged, {"a/cat/0.png": "blurred\r"})
    said = capsys.readouterr().err
    assert "Excluded photos: 1 of 44\n" in said
    unreadable = r"4 of 44 photos can't be read: cat/damaged 0\.jpg \(not an image .*, …;"
    assert re.search(unreadable, said)
    table = Path(re.findall(r"; (\S+) lists all\.", said)[0])
    with table.open(newline="") as stream:
        rows = [*csv.reader(stream)]
    assert rows[1] == ["a/cat/0.png", "cat", "excluded: blurred\r"]
    assert [row[0] for row in rows[2:]] == sorted(damaged)


def test_when_all_photos_are_read_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preprocessed(tmp_path, in_splits(a=20), {})
    assert capsys.readouterr().err == ""
