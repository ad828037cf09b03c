"""Shortcuts: properties of the files, not of the animal, that predict the label.

A network learns whatever predicts the label. Where the JPEG quality does, its accuracy on photos of
the same data set proves little.
"""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from pandacat.data.images import open_photo
from pandacat.labels import listed

CHANCE = 0.5
NOTABLE = 0.6
"""A warning is given where the interval of the balanced accuracy lies above this."""

TOGETHER = "together"
KEYS = ["property", "first", "second"]
"""Columns that identify a finding."""
JPEG_BLOCK_PX = 8

IN_WORDS = {
    "file_bytes": "its size in bytes",
    "width_px": "its width",
    "height_px": "its height",
    "aspect": "its ratio of width to height",
    "mode": "its color mode",
    "quantization": "its JPEG quantization",
    "red": "its mean red",
    "green": "its mean green",
    "blue": "its mean blue",
    "blur": "its sharpness",
    "blockiness": "its JPEG blockiness",
}
OF_THE_PICTURE = ("red", "green", "blue", "blur")
"""Properties that the animal itself contributes to: a panda is black and white."""


def header_properties(data: bytes) -> dict[str, float | str]:
    """Return the properties of an image file that are known without decoding it.

    `quantization` is the mean step of the luma table, higher for lower JPEG quality; 0 for files
    that are not JPEG.

    Raises:
        UnreadablePhotoError: it is not an image of the formats that are read.
    """
    with open_photo(data) as image:
        luma_steps = image.quantization.get(0, [0]) if isinstance(image, JpegImageFile) else [0]
        return {
            "file_bytes": len(data),
            "width_px": image.width,
            "height_px": image.height,
            "aspect": image.width / image.height,
            "mode": image.mode,
            "quantization": float(np.mean(luma_steps)),
        }


def pixel_properties(decoded: np.ndarray) -> dict[str, float]:
    """Return the means `red`, `green`, `blue` (0 to 255) and `blur`, the variance of the Laplacian.

    The last is low for blurred photos. Source: Pech-Pacheco et al., Diatom autofocusing in
    brightfield microscopy, ICPR 2000.
    """
    height, width = decoded.shape[:2]
    by_column = decoded.sum(axis=0, dtype=np.uint32)
    red, green, blue = (by_column.sum(axis=0) / (height * width)).tolist()
    luma = _luma(decoded)
    laplacian = (
        luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    )
    blur = float(laplacian.var()) if laplacian.size else 0.0
    return {"red": red, "green": green, "blue": blue, "blur": blur}


def blockiness(
    decoded: np.ndarray, *, period: float = JPEG_BLOCK_PX, start: tuple[float, float] = (0, 0)
) -> float:
    """Return how much more neighbors in an image differ across block borders than inside blocks.

    That is the ratio of the mean absolute differences of luma, along both axes: about 1 without
    visible blocks, higher the more strongly a JPEG was compressed, also before it was saved again.
    Borders lie every `period` pixels; `start` is where one lies, from the left and from the top.
    """
    luma = _luma(decoded)
    across = inside = 0.0
    for axis, offset in ((1, start[0]), (0, start[1])):
        differences = np.abs(np.diff(luma, axis=axis)).mean(axis=1 - axis)
        places = np.arange(1, len(differences) + 1)
        is_border = np.abs((places - offset + period / 2) % period - period / 2) <= 0.5
        if is_border.any() and not is_border.all():
            across += float(differences[is_border].mean())
            inside += float(differences[~is_border].mean())
    return across / inside if inside else 1.0


def _luma(decoded: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(decoded).convert("L"), np.float32)


def in_words(name: str) -> str:
    """Return what a property is called on pages and in figures."""
    return "all together" if name == TOGETHER else IN_WORDS.get(name, name).removeprefix("its ")


def warnings(findings: pd.DataFrame) -> list[str]:
    """Return a sentence for each property that is a shortcut with confidence, the strongest first.

    A property that separates several pairs is in one sentence, with the pair it separates best.
    """
    strongest = findings[findings.low > NOTABLE].drop_duplicates("property")
    return [_sentence(finding) for finding in strongest.to_dict("records")]


def _sentence(finding: Mapping[Hashable, Any]) -> str:
    name, labels = finding["property"], listed([finding["first"], finding["second"]], "from")
    of_picture = name in OF_THE_PICTURE
    subject = f"One number about the {'picture' if of_picture else 'file'}"
    subject += f", {IN_WORDS.get(name, name)}, distinguishes"
    if name == TOGETHER:
        subject = "All measured properties of the file together distinguish"
    advice = "A network can learn this instead of the animal."
    if of_picture:
        advice = "The animal's own appearance contributes to it."
    return (
        f"{subject} {labels} in {100 * finding['value']:.1f} % of held-out photos (at least "
        f"{100 * finding['low']:.1f} %; chance is 50 %). {advice}"
    )
