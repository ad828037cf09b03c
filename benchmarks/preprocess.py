"""Preprocess: ours against Pillow one by one, torchvision's ImageFolder, and decoding alone.

Ours verifies, applies the orientation, shrinks, hashes, encodes, groups, splits and writes. Pillow
one by one decodes, shrinks and saves. torchvision decodes, shrinks and crops, again in each epoch.
The ceiling is the fastest installed decoder in processes that do nothing else and already run. All
get the same photos; start-up and imports are not counted.
"""

import argparse
import importlib.util
import io
import multiprocessing
import tempfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import measuring
import numpy as np
from PIL import Image, ImageOps

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.parallel import core_count
from pandacat.data.preprocess import preprocess, read_exclusions
from pandacat.data.provenance import Provenance
from pandacat.data.sources.archive import index_archive

UNKNOWN = Provenance("benchmark", "archive", "", "", "", drawn=False, sha256="")


def ours(archive: Path, target: Path) -> None:
    """Run the stage's work."""
    exclusions = read_exclusions(paths.EXCLUSIONS)
    preprocess(archive, UNKNOWN, target, load_config(), exclusions=exclusions)


def one_by_one(archive: Path, target: Path, side_px: int, quality: int) -> None:
    """Decode, orient, shrink and save each photo with Pillow, in a loop."""
    target.mkdir()
    with zipfile.ZipFile(archive) as zipped:
        for place, name in enumerate(photo_names(archive)):
            image = ImageOps.exif_transpose(Image.open(io.BytesIO(zipped.read(name))))
            image = image.convert("RGB")
            scale = side_px / min(image.size)
            if scale < 1:
                image = image.resize((round(image.width * scale), round(image.height * scale)))
            image.save(target / f"{place}.jpg", quality=quality)


def image_folder(folder: Path) -> None:
    """Take all photos once through torchvision's usual transforms, a worker for each core."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    steps = [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()]
    data = datasets.ImageFolder(folder, transforms.Compose(steps))
    for _ in DataLoader(data, batch_size=32, num_workers=core_count()):
        pass


def photo_names(archive: Path) -> list[str]:
    """Return the names of the labeled photos."""
    return list(index_archive(archive, load_config().label_of_folder).photos)


def decoders() -> dict[str, Callable[[bytes], object]]:
    """Return the decoders that are installed, by name."""
    import torch
    from torchvision.io import ImageReadMode, decode_image

    torch.set_num_threads(1)

    def torchvision(data: bytes) -> object:
        return decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)

    installed: dict[str, Callable[[bytes], object]] = {
        "Pillow": lambda data: Image.open(io.BytesIO(data)).convert("RGB"),
        "torchvision": torchvision,
    }
    if importlib.util.find_spec("cv2"):
        import cv2

        cv2.setNumThreads(1)
        installed["OpenCV"] = lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), 1)
    if importlib.util.find_spec("simplejpeg"):
        import simplejpeg

        installed["simplejpeg"] = simplejpeg.decode_jpeg
    return installed


_worker: dict[str, Any] = {}
"""What each process of the ceiling holds: the photos' bytes and the decoders."""


def _prepare(archive: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        _worker["photos"] = [zipped.read(name) for name in photo_names(archive)]
    _worker["decoders"] = decoders()


def _decode(decoder: str, places: range) -> None:
    decode = _worker["decoders"][decoder]
    for place in places:
        try:
            decode(_worker["photos"][place])
        except (ValueError, OSError, RuntimeError):  # not a JPEG
            Image.open(io.BytesIO(_worker["photos"][place])).convert("RGB")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, default=measuring.ARCHIVE, help="a zip of photos")
    parser.add_argument("--repeats", type=measuring.repeats, default=5)
    options = parser.parse_args()
    measuring.project()
    archive = measuring.require(options.archive, "run `dvc repro fetch_photos`, or say --archive.")
    spec = load_config().preprocess
    names = photo_names(archive)
    workers = core_count()
    parts = [range(start, min(start + 16, len(names))) for start in range(0, len(names), 16)]

    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as temporary,
        ProcessPoolExecutor(workers, context, _prepare, (archive,)) as pool,
    ):
        work = Path(temporary)
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(work / "unpacked", names)
        top = work / "unpacked" / Path(names[0]).parents[1]
        fresh = (work / f"out-{number}" for number in range(1_000_000))

        def alone(decoder: str) -> Callable[[], object]:
            return lambda: list(pool.map(_decode, [decoder] * len(parts), parts))

        ceilings = {f"decode only, {name}": alone(name) for name in decoders()}
        for warm_up in ceilings.values():
            warm_up()
        seconds = measuring.in_turn(
            {
                "pandacat": lambda: ours(archive, next(fresh)),
                "Pillow, one by one": lambda: one_by_one(
                    archive, next(fresh), spec.image_px, spec.jpeg_quality
                ),
                "torchvision ImageFolder, an epoch": lambda: image_folder(top),
                **ceilings,
            },
            options.repeats,
        )
    values = measuring.rates(seconds, len(names))
    ceiling = max(ceilings, key=lambda way: measuring.median(values[way]))
    ratios = {
        f"share of the ceiling ({ceiling})": measuring.ratio(values, "pandacat", ceiling),
        "share of decoding alone with Pillow": measuring.ratio(
            values, "pandacat", "decode only, Pillow"
        ),
        "times Pillow, one by one": measuring.ratio(values, "pandacat", "Pillow, one by one"),
        "times torchvision's ImageFolder": measuring.ratio(
            values, "pandacat", "torchvision ImageFolder, an epoch"
        ),
    }
    comparison = measuring.Comparison(
        "Preprocess", "photos/s", values, ratios, {"photos": len(names), "processes": workers}
    )
    measuring.report("preprocess", comparison)


if __name__ == "__main__":
    measuring.run(main)
