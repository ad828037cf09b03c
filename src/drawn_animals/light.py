"""Light on fur and on bare features, and the shadow on the ground."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from drawn_animals.camera import Camera
from drawn_animals.figure import Figure
from drawn_animals.filters import gaussian
from drawn_animals.rays import Surface
from drawn_animals.space import Array, dot, lengths, portable, unit, vector

STRANDS, RELIEF = 0.2, 0.2
"""How much hairs differ in brightness, and in how they face the light."""


@dataclass(frozen=True)
class Light:
    """A key light from a `direction` in view space, and light from above and below."""

    direction: Array
    key: Array
    sky: Array
    ground: Array

    def on_fur(self, rgb: Array, surface: Surface, streak: Array, scale: float) -> Array:
        """Return lit (3, h, w) colors, with darker folds and a soft sheen at the rim.

        `streak` is the hair's brightness, `scale` pixels per world unit.
        """
        _, ny, nz = surface.normal
        facing = dot(self.direction, surface.normal) + (streak - 0.5) * RELIEF
        key = np.clip((facing + 0.35) / 1.35, 0, 1)
        up = 0.5 + 0.5 * ny
        folds = np.ones_like(key)
        filled = np.where(surface.mask, surface.depth, surface.depth.min())
        for width, strength in ((0.05, 2.2), (0.17, 0.6)):
            folds *= 1 - np.clip((_blurred(filled, width * scale) - filled) * strength, 0, 0.45)
        sheen = (1 - np.clip(nz, 0, 1)) ** 2 * np.float32(0.10) * (0.4 + up)
        strands = 1 + (streak - 0.5) * STRANDS
        lit = np.empty_like(rgb)
        for channel in range(3):
            ambient = self.ground[channel] + (self.sky[channel] - self.ground[channel]) * up
            lit[channel] = (rgb[channel] * strands + 0.03 * streak + sheen) * (
                ambient * folds + self.key[channel] * key * (0.5 + 0.5 * folds)
            )
        return lit

    def on_feature(self, rgb: Array, normal: Array, gloss: float) -> Array:
        """Return lit (3, h, w) colors, with highlights."""
        facing = np.clip((dot(self.direction, normal) + 0.3) / 1.3, 0, 1)
        lit = rgb * (self.sky[:, None, None] + self.key[:, None, None] * facing)
        half = unit(self.direction + vector((0, 0, 1.2)))
        shine = np.clip(dot(half, normal), 0, 1)
        glow = portable(np.power, shine, 8)
        lit += gloss * np.clip((shine - 0.955) * 40, 0, 1) + 0.12 * gloss * glow
        return lit


def _blurred(values: Array, radius_px: float) -> Array:
    """Return (h, w) values under a broad blur, computed on a coarser grid."""
    height, width = values.shape
    step = max(1, int(radius_px / 2.5))
    coarse = gaussian(values[step // 2 :: step, step // 2 :: step], radius_px / step, truncate=2)
    fine = Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(fine)


def ground_shadow(
    figure: Figure, camera: Camera, light_world: Array, size: tuple[int, int]
) -> Array:
    """Return the figure's (h, w) shadow on the ground, 0 to 1; `size` is (w, h) in px."""
    mask, contact = Image.new("L", size), Image.new("L", size)
    slant = light_world[[0, 2]] / max(float(light_world[1]), 0.45)
    squash = float(camera.rotation[2, 1])
    for solid in figure.solids():
        radius = float(lengths(lengths(solid.shape)) / np.sqrt(3)) * camera.scale
        x, height, z = solid.center
        height = float(height)
        foot = vector((x - slant[0] * height, 0, z - slant[1] * height))
        _ellipse(mask, camera.pixel(foot), radius, radius * max(squash, 0.08))
        if height * camera.scale < 2.2 * radius:
            foot = vector((x, 0, z))
            _ellipse(contact, camera.pixel(foot), radius * 1.1, radius * max(squash, 0.12))
    soft = mask.filter(ImageFilter.GaussianBlur(0.12 * camera.scale))
    tight = contact.filter(ImageFilter.GaussianBlur(0.06 * camera.scale))
    both = np.asarray(soft, np.float32) * 0.55 + np.asarray(tight, np.float32) * 0.6
    return np.minimum(both / 255, 0.85)


def _ellipse(
    mask: Image.Image, center: tuple[float, float], half_width: float, half_height: float
) -> None:
    x, y = center
    box = (x - half_width, y - half_height, x + half_width, y + half_height)
    ImageDraw.Draw(mask).ellipse(box, fill=255)
