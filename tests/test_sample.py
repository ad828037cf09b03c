import hashlib
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drawn_animals import draw
from drawn_animals.render import hair_tiles
from pandacat.config.photos import SampleParams
from pandacat.data.sources.sample import shot_of, write_archive
from pandacat.labels import LABELS, Label


def opened(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    image.load()
    return image


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "photos.zip"
    write_archive(path, SampleParams(photos_per_class=3, seed=5), workers=1)
    return path


def test_archive_holds_as_many_pictures_of_each_class_as_asked_for(archive: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        names = zipped.namelist()
    assert names == sorted(f"{label}/{label}-{n:04d}.jpg" for label in LABELS for n in (1, 2, 3))


def test_every_picture_is_a_jpeg_in_color_of_200_to_420_px_a_side(archive: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        pictures = [opened(zipped.read(name)) for name in zipped.namelist()]
    for picture in pictures:
        assert (picture.format, picture.mode) == ("JPEG", "RGB")
        assert 200 <= min(picture.size) <= max(picture.size) <= 420
        assert np.asarray(picture).std() > 10


def test_archive_has_the_same_bytes_with_any_number_of_workers(
    archive: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.zip"
    write_archive(again, SampleParams(photos_per_class=3, seed=5), workers=2)
    assert again.read_bytes() == archive.read_bytes()


def test_a_picture_does_not_depend_on_how_many_there_are(archive: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        assert zipped.read("cat/cat-0002.jpg") == draw("cat", 5, 2)


def test_another_seed_or_number_draws_another_picture() -> None:
    assert len({draw("panda", 5, 1), draw("panda", 5, 2), draw("panda", 6, 1)}) == 3


def test_last_bits_of_numpys_functions_do_not_change_a_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On another processor NumPy has other code for them."""
    pictures: tuple[tuple[Label, int], ...] = (("panda", 1), ("cat", 1), ("cat", 6), ("other", 2))
    expected = [draw(label, 5, number) for label, number in pictures]
    hair_tiles.cache_clear()
    for name in ("arctan2", "cos", "exp", "log", "power", "sin"):
        monkeypatch.setattr(np, name, _a_few_bits_off(getattr(np, name)))
    monkeypatch.setattr(np.linalg, "inv", _a_few_bits_off(np.linalg.inv))

    assert [draw(label, 5, number) for label, number in pictures] == expected


def _a_few_bits_off(function: Callable[..., Any]) -> Callable[..., Any]:
    def off(*operands: Any) -> Any:
        result = function(*operands)
        return result * (1 + 64 * np.finfo(result.dtype).eps)

    return off


def test_another_linear_algebra_library_does_not_change_a_picture() -> None:
    """OpenBLAS has one for each kind of processor; that of old ones works on all newer."""
    code = (
        "import hashlib; from pandacat.sources.drawing import draw; "
        "print(hashlib.sha256(draw('panda', 2026, 1)).hexdigest())"
    )
    environment = {**os.environ, "OPENBLAS_CORETYPE": "Prescott"}
    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)

    assert printed.strip() == hashlib.sha256(draw("panda", 2026, 1)).hexdigest()


def test_size_and_compression_say_nothing_about_the_label(archive: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        for number in (1, 2, 3):
            names = [f"{label}/{label}-{number:04d}.jpg" for label in LABELS]
            pictures = [opened(zipped.read(name)) for name in names]
            assert len({picture.size for picture in pictures}) == 1
            tables = [picture.quantization for picture in pictures]  # type: ignore[attr-defined]
            assert all(table == tables[0] for table in tables)


def test_the_name_tells_which_pictures_share_a_shot(archive: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        shots = [shot_of(name) for name in zipped.namelist()]
        sizes = {(shot_of(name), opened(zipped.read(name)).size) for name in zipped.namelist()}
    assert sorted(shots) == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert len(sizes) == 3


def test_nothing_is_left_when_the_archive_cannot_be_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(OSError, match="No space"):
        write_archive(tmp_path / "photos.zip", SampleParams(photos_per_class=1, seed=5), workers=1)
    assert list(tmp_path.iterdir()) == []
