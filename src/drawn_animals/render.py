"""From a figure to pixels: rays meet its solids, hair grows, light falls."""

import numpy as np
from PIL import Image, ImageDraw

from drawn_animals.camera import Camera
from drawn_animals.figure import Feature, Figure, Solid
from drawn_animals.hair import comb
from drawn_animals.light import Light
from drawn_animals.rays import Canvas, Surface, skin
from drawn_animals.space import Array, Rng, transform, unit, vector


def render(
    figure: Figure, camera: Camera, light: Light, size: tuple[int, int], rng: Rng
) -> tuple[Array, Array]:
    """Draw a figure on nothing.

    Returns its (3, h, w) colors, premultiplied, and (h, w) opacity; `size` is (w, h) in px.
    """
    width, height = size
    canvas = Canvas.around(figure, camera, size)
    surface = skin(canvas, figure)
    hair = comb(canvas, figure, surface, rng)
    rgb = paint(canvas, figure, surface, hair.streak)
    rgb = hair.ruffle(light.on_fur(rgb, surface, hair.streak, camera.scale), surface)
    alpha = hair.edge(surface)
    for feature, solid in figure.features:
        _add_feature(canvas, feature, solid, surface, light, rgb, alpha)
    color_all = np.zeros((3, height, width), np.float32)
    alpha_all = np.zeros((height, width), np.float32)
    rows, columns = canvas.shape
    box = slice(canvas.top, canvas.top + rows), slice(canvas.left, canvas.left + columns)
    color_all[(slice(None), *box)] = rgb * alpha
    alpha_all[box] = alpha
    if figure.whiskers:
        line = _whiskers(figure, camera, size)
        color_all += line * (0.85 * (light.sky + light.key)[:, None, None].clip(0, 1) - color_all)
        alpha_all += line * (1 - alpha_all)
    return color_all, alpha_all


def paint(canvas: Canvas, figure: Figure, surface: Surface, streak: Array) -> Array:
    """Return the (3, h, w) colors of the coat; hair carries each color a little over its edge."""
    rgb = np.zeros((3, *canvas.shape), np.float32)
    x, y = np.broadcast_to(canvas.x, canvas.shape), np.broadcast_to(canvas.y[:, None], canvas.shape)
    for region, share in zip(figure.regions, surface.shares, strict=True):
        index = np.flatnonzero(share > 0.02)
        if index.size == 0:
            continue
        world = canvas.camera.world(x.flat[index], y.flat[index], surface.depth.flat[index])
        frame = region.frame
        places = transform(frame.axes.T, world - frame.origin[:, None]) / np.float32(frame.scale)
        reach = region.hair / frame.scale * (streak.flat[index] - 0.5)
        places -= unit(region.flow)[:, None] * reach
        colors = region.coat.colors(places) * share.flat[index]
        for channel in range(3):
            rgb[channel].reshape(-1)[index] += colors[channel]
    return rgb


def _add_feature(
    canvas: Canvas,
    feature: Feature,
    solid: Solid,
    surface: Surface,
    light: Light,
    rgb: Array,
    alpha: Array,
) -> None:
    """Paint an eye, a nose or the like over the fur, where it is not hidden."""
    hit = canvas.cast(solid, with_place=True)
    if hit is None or hit.place is None:
        return
    shown = hit.depth > np.where(surface.mask, surface.depth, -np.inf)[hit.box] - 0.004
    shown &= np.isfinite(hit.depth)
    if not shown.any():
        return
    color = np.broadcast_to(vector(feature.color)[:, None, None], hit.normal.shape).copy()
    if feature.pupil is not None:
        x, y, _ = hit.place
        radius = np.sqrt(x * x + y * y)
        color *= (1.15 - 0.45 * np.clip(y, -1, 1)) * (0.75 + 0.35 * radius)
        pupil = (x / feature.pupil[0]) ** 2 + (y / feature.pupil[1]) ** 2
        color *= np.clip((pupil - 1) * 3 + 0.5, 0.02, 1) * np.clip((0.93 - radius) * 9, 0.06, 1)
    lit = light.on_feature(color, hit.normal, feature.gloss)
    np.copyto(rgb[(slice(None), *hit.box)], lit, where=shown)
    alpha[hit.box][shown] = 1


def _whiskers(figure: Figure, camera: Camera, size: tuple[int, int]) -> Array:
    """Return the whiskers' opacity in a picture of `size` (w, h) px."""
    mask = Image.new("L", size)
    pen = ImageDraw.Draw(mask)
    stroke = max(1, round(camera.scale / 110))
    steps = np.linspace(0, 1, 7)[:, None]
    for root, bend, tip in figure.whiskers:
        curve = (1 - steps) ** 2 * root + 2 * steps * (1 - steps) * bend + steps**2 * tip
        line = [camera.pixel(point.astype(np.float32)) for point in curve]
        pen.line(line, fill=200, width=stroke)
    return np.asarray(mask, np.float32) / 255 * 0.8
