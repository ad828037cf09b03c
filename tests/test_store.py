"""Shards and the index: photos come back as they were written, and as `load_image` reads them."""

import io
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import EXAMPLES, ROOT
from PIL import Image

from pandacat.config.loading import load_config
from pandacat.data import store
from pandacat.data.crops import cut_crops
from pandacat.data.images import load_image
from pandacat.data.preprocess import preprocess
from pandacat.data.provenance import Provenance
from pandacat.data.store import PhotoFile

CONFIG = load_config(ROOT / "params.yaml")
ORIGIN = Provenance("a test", "archive", "here")


def photo(number: int) -> tuple[PhotoFile, bytes]:
    name = f"{number}.jpg"
    properties = PhotoFile(name, "cat", "0" * 64, 100, number, 90, "RGB", "0" * 32, "1" * 32)
    return properties, bytes([number]) * 100


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 100])
def test_photos_come_back_in_order_from_as_many_shards_as_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(store, "ROW_GROUP", 4)
    monkeypatch.setattr(store, "SHARD_BYTES", 800)
    photos = [photo(number) for number in range(count)]
    table = store.write_shards(tmp_path, iter(photos))
    assert list(store.iter_jpegs(tmp_path)) == [(file.name, jpeg) for file, jpeg in photos]
    assert len(list(tmp_path.iterdir())) == -(-count // 8)
    assert list(table.columns) == list(PhotoFile.__annotations__)
    assert table.to_dict("records") == [vars(file) for file, _ in photos]


def test_photos_can_be_selected_by_name(tmp_path: Path) -> None:
    store.write_shards(tmp_path, map(photo, range(10)))
    names = [name for name, _ in store.iter_jpegs(tmp_path, ["7.jpg", "2.jpg", "none.jpg"])]
    assert names == ["2.jpg", "7.jpg"]


def saved_as(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def noise(seed: int, size: tuple[int, int] = (240, 180)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@cache
def originals() -> dict[str, bytes]:
    """Return photos in various forms by name, and enough others for all splits."""
    turned = Image.Exif()
    turned[0x0112] = 6
    transparent = noise(2, (700, 500))
    transparent.putalpha(noise(3, (700, 500)).convert("L"))
    gray = np.asarray(noise(4, (500, 600)).convert("L"), np.uint16) * 257
    forms = {
        "large.jpg": saved_as(noise(0, (4000, 3000)), "JPEG", quality=97),
        "small.jpg": saved_as(noise(1, (90, 120)), "JPEG", quality=40),
        "transparent.png": saved_as(transparent, "PNG"),
        "16-bit.png": saved_as(Image.fromarray(gray), "PNG"),
        "turned.jpg": saved_as(noise(5, (900, 600)), "JPEG", exif=turned),
        "turned.webp": saved_as(noise(6, (900, 600)), "WEBP", exif=turned),
        "print.jpg": saved_as(noise(7, (600, 600)).convert("CMYK"), "JPEG"),
        "palette.gif": saved_as(noise(8, (500, 400)).quantize(64), "GIF"),
        "scan.tif": saved_as(noise(9, (500, 400)), "TIFF", compression="tiff_lzw"),
        "no-end.jpg": saved_as(noise(10, (500, 400)), "JPEG")[:-2],
        "example.jpg": (EXAMPLES / "panda/giant_panda.jpg").read_bytes(),
    }
    fillers = {f"{n:02d}.jpg": saved_as(noise(100 + n), "JPEG") for n in range(60)}
    return {
        **{f"panda/{name}": data for name, data in forms.items()},
        **{f"{('panda', 'cat')[n % 2]}/{name}": fillers[name] for n, name in enumerate(fillers)},
    }


@pytest.fixture(scope="module")
def processed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the photos of `originals` as `preprocess` leaves them."""
    folder = tmp_path_factory.mktemp("processed")
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for name, data in originals().items():
            archive.writestr(name, data)
    no_others = replace(CONFIG, other=())
    counts = preprocess(folder / "photos.zip", ORIGIN, folder / "photos", no_others, exclusions={})
    assert (counts["photos"], counts["quarantined"]) == (len(originals()), 0)
    assert counts["train"]["other"] == 0
    return folder / "photos"


@pytest.mark.parametrize("name", [name for name in originals() if not name[-6:-4].isdigit()])
def test_a_photo_has_the_same_pixels_from_the_store_as_from_its_own_bytes(
    processed: Path, name: str
) -> None:
    stored = store.load_images(processed, [name])[name]
    alone = load_image(originals()[name], CONFIG.preprocess.image_spec)
    assert stored.size == alone.size
    assert stored.tobytes() == alone.tobytes()


def test_squares_are_crops_of_the_same_pixels_with_the_labels_of_the_run(processed: Path) -> None:
    index = store.read_index(processed)
    names = index.name[index.split == "test"]
    squares = store.load_squares(processed, names, 64)
    labels = store.split_labels(index, "test", store.read_labels(processed))
    for name, square, label in zip(names, squares, labels, strict=True):
        image = load_image(originals()[name], CONFIG.preprocess.image_spec)
        assert np.array_equal(cut_crops(image, 64, "square")[0].transpose(2, 0, 1), square)
        assert store.read_labels(processed)[label] == name.split("/")[0]
