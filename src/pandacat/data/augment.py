"""Random augmentation of whole batches, on the device that trains."""

import functools
import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from pandacat.config.training import AugmentParams


def augmented(images: Tensor, params: AugmentParams, generator: Generator) -> Tensor:
    """Return randomly augmented `images`, (N, C, H, W) float32 in [0, 1].

    All random numbers come from `generator`, on the CPU, so that they are the same for every
    device.
    """
    images = _warped(images, params, generator)
    if params.color:
        images = _recolored(images, params.color, generator)
    if params.random_erasing:
        images = _randomly_erased(images, params.random_erasing, generator)
    return images


def mixup(
    images: Tensor, targets: Tensor, limit: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Blend up to `limit` of another image of the batch into each, and as much of its target.

    `images` are (N, C, H, W), `targets` probabilities (N, classes). Source: mixup (Zhang et al.
    2018, section 2), here with a share that is uniform for each image.
    """
    share = (limit * torch.rand(len(images), generator=generator)).to(images.device)
    return (
        torch.lerp(images, images.flip(0), share[:, None, None, None]),
        torch.lerp(targets, targets.flip(0), share[:, None]),
    )


def _warped(images: Tensor, params: AugmentParams, generator: Generator) -> Tensor:
    """Apply a random affine map to each image, a flip among them, and an elastic deformation."""
    count, _, height, width = images.shape

    def uniform(limit: float) -> Tensor:
        return torch.empty(count).uniform_(-limit, limit, generator=generator)

    angle = uniform(math.radians(params.rotation_degrees))
    low, high = params.scale
    scale = math.sqrt(low * high) * uniform(math.log(math.sqrt(high / low))).exp()
    aspect = uniform(math.log1p(params.aspect) / 2).exp()
    shear = uniform(params.shear)
    flip = uniform(1).sign() if params.flip else torch.ones(count)

    # Each pixel's source position is a weighted sum of a few fields: one matrix product for all.
    cos, sin = angle.cos(), angle.sin()
    across = torch.stack([cos, sin], dim=1) * (flip / (scale * aspect))[:, None]
    along = torch.stack([shear * cos - sin, shear * sin + cos], dim=1) * (aspect / scale)[:, None]
    translate = torch.stack([uniform(2 * params.translate), uniform(2 * params.translate)], dim=1)
    weights = torch.stack([across, along, translate], dim=2)
    fields = _affine_fields(height, width)
    if params.elastic:
        shifts = 2 * params.elastic * torch.randn(count, 2, 25, generator=generator)
        weights = torch.cat([weights, shifts], dim=2)
        fields = torch.cat([fields, _elastic_fields(height, width)])
    grid = weights.to(images.device) @ fields.to(images.device)
    grid = grid.unflatten(2, (height, width)).permute(0, 2, 3, 1)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


@functools.cache
def _affine_fields(height: int, width: int) -> Tensor:
    """Return the coordinates x and y of each pixel, from -1 to 1, and 1: (3, H · W)."""
    y, x = torch.meshgrid(
        (2 * torch.arange(height) + 1) / height - 1,
        (2 * torch.arange(width) + 1) / width - 1,
        indexing="ij",
    )
    return torch.stack([x, y, torch.ones_like(x)]).flatten(1)


@functools.cache
def _elastic_fields(height: int, width: int) -> Tensor:
    """Return how far each pixel moves with each point of a 5×5 grid alone: (25, H · W)."""
    points = torch.eye(25).unflatten(1, (5, 5))[:, None]
    return functional.interpolate(
        points, (height, width), mode="bicubic", align_corners=True
    ).flatten(1)


def _recolored(images: Tensor, limit: float, generator: Generator) -> Tensor:
    """Change the saturation, contrast and brightness of each image, in this order."""

    def factor() -> Tensor:
        factors = torch.empty(len(images), 1, 1, 1)
        return factors.uniform_(1 - limit, 1 + limit, generator=generator).to(images.device)

    gray = images.mean(dim=1, keepdim=True)
    images = torch.lerp(gray, images, factor())
    images = torch.lerp(gray.mean(dim=(2, 3), keepdim=True), images, factor())
    return (images * factor()).clamp_(0, 1)


def _randomly_erased(images: Tensor, limit: float, generator: Generator) -> Tensor:
    """Cover a random rectangle of each image, its sides up to `limit` of the image's, in gray."""
    count, _, height, width = images.shape

    def covered(length: int) -> Tensor:
        size = limit * torch.rand(count, 1, generator=generator)
        start = (1 - size) * torch.rand(count, 1, generator=generator)
        positions = (torch.arange(length) + 0.5) / length
        return ((positions >= start) & (positions < start + size)).to(images.device)

    hole = covered(height)[:, None, :, None] & covered(width)[:, None, None, :]
    return images.masked_fill(hole, 0.5)
