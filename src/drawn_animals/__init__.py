"""Pictures of pandas, cats and other animals, drawn from a seed with numpy and Pillow alone.

A four-legged species is a record in `shapes` and a function that chooses the `coats` of one animal
(`wild`, `pets`, `hoofed`); `anatomy` turns both into ellipsoids and horns (`figure`) in one of the
`poses`. `birds` are put together in a way of their own. `species` lists all by name. `render` grows
the hair and lights it, `scenes` and `foreground` put something behind and in front of the animal,
and `photo` takes the picture. All but the animal is chosen without knowing its kind.
"""

import zlib
from collections.abc import Collection

import numpy as np

from drawn_animals.photo import photograph, plan
from drawn_animals.species import KINDS, species_of

__all__ = ["KINDS", "draw"]

EMPTY_SHARE = 0.04
"""Of the pictures of `other`, how many show no animal."""

_STREAMS = {"panda": 1, "cat": 2, "other": 3}
"""Of random numbers; a kind that is not listed has the checksum of its name."""


def draw(kind: str, seed: int, number: int, *, exclude: Collection[str] = ()) -> bytes:
    """Return the drawn picture of this number as a JPEG, 200 to 420 px a side.

    The same arguments give the same bytes. Pictures of the same number share their `Shot` whatever
    their kind; animal and background are their own.

    Args:
        kind: one of `KINDS`, or `other`: any of them but those in `exclude`, or an empty scene.
        seed: of the series of pictures.
        number: of the picture in the series.
        exclude: what `other` must not show; if empty, panda and cat.

    Raises:
        ValueError: there is no such kind, or `exclude` leaves none.

    Example:
        >>> draw("fox", seed=1, number=1)[:2].hex()
        'ffd8'
    """
    species = species_of(kind, exclude)
    stream = _STREAMS.get(kind) or zlib.crc32(kind.encode())
    shot = plan(_generator(seed, number))
    empty = kind == "other" and shot.empty_draw < EMPTY_SHARE
    return photograph(species, _generator(seed, number, stream), shot, empty=empty)


def _generator(*seeds: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seeds)))
