"""Copies of a photo, changed as copies are, never sit on both sides of a split."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance, ImageOps

from pandacat.config.loading import load_config
from pandacat.config.schema import AuditParams
from pandacat.data import store
from pandacat.data.preprocess import preprocess
from pandacat.data.provenance import Provenance
from pandacat.evaluation.audit import audit
from pandacat.report.templating import render

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").rglob("*.jpg"))
ORIGIN = Provenance("copies", "archive", "a test", "1", "none", drawn=False, sha256="0" * 64)
UNRELATED = 25
CONFIG = load_config(ROOT / "params.yaml")
LABELS = CONFIG.label_names


def smaller(image: Image.Image) -> Image.Image:
    return image.resize((image.width * 2 // 3, image.height * 2 // 3), Image.Resampling.BILINEAR)


COPIES = {
    "same": lambda image: image,
    "mirrored": ImageOps.mirror,
    "smaller": smaller,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "grayer": lambda image: ImageEnhance.Color(image).enhance(0.3),
    "mirrored and smaller": lambda image: smaller(ImageOps.mirror(image)),
}


def as_jpeg(image: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def unrelated_photo(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((240, 180), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unrelated photos of each label; the examples with their copies, the last under a wrong label.

    Copies are saved at a quality of 50, the examples came at higher ones.
    """
    folder = tmp_path_factory.mktemp("leaks")
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for place, label in enumerate(LABELS):
            for number in range(UNRELATED):
                noise = unrelated_photo(1000 * place + number)
                archive.writestr(f"{label}/{number:03d}.jpg", as_jpeg(noise, 80))
        for place, example in enumerate(EXAMPLES):
            label, wrong = LABELS[place % 3], LABELS[(place + 1) % 3]
            archive.writestr(f"{label}/{example.stem}.jpg", example.read_bytes())
            with Image.open(example) as image:
                for name, change in COPIES.items():
                    under = wrong if name == "mirrored and smaller" else label
                    copy = as_jpeg(change(image.convert("RGB")), 50)
                    archive.writestr(f"{under}/{example.stem}, {name}.jpg", copy)
    preprocess(folder / "photos.zip", ORIGIN, folder / "photos", CONFIG, exclusions={})
    return folder


@pytest.fixture(scope="module")
def index(folder: Path) -> pd.DataFrame:
    photos = store.read_index(folder / "photos")
    return photos.assign(original=photos.name.str.extract(r"/([^,]+?)(?:,.*)?\.jpg")[0])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_copy_is_in_the_group_and_the_split_of_its_original(
    index: pd.DataFrame, example: Path
) -> None:
    copies = index[index.original == example.stem]
    assert len(copies) == 1 + len(COPIES)
    assert copies.group.nunique() == 1
    assert copies.split.nunique() == 1


def test_unrelated_photos_have_groups_of_their_own(index: pd.DataFrame) -> None:
    unrelated = index[~index.original.isin([example.stem for example in EXAMPLES])]
    assert len(unrelated) == 3 * UNRELATED
    assert not index.group[index.group.duplicated(keep=False)].isin(unrelated.group).any()


def test_no_group_is_divided_between_splits(index: pd.DataFrame) -> None:
    assert (index.groupby("group").split.nunique() == 1).all()
    assert set(index.split) == {"train", "validation", "test"}


def test_each_original_whose_copy_has_another_label_is_reported(
    folder: Path, index: pd.DataFrame
) -> None:
    result = audit(
        folder / "photos.zip",
        folder / "photos",
        ORIGIN,
        np.random.default_rng(0).normal(size=(len(index), 8)),
        AuditParams(label_issues_shown=5, seed=0),
        input_px=64,
    )
    assert result.metrics()["duplicate_groups_with_several_labels"] == len(EXAMPLES)
    assert result.metrics()["photos_in_duplicate_groups"] == len(EXAMPLES) * (1 + len(COPIES))
    page = render("audit.md", audit=result, title="copies")
    for example in EXAMPLES:
        assert f"{example.stem}, mirrored and smaller.jpg" in page
