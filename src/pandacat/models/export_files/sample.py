"""Classify photos: python sample.py PHOTO...; without any, those in golden/, which it compares.

Needs numpy, Pillow and onnxruntime.
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps, UnidentifiedImageError

HERE = Path(__file__).parent
MODEL = json.loads((HERE / "model.json").read_text(encoding="utf-8"))
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # Pillow reads others, some by starting programs


def pixels(path: Path) -> Image.Image:
    """Return a photo upright and in RGB, reduced and recompressed as those of the training."""
    try:
        file = Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        sys.exit(f"{path}: this sample reads {', '.join(FORMATS)}.")
    most_px = MODEL["image"]["image_px"]
    if file.mode not in ("L", "RGB", "CMYK") or "transparency" in file.info:
        sys.exit(f"{path}: this sample reads gray and color of 8 bits, without transparency.")
    scale = min(1, most_px / min(file.size))
    file.draft(None, (round(file.width * scale), round(file.height * scale)))  # a JPEG's half, say
    photo, jpeg = ImageOps.exif_transpose(file).convert("RGB"), io.BytesIO()
    reduced(photo, most_px).save(jpeg, "JPEG", quality=MODEL["image"]["jpeg_quality"])
    return Image.open(jpeg).convert("RGB")


def reduced(photo: Image.Image, most_px: int) -> Image.Image:
    """Return a photo whose shorter side is at most so long."""
    scale = min(1, most_px / min(photo.size))
    width, height = (max(round(side * scale), min(side, most_px)) for side in photo.size)
    return photo.resize((width, height), Image.Resampling.HAMMING, None, 2.0)


def crops(photo: Image.Image, scheme: str) -> np.ndarray:
    """Return the crops of a photo, `(V, S, S, 3) uint8`."""
    photo = photo if scheme == "tiles" else reduced(photo, 384)
    (width, height), side = photo.size, min(photo.size)
    boxes = [(0.875 * side, 0.875 * side, 0.5, 0.5)]  # width, height, and where: 0.5 is the middle
    if scheme == "square":
        boxes = [(side, side, 0.5, 0.5)]
    if scheme == "tiles":
        counts = (9, 5) if width >= height else (5, 9)
        across, down = (np.linspace(0, 1, count).tolist() for count in counts)
        boxes = [(0.28 * side, 0.28 * side, x, y) for x in across for y in down]
    if scheme == "two_scales":
        along = [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)]
        xs, ys = ((0, 0.5, 1), (0, 1)) if width >= height else ((0, 1), (0, 0.5, 1))
        close = [(x, y) for x in xs for y in ys] + [(0.5, 0.5)]
        boxes += [(width, height, 0, 0), *((side, side, x, y) for x, y in along)]
        boxes += [(0.6 * side, 0.6 * side, x, y) for x, y in close]
    images = []
    for w, h, x, y in boxes:
        left, top = (width - w) * x, (height - h) * y
        box, size = (left, top, left + w, top + h), (MODEL["input_px"], MODEL["input_px"])
        images.append(photo.resize(size, Image.Resampling.BICUBIC, box, 2.0))
    return np.stack([np.asarray(image) for image in images])


if __name__ == "__main__":
    session = onnxruntime.InferenceSession(HERE / "model.onnx")
    expected = json.loads((HERE / "golden/probabilities.json").read_text(encoding="utf-8"))
    for path in map(Path, sys.argv[1:] or [HERE / "golden" / name for name in expected]):
        photo = pixels(path)
        images = crops(photo, MODEL["crops"])
        (values,) = session.run(None, {"crops": images[None]})[0]
        if MODEL["tiling"] and values.argmax() == len(values) - 1:  # other: look again, in tiles
            images = np.concatenate([images, crops(photo, "tiles")])
            (values,) = session.run(None, {"crops": images[None]})[0]
        answer = dict(zip(MODEL["labels"], values.tolist(), strict=True))
        print(path.name, answer)
        if not sys.argv[1:]:
            difference = max(abs(answer[label] - expected[path.name][label]) for label in answer)
            print(f"  differs from what is expected by {difference:.1g}")
            if difference > 1e-5:
                sys.exit("This machine gives other probabilities: the versions may differ.")
