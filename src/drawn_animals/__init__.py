"""Pictures of pandas, cats and other animals, drawn from a seed.

An animal (`giant_panda`, `domestic_cat`, `other_animals`) is a set of ellipsoids and horns
(`figure`) in a pose (`poses`) with a coat (`coats`), put together from common parts (`anatomy`).
`render` grows its hair and lights it, `scenes` puts something behind and in front of it, and
`photo` takes the picture. Everything but the animal is chosen without knowing the label.
"""

from __future__ import annotations

import numpy as np

from drawn_animals.anatomy import Species
from drawn_animals.domestic_cat import cat
from drawn_animals.giant_panda import panda
from drawn_animals.other_animals import other
from drawn_animals.photo import photograph, plan
from pandacat.labels import LABELS, Label

EMPTY_SHARE = 0.04
"""Of the pictures of `other`, how many show no animal."""

SPECIES: dict[Label, Species] = {"panda": panda, "cat": cat, "other": other}


def draw(label: Label, seed: int, number: int) -> bytes:
    """Return the drawn picture of this number as a JPEG, 200 to 420 px a side.

    The same arguments give the same bytes. Pictures of the same number share their `Shot` whatever
    their label; animal and background are their own.
    """
    for_shot = np.random.SeedSequence((seed, number))
    for_animal = np.random.SeedSequence((seed, number, 1 + LABELS.index(label)))
    shot = plan(_generator(for_shot))
    empty = label == "other" and shot.empty_draw < EMPTY_SHARE
    return photograph(SPECIES[label], _generator(for_animal), shot, empty=empty)


def _generator(seed: np.random.SeedSequence) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))
