import ast
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

import drawn_animals
from drawn_animals import KINDS, draw, species
from drawn_animals.hair import hair_tiles
from pandacat.config.photos import SampleParams
from pandacat.core.errors import PandacatError
from pandacat.data.sources import sample
from pandacat.data.sources.sample import drawn_kinds, shot_of, write_archive

LABELS = ("cat", "other", "panda")
NAMES = {"panda": ("panda",), "cat": ("cat",)}


def opened(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    image.load()
    return image


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "photos.zip"
    write_archive(path, SampleParams(photos_per_class=3, seed=5), NAMES)
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
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "again.zip"
    monkeypatch.setattr(sample, "core_count", lambda: 1)
    write_archive(again, SampleParams(photos_per_class=3, seed=5), NAMES)
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
    pictures = (("panda", 1), ("cat", 1), ("cat", 6), ("other", 2))
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
        "import hashlib; from drawn_animals import draw; "
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


def test_pictures_whose_names_end_in_one_number_share_a_shot(archive: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        shots = [shot_of(name) for name in zipped.namelist()]
        sizes = {(shot_of(name), opened(zipped.read(name)).size) for name in zipped.namelist()}
    assert sorted(shots) == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert len(sizes) == 3


def test_any_kind_can_be_a_label_and_lies_in_its_first_folder(tmp_path: Path) -> None:
    labels = {"fox": ("Red_Foxes", "foxes"), "wildlife": ("dogs", "zebra"), "owl": ()}
    write_archive(tmp_path / "photos.zip", SampleParams(photos_per_class=1, seed=5), labels)

    with zipfile.ZipFile(tmp_path / "photos.zip") as zipped:
        pictures = {name: zipped.read(name) for name in zipped.namelist()}
    assert pictures == {
        "Red_Foxes/fox-0001.jpg": draw("fox", 5, 1),
        "other/other-0001.jpg": draw("other", 5, 1, exclude=("fox", "dog", "owl")),
        "owl/owl-0001.jpg": draw("owl", 5, 1),
        "dogs/wildlife-0001.jpg": draw("dog", 5, 1),
    }
    assert list(pictures) == sorted(pictures, key=lambda name: name.rpartition("/")[2])
    assert {shot_of(name) for name in pictures} == {1}


@pytest.mark.parametrize(
    ("label", "names", "kind"),
    [
        ("panda", ("giant_panda",), "panda"),
        ("bears", ("Giant Pandas",), "bear"),
        ("ailuropoda", ("Giant  Pandas",), "panda"),
        ("ailurus", ("Ailurus", "RED_PANDAS"), "red panda"),
        ("sheep", (), "sheep"),
        ("poultry", ("hens", "ducks", "owls"), "duck"),
    ],
)
def test_a_label_is_drawn_as_the_first_of_its_names_that_is_a_kind(
    label: str, names: tuple[str, ...], kind: str
) -> None:
    assert drawn_kinds({label: names}) == {label: kind}


def test_a_label_that_cannot_be_drawn_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(PandacatError, match="can't draw tortoise") as refused:
        write_archive(
            tmp_path / "photos.zip",
            SampleParams(photos_per_class=1, seed=5),
            {"cat": ("cat",), "tortoise": ("tortoise", "turtles")},
        )
    assert all(kind in str(refused.value) for kind in KINDS)
    assert "set photos.source in params.yaml to kaggle or archive" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_two_labels_that_would_be_drawn_alike_are_refused() -> None:
    with pytest.raises(PandacatError, match="would draw tabby as cat, like another label"):
        drawn_kinds({"cat": ("cat",), "tabby": ("cats",)})


def species_drawn(kind: str, exclude: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the names of all species that are drawn for a kind."""
    drawn: set[str] = set()
    for name in species.SPECIES:
        monkeypatch.setitem(species.SPECIES, name, lambda *_, name=name: drawn.add(name))
    rng = np.random.default_rng(0)
    for _ in range(1000):
        species.species_of(kind, exclude)(rng, 0.0)
    return drawn


def test_other_shows_every_species_that_is_not_excluded(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = set(species.SPECIES)
    birds = {"penguin", "owl", "duck", "songbird"}
    assert species_drawn("other", (), monkeypatch) == everything - {"panda", "cat"}
    assert species_drawn("other", ("dog", "cat"), monkeypatch) == everything - {"dog", "cat"}
    assert species_drawn("other", ("bird",), monkeypatch) == everything - birds
    assert species_drawn("other", ("owl",), monkeypatch) == everything - {"owl"}
    assert species_drawn("bird", ("dog",), monkeypatch) == birds
    assert species_drawn("red panda", (), monkeypatch) == {"red panda"}


def test_other_excludes_panda_and_cat_by_default() -> None:
    for number in (2, 3):
        assert draw("other", 5, number) == draw("other", 5, number, exclude=("cat", "panda"))


def test_every_kind_has_pictures_of_its_own_in_a_shared_shot() -> None:
    pictures = [draw(kind, 5, 3) for kind in (*KINDS, "other")]
    assert len(set(pictures)) == len(pictures)
    assert len({opened(picture).size for picture in pictures}) == 1


def test_what_cannot_be_drawn_is_an_error_that_names_the_kinds() -> None:
    for kind, exclude in (("unicorn", ()), ("other", ("unicorn",))):
        with pytest.raises(ValueError, match=r"'unicorn'; there are panda, cat, .* bird"):
            draw(kind, 5, 1, exclude=exclude)
    with pytest.raises(ValueError, match="none is left for other"):
        draw("other", 5, 1, exclude=KINDS)


def test_drawing_needs_numpy_and_pillow_alone() -> None:
    imported = set()
    for path in Path(drawn_animals.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "drawn_animals").partition(".")[0])
    assert imported - sys.stdlib_module_names == {"drawn_animals", "numpy", "PIL"}


def test_nothing_is_left_when_the_archive_cannot_be_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(OSError, match="No space"):
        write_archive(tmp_path / "photos.zip", SampleParams(photos_per_class=1, seed=5), NAMES)
    assert list(tmp_path.iterdir()) == []
