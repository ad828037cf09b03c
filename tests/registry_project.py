"""A project with a registry of models that see nothing but how red, green and blue a photo is."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from torch import Tensor, nn

from pandacat.app.cli import main
from pandacat.config.loading import default_config
from pandacat.core import paths
from pandacat.data import store
from pandacat.data.images import perceptual_hash
from pandacat.data.store import PhotoFile
from pandacat.models.openvino_engine import convert_backbone, save_backbone
from pandacat.models.saved import BACKBONE, Description, SavedModel, save_model

LABELS = ("panda", "cat", "other")
COUNTS = {"train": 6, "validation": 4, "test": 40}
"""Photos of each label, by split."""

GOOD, NULL, WORSE = (0.0, 0.0, 0.0), (0.004, 0.0, 0.0), (0.0, 0.0, 0.1)
"""What models add to the shade of each label; they see it exactly but for this."""


class MeanColor(nn.Module):
    """A backbone whose features are how red, green and blue a photo is."""

    def forward(self, images: Tensor) -> Tensor:
        return images.float().mean(dim=(1, 2)) / 255


def photo_of(label: str, place: float, rng: np.random.Generator) -> Image.Image:
    """Return a photo in the color of its label; at `place` 0 it looks like another's, at 1 not."""
    color = np.full(3, 0.3)
    color[LABELS.index(label)] += 0.3 * place - 0.01
    noise = rng.normal(0, 0.1, (32, 32, 1)).repeat(3, axis=2)
    pixels = color + noise - noise.mean()
    return Image.fromarray((255 * pixels).round().clip(0, 255).astype(np.uint8))


def jpeg_of(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95, subsampling=0)
    return stream.getvalue()


def write_photos() -> None:
    """Write the photos of all splits; those of the test split come last."""
    rng = np.random.default_rng(0)
    photos: list[tuple[PhotoFile, bytes]] = []
    splits = []
    for split, count in COUNTS.items():
        for label in LABELS:
            for number in range(count):
                image = photo_of(label, number / count, rng)
                jpeg, name = jpeg_of(image), f"{label}/{split}-{number}.jpg"
                hashes = perceptual_hash(image)
                digest = f"{len(photos):064x}"
                photos.append((PhotoFile(name, label, digest, 1, 32, 32, "RGB", *hashes), jpeg))
                splits.append(split)
    paths.PHOTOS.mkdir(parents=True)
    index = store.write_shards(paths.PHOTOS, photos).assign(split=splits)
    store.write_index(paths.PHOTOS, index.assign(group=range(len(index))), LABELS)


def swap_splits() -> None:
    """Let photos of the test split be trained on, three of each label, and as many not."""
    index = store.read_index(paths.PHOTOS)
    is_train, is_test = (index.split == split for split in ("train", "test"))
    exchanged = index.groupby(["label", "split"]).cumcount() < 3
    split = index.split.mask(is_train & exchanged, "test").mask(is_test & exchanged, "train")
    store.write_index(paths.PHOTOS, index.assign(split=split), LABELS)


def write_model(bias: tuple[float, ...], labels: tuple[str, ...] = LABELS) -> None:
    """Write an exported model of the photos that are here."""
    shutil.rmtree(paths.EXPORTED, ignore_errors=True)
    head = {"head.weight": 40 * np.eye(3, dtype=np.float32)}
    head["head.bias"] = 40 * np.array(bias, np.float32)
    about = Description(
        kind="pretrained",
        backbone="mean-color",
        labels=labels,
        label_classes=((0,), (1,)),
        crops="square",
        input_px=32,
        temperature=1,
        image=default_config().preprocess.image_spec,
        trained_on=store.dataset_fingerprint(store.read_index(paths.PHOTOS)),
        title="colors",
        architecture={},
    )
    save_model(paths.EXPORTED, SavedModel(about, head))
    save_backbone(convert_backbone(MeanColor(), 32), paths.EXPORTED / BACKBONE)
    (paths.EXPORTED / "golden").mkdir()
    shutil.copy(ROOT / "examples/cat/kitten.jpg", paths.EXPORTED / "golden")
    Path("dvc.lock").write_text(f"{bias} {labels} {about.trained_on}")


def identify(patch: pytest.MonkeyPatch) -> None:
    """Let Git know who commits and tags."""
    for role in ("AUTHOR", "COMMITTER"):
        patch.setenv(f"GIT_{role}_NAME", "t")
        patch.setenv(f"GIT_{role}_EMAIL", "t@example.org")


def git(*arguments: str) -> str:
    return subprocess.check_output(["git", *arguments], text=True).strip()


def commit() -> None:
    git("add", "dvc.lock")
    git("commit", "--quiet", "--allow-empty", "--message", "results")


def commit_and_register() -> int:
    commit()
    return run("register")


def copy_model(folder: Path, exported: Path, _: Path) -> None:
    """Stand in for `save_mlflow_model`, which takes a second."""
    shutil.copytree(exported, folder)


def run(action: str) -> int:
    return main(["registry", action])
