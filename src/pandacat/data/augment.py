"""Random augmentation of whole batches, on the device that trains.

The random numbers are drawn first, on the CPU, so that they are the same for every device. What
follows needs nothing but tensors on the device.
"""

import functools
import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from pandacat.config.training import AugmentParams

AFFINE_FIELDS, ELASTIC_POINTS = 3, 25


def draw_augmentations(count: int, params: AugmentParams, generator: Generator) -> Tensor:
    """Return the random numbers for `count` images, `(count, K) float32`, on the CPU."""
    columns = [_draw_warp(count, params, generator)]
    if params.color:
        low, high = 1 - params.color, 1 + params.color
        factors = [torch.empty(count, 1).uniform_(low, high, generator=generator) for _ in range(3)]
        columns += factors  # saturation, contrast, brightness
    if params.random_erasing:
        for _ in ("rows", "columns"):
            size = params.random_erasing * torch.rand(count, 1, generator=generator)
            start = (1 - size) * torch.rand(count, 1, generator=generator)
            columns += [start, start + size]
    return torch.cat(columns, dim=1)


def augmented(images: Tensor, draws: Tensor, params: AugmentParams) -> Tensor:
    """Return `images`, `(N, C, H, W) float32` in [0, 1], each augmented by its row of `draws`.

    These come from `draw_augmentations`; further columns have no influence.
    """
    fields = AFFINE_FIELDS + (ELASTIC_POINTS if params.elastic else 0)
    widths = [2 * fields, 3 if params.color else 0, 4 if params.random_erasing else 0]
    warp, factors, edges = draws[:, : sum(widths)].split(widths, dim=1)
    images = _warped(images, warp.unflatten(1, (2, fields)))
    if params.color:
        images = _recolored(images, *factors.T[..., None, None, None])
    if params.random_erasing:
        images = _erased(images, *edges.T)
    return images


def draw_mixup(count: int, limit: float, generator: Generator) -> Tensor:
    """Return the share of another image that is blended into each, up to `limit`: `(count, 1)`."""
    return limit * torch.rand(count, 1, generator=generator)


def mixup(images: Tensor, targets: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Blend another image of the batch into each, and as much of its target.

    `images` are (N, C, H, W), `targets` probabilities (N, classes) and `shares` (N, 1). Source:
    mixup (Zhang et al. 2018, section 2), here with a share that is uniform for each image.
    """
    return (
        torch.lerp(images, images.flip(0), shares[..., None, None]),
        torch.lerp(targets, targets.flip(0), shares),
    )


def _draw_warp(count: int, params: AugmentParams, generator: Generator) -> Tensor:
    """Return the weights of a random affine map of each image, a flip and a deformation.

    Each pixel's source position is a weighted sum of a few fields, `(count, 2 * fields)`.
    """

    def uniform(limit: float) -> Tensor:
        return torch.empty(count).uniform_(-limit, limit, generator=generator)

    angle = uniform(math.radians(params.rotation_degrees))
    low, high = params.scale
    scale = math.sqrt(low * high) * uniform(math.log(math.sqrt(high / low))).exp()
    aspect = uniform(math.log1p(params.aspect) / 2).exp()
    shear = uniform(params.shear)
    flip = uniform(1).sign() if params.flip else torch.ones(count)

    cos, sin = angle.cos(), angle.sin()
    across = torch.stack([cos, sin], dim=1) * (flip / (scale * aspect))[:, None]
    along = torch.stack([shear * cos - sin, shear * sin + cos], dim=1) * (aspect / scale)[:, None]
    translate = torch.stack([uniform(2 * params.translate), uniform(2 * params.translate)], dim=1)
    weights = torch.stack([across, along, translate], dim=2)
    if params.elastic:
        points = torch.randn(count, 2, ELASTIC_POINTS, generator=generator)
        weights = torch.cat([weights, 2 * params.elastic * points], dim=2)
    return weights.flatten(1)


def _warped(images: Tensor, weights: Tensor) -> Tensor:
    """Move the pixels of each image by the sum of the fields, weighted: `(N, 2, fields)`."""
    height, width = images.shape[2:]
    grid = weights @ _fields(height, width, weights.shape[2], images.device)
    grid = grid.unflatten(2, (height, width)).permute(0, 2, 3, 1)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


@functools.cache
def _fields(height: int, width: int, count: int, device: torch.device) -> Tensor:
    """Return `(count, H · W)`: the coordinates x and y of each pixel, from -1 to 1, and 1.

    Then, how far each pixel moves with each point of a 5×5 grid alone.
    """
    y, x = torch.meshgrid(
        (2 * torch.arange(height) + 1) / height - 1,
        (2 * torch.arange(width) + 1) / width - 1,
        indexing="ij",
    )
    points = torch.eye(ELASTIC_POINTS).unflatten(1, (5, 5))[:, None]
    elastic = functional.interpolate(points, (height, width), mode="bicubic", align_corners=True)
    fields = torch.cat([torch.stack([x, y, torch.ones_like(x)]), elastic[:, 0]]).flatten(1)
    return fields[:count].to(device)


def _recolored(images: Tensor, saturation: Tensor, contrast: Tensor, brightness: Tensor) -> Tensor:
    """Change the color of each image by its factors `(N, 1, 1, 1)`."""
    gray = images.mean(dim=1, keepdim=True)
    images = torch.lerp(gray, images, saturation)
    images = torch.lerp(gray.mean(dim=(2, 3), keepdim=True), images, contrast)
    return (images * brightness).clamp_(0, 1)


def _erased(images: Tensor, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Cover a rectangle of each image in gray; its edges `(N,)` are shares of the sides."""

    def covered(length: int, start: Tensor, end: Tensor) -> Tensor:
        positions = (torch.arange(length, device=images.device) + 0.5) / length
        return (positions >= start[:, None]) & (positions < end[:, None])

    height, width = images.shape[2:]
    hole = covered(height, top, bottom)[:, None, :, None]
    return images.masked_fill(hole & covered(width, left, right)[:, None, None, :], 0.5)
