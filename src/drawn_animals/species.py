"""Every kind of animal that can be drawn, by its plain English name."""

from collections.abc import Collection

from drawn_animals.anatomy import Species
from drawn_animals.birds import BIRDS
from drawn_animals.figure import Figure
from drawn_animals.hoofed import cow, horse, pig, sheep, zebra
from drawn_animals.parts import one_of
from drawn_animals.pets import cat, dog, rabbit
from drawn_animals.space import Rng
from drawn_animals.wild import badger, bear, elephant, fox, koala, panda, raccoon, red_panda

SPECIES: dict[str, Species] = {
    "panda": panda,
    "cat": cat,
    "dog": dog,
    "bear": bear,
    "fox": fox,
    "rabbit": rabbit,
    "raccoon": raccoon,
    "red panda": red_panda,
    "koala": koala,
    "badger": badger,
    "elephant": elephant,
    "cow": cow,
    "horse": horse,
    "zebra": zebra,
    "sheep": sheep,
    "pig": pig,
    **BIRDS,
}
GROUPS = {"bird": tuple(BIRDS)}
"""Kinds that stand for several species."""

KINDS: tuple[str, ...] = (*SPECIES, *GROUPS)

OTHERS = (
    *("dog", "dog", "dog", "bear", "bear", "fox", "rabbit", "raccoon", "red panda", "koala"),
    *("badger", "elephant", "cow", "horse", "zebra", "zebra", "sheep", "pig", "bird", "bird"),
    *("panda", "panda", "cat", "cat"),
)
"""What `other` shows, each as often as it is named, unless it is excluded."""


def species_of(kind: str, exclude: Collection[str] = ()) -> Species:
    """Return how a kind is drawn; `other` is all but those in `exclude`, by default panda and cat.

    Raises:
        ValueError: there is no such kind, or `exclude` leaves none.
    """
    for name in (kind, *exclude):
        if name not in ("other", *KINDS):
            raise ValueError(f"no kind is called {name!r}; there are {', '.join(KINDS)} and other")
    groups = [_members(kind)]
    if kind == "other":
        excluded = {species for name in exclude or ("panda", "cat") for species in _members(name)}
        groups = [tuple(s for s in _members(name) if s not in excluded) for name in OTHERS]
    groups = [group for group in groups if group]
    if not groups:
        raise ValueError("all kinds are excluded: none is left for other")

    def species(rng: Rng, azimuth: float) -> Figure:
        return SPECIES[one_of(rng, one_of(rng, groups))](rng, azimuth)

    return species


def _members(kind: str) -> tuple[str, ...]:
    return GROUPS.get(kind, (kind,))
