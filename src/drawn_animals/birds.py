"""Penguins, owls, ducks and songbirds."""

from __future__ import annotations

import numpy as np

from drawn_animals.anatomy import WHITE, Rng, eyes, vary
from drawn_animals.coats import Coat, beyond, patches, spot, stripes
from drawn_animals.figure import Detail, Figure, Region, Solid, ellipsoid
from drawn_animals.space import Frame, turn, vector


def bird(rng: Rng, azimuth: float) -> Figure:
    """A penguin, an owl, a duck or a songbird."""
    kind = str(rng.choice(("penguin", "owl", "duck", "songbird")))
    height = {"penguin": 1.0, "owl": 0.85, "duck": 0.62, "songbird": 0.62}[kind]
    steep = {"penguin": 84, "owl": 80, "duck": 8, "songbird": 38}[kind]
    body = Frame(vector((0, height, 0)), turn(0, steep + rng.normal(0, 3)))
    gaze = turn(
        float(np.clip(azimuth * rng.uniform(0.3, 1.0), -80, 80)), rng.normal(0, 6), rng.normal(0, 5)
    )
    top = {
        "penguin": (0, 0.02, 1.02),
        "owl": (0, -0.05, 0.80),
        "duck": (0, 0.85, 0.92),
        "songbird": (0, 0.30, 0.82),
    }[kind]
    head = Frame(
        body.at(top), gaze, {"penguin": 0.30, "owl": 0.48, "duck": 0.30, "songbird": 0.36}[kind]
    )
    plumage = _plumage(rng, kind)
    figure = Figure(head)
    belly = figure.region(body, plumage["body"], (0, 0, -1), 0.03)
    width = {"penguin": 0.46, "owl": 0.52, "duck": 0.50, "songbird": 0.46}[kind]
    belly.blob((0, 0, 0), (width, width * 0.95, 0.95 if kind != "songbird" else 0.8))
    belly.blob((0, -0.05, 0.45), (width * 0.78, width * 0.78, 0.5))
    belly.bone(
        body.at((0, 0.05, 0.6)),
        head.at((0, -0.3, -0.1)),
        head.scale * (0.62 if kind == "duck" else 0.9),
    )
    wings = figure.region(body, plumage["wings"], (0, 0, -1), 0.04)
    wings.pair((width * 0.88, 0.05, -0.1), (0.10 if kind != "owl" else 0.14, 0.30, 0.72), yaw=-4)
    if kind != "penguin":
        wings.blob((0, 0.08, -1.0), (0.20, 0.06, 0.42))
    face = figure.region(head, plumage["head"], (0, 0.3, -1), 0.02)
    face.blob((0, 0, 0), (1, 0.96, 0.95) if kind != "owl" else (1.0, 0.85, 0.8))
    orange = (0.92, 0.55, 0.12) if kind != "songbird" else (0.30, 0.25, 0.20)
    beak = {
        "penguin": (0.20, 0.75, 0.18),
        "owl": (0.14, 0.38, 0.14),
        "duck": (0.34, 0.85, 0.14),
        "songbird": (0.16, 0.50, 0.15),
    }[kind]
    place = {
        "penguin": (0, -0.05, 0.8),
        "owl": (0, -0.05, 0.70),
        "duck": (0, -0.15, 0.75),
        "songbird": (0, 0, 0.82),
    }[kind]
    tilt = turn(0, {"penguin": -84, "owl": -140, "duck": -98, "songbird": -90}[kind])
    solid = ellipsoid(head, place, beak, tilt)
    figure.details.append(
        Detail(Solid(solid.center, solid.shape, 0.6 if kind == "duck" else 0.25), orange, 0.3)
    )
    if kind == "owl":
        eyes(figure, (0.40, 0.10, 0.66), (0.30, 0.30, 0.12), (0.92, 0.62, 0.10), (0.5, 0.5), yaw=14)
        tufts = figure.region(head, plumage["wings"], (0, 1, 0), 0.03)
        for side in (1, -1):
            tufts.horn(
                (side * 0.55, 0.6, 0.2), (0.22, 0.6, 0.14), turn(0, 0, -side * 25), roundness=0.3
            )
    else:
        eyes(figure, (0.68, 0.22, 0.58), (0.13, 0.13, 0.10), (0.25, 0.12, 0.05), (0.7, 0.7), yaw=52)
    for side in (1, -1):
        foot = vector((side * 0.22, 0.06, 0.15 if kind != "owl" else 0.3))
        shank = Region(Frame(foot, turn()), Coat(orange), (0, 1, 0), 0)
        shank.bone(vector((side * 0.22, max(height - width, 0.2), 0)), foot, 0.05)
        shank.blob((0, -0.02, 0.1), (0.17, 0.05, 0.24))
        figure.details.extend(Detail(part, orange) for part in shank.solids)
    return figure


def _plumage(rng: Rng, kind: str) -> dict[str, Coat]:
    if kind == "penguin":
        dark = vary(rng, (0.09, 0.09, 0.11), 0.01)
        body = Coat(dark, ((spot((0, -0.5, 0), (0.36, 0.5, 1.0)), WHITE),))
        head = Coat(
            dark, ((spot((0.75, -0.25, 0.1), (0.4, 0.45, 0.5), mirrored=True), (0.95, 0.72, 0.2)),)
        )
        return {"body": body, "wings": Coat(dark), "head": head}
    if kind == "owl":
        brown, pale = vary(rng, (0.46, 0.34, 0.23)), vary(rng, (0.82, 0.72, 0.56))
        body = Coat(pale, ((stripes(rng, (0.3, 0, 1), 4.0, 0.4, 0.3), brown),))
        disc = spot((0.4, 0.08, 0.8), (0.48, 0.48, 0.6), mirrored=True)
        return {
            "body": body,
            "wings": Coat(brown, ((patches(rng, 2.0, 0.3), pale),)),
            "head": Coat(brown, ((disc, pale),)),
        }
    if kind == "duck":
        if rng.random() < 0.5:
            return dict.fromkeys(
                ("body", "wings", "head"), Coat(vary(rng, rng.choice([WHITE, (0.93, 0.80, 0.30)])))
            )
        gray = vary(rng, (0.62, 0.60, 0.57))
        body = Coat(gray, ((beyond((0, 0, 1), 0.45), (0.35, 0.20, 0.13)),))
        head = Coat((0.08, 0.32, 0.18), ((beyond((0, -1, 0), 0.75), WHITE),))
        return {"body": body, "wings": Coat((0.48, 0.42, 0.36)), "head": head}
    palette = (
        ((0.25, 0.40, 0.68), (0.90, 0.70, 0.35)),
        ((0.42, 0.35, 0.28), (0.85, 0.36, 0.15)),
        ((0.10, 0.10, 0.11), (0.92, 0.91, 0.88)),
        ((0.45, 0.52, 0.22), (0.90, 0.82, 0.30)),
    )
    back, breast = (vary(rng, color) for color in palette[int(rng.integers(len(palette)))])
    body = Coat(back, ((beyond((0, -1, 0.4), 0.15), breast),))
    return {
        "body": body,
        "wings": Coat(back),
        "head": Coat(back, ((spot((0, -0.6, 0.5), (0.7, 0.55, 0.8)), breast),)),
    }
