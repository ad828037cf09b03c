"""Hair: noise that is combed along each region's flow, and frayed edges."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from drawn_animals.figure import Figure
from drawn_animals.filters import box_mean
from drawn_animals.rays import Canvas, Surface
from drawn_animals.space import Array, Rng, portable, transform, unit

ANGLES, TILE_PX = 16, 256
"""Directions of hair in the half-circle, and the side of each one's tile of noise."""
HAIR_PX, CURL_PX = 3.0, 1.2
"""How far noise is combed to become hair, or wool."""


@lru_cache(maxsize=2)
def hair_tiles(length_px: float) -> Array:
    """Return (ANGLES, TILE_PX, TILE_PX) noise in [0, 1], combed in each direction."""
    rng = np.random.Generator(np.random.PCG64(7))
    noise = np.fft.rfft2(rng.normal(size=(TILE_PX, TILE_PX)))
    fy, fx = np.meshgrid(np.fft.fftfreq(TILE_PX), np.fft.rfftfreq(TILE_PX), indexing="ij")
    tiles = []
    for angle in np.arange(ANGLES) * np.pi / ANGLES:
        along = fx * np.cos(angle) + fy * np.sin(angle)
        across = fy * np.cos(angle) - fx * np.sin(angle)
        comb = np.exp(-2 * np.pi**2 * ((length_px * along) ** 2 + (0.8 * across) ** 2))
        tile = np.fft.irfft2(noise * comb, (TILE_PX, TILE_PX))
        tiles.append(tile / tile.std())
    return np.clip(0.5 + 0.22 * np.array(tiles), 0, 1).astype(np.float32)


@dataclass(frozen=True)
class Hair:
    """The hair in a canvas; every field is (h, w)."""

    streak: Array
    """Brightness in [0, 1]."""
    x: Array
    """Right and up on the screen: where it points, as a unit vector."""
    y: Array
    length: Array
    """In px."""

    def edge(self, surface: Surface) -> Array:
        """Return the (h, w) opacity: ends of hairs at the edge instead of a smooth line."""
        mask = surface.mask
        width = float(np.clip(np.median(self.length[mask]) if mask.any() else 1, 1, 9))
        side = int(width) | 1
        inner = box_mean(box_mean(mask.astype(np.float32), side), side)
        cover = ((inner - 0.5) * 2.2 - 1.1 * (self.streak - 0.25)) * width * 0.9 + 0.3
        opacity: Array = np.clip(cover, 0, 1) * mask
        return opacity

    def ruffle(self, rgb: Array, surface: Surface) -> Array:
        """Return (3, h, w) colors, each fetched from a little further along the hair."""
        height, width = rgb.shape[1:]
        shift = np.clip(self.length, 0, 9) * (self.streak - 0.5)
        down, right = (shift * self.y).astype(np.intp), (shift * self.x).astype(np.intp)
        rows = np.clip(np.arange(height)[:, None] + down, 0, height - 1)
        index = rows * width + np.clip(np.arange(width) - right, 0, width - 1)
        unmoved = np.arange(height * width).reshape(height, width)
        index = np.where(surface.mask.reshape(-1)[index], index, unmoved)
        return np.stack([channel.reshape(-1)[index] for channel in rgb])


def comb(canvas: Canvas, figure: Figure, surface: Surface, rng: Rng) -> Hair:
    """Return the hair of a figure."""
    flow = np.zeros((3, *canvas.shape), np.float32)
    length = np.zeros(canvas.shape, np.float32)
    for region, share in zip(figure.regions, surface.shares, strict=True):
        lying = transform(canvas.camera.rotation, unit(region.frame.toward(region.flow)))
        flow += lying[:, None, None] * share
        length += np.float32(region.hair * canvas.camera.scale) * share
    lift = 0.75 - sum(flow[i] * surface.normal[i] for i in range(3))
    x, y = (box_mean(flow[i] + lift * surface.normal[i], 7) for i in range(2))
    angle = portable(np.arctan2, -y, x)
    bins = np.rint(angle * np.float32(ANGLES / np.pi)).astype(np.intp) % ANGLES
    oy, ox = rng.integers(0, TILE_PX, 2)
    rows = (np.arange(canvas.shape[0]) + oy) % TILE_PX
    columns = (np.arange(canvas.shape[1]) + ox) % TILE_PX
    tiles = hair_tiles(CURL_PX if figure.woolly else HAIR_PX)
    streak = tiles.reshape(-1)[(bins * TILE_PX + rows[:, None]) * TILE_PX + columns]
    size = np.sqrt(x * x + y * y) + np.float32(1e-3)
    return Hair(streak, x / size, y / size, length)
