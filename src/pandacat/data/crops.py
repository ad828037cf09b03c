"""Crops of a photo: the square images that a network takes."""

import numpy as np
from PIL import Image

from pandacat.config.fields import CropScheme
from pandacat.data.images import shrink

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels of the photo."""

SHORTER_SIDE_PX = 384
"""Of the photo that all crops but tiles are cut from, at most."""
CENTER_SHARE = 0.875
CLOSE_SHARE = 0.6
TILE_SHARE = 0.28
TILES_ALONG, TILES_ACROSS = 9, 5


def crop_boxes(width: int, height: int, crops: CropScheme) -> list[Box]:
    """Return the boxes that are cut out of a photo of this size.

    `square` is the largest square in the middle, and `center` 87.5 % of that, as is usual for
    ImageNet. `two_scales` adds to `center`: the whole photo, squeezed; three squares as large as
    fit, along the longer side; and seven squares of 0.6 of that side, in a grid and in the middle,
    which find an animal that is small in its scene. `tiles` are 45 squares of 0.28 of that side in
    a grid, for animals that are smaller still.
    """
    side = min(width, height)
    center = _square(width, height, CENTER_SHARE * side, 0.5, 0.5)
    if crops == "square":
        return [_square(width, height, side, 0.5, 0.5)]
    if crops == "center":
        return [center]
    if crops == "tiles":
        xs, ys = _grid(width, height, TILES_ALONG, TILES_ACROSS)
        return [_square(width, height, TILE_SHARE * side, x, y) for x in xs for y in ys]
    along = (0.0, 0.5, 1.0)
    xs, ys = _grid(width, height, len(along), 2)
    close = CLOSE_SHARE * side
    return [
        center,
        (0.0, 0.0, float(width), float(height)),
        *(_square(width, height, side, position, position) for position in along),
        *(_square(width, height, close, x, y) for x in xs for y in ys),
        _square(width, height, close, 0.5, 0.5),
    ]


def _grid(width: int, height: int, along: int, across: int) -> tuple[list[float], list[float]]:
    """Return even positions in 0…1, `along` of them on the longer side; as (xs, ys)."""
    xs, ys = (along, across) if width >= height else (across, along)
    return np.linspace(0, 1, xs).tolist(), np.linspace(0, 1, ys).tolist()


def _square(width: int, height: int, side: float, x: float, y: float) -> Box:
    left, top = (width - side) * x, (height - side) * y
    return (left, top, left + side, top + side)


def crop_count(crops: CropScheme) -> int:
    """Return the number of crops of a scheme."""
    return len(crop_boxes(2, 1, crops))


def cut_crops(image: Image.Image, input_px: int, crops: CropScheme) -> np.ndarray:
    """Return the crops of an RGB photo, resized: `(V, input_px, input_px, 3) uint8`.

    Tiles are cut from the photo itself, all other crops from a copy that is shrunk to
    `SHORTER_SIDE_PX`: they are too large to show more detail.
    """
    square = (input_px, input_px)
    if crops != "tiles":
        image = shrink(image, SHORTER_SIDE_PX)
    return np.stack(
        [
            np.asarray(image.resize(square, Image.Resampling.BICUBIC, box=box, reducing_gap=2.0))
            for box in crop_boxes(*image.size, crops)
        ]
    )
