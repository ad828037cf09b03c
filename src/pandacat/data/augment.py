"""Pictures changed in ways that leave the answer the same, a whole batch at a time."""

import functools
import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from pandacat.config.training import AugmentParams


def augmented(images: Tensor, how: AugmentParams, generator: Generator) -> Tensor:
    """Return augmented copies of `images`, (N, C, H, W) float32 in [0, 1], each changed in its way.

    All that is random is drawn from `generator`, which lives on the CPU, so that every device gets
    the same.
    """
    images = _moved(images, how, generator)
    if how.color:
        images = _recolored(images, how.color, generator)
    if how.random_erasing:
        images = _randomly_erased(images, how.random_erasing, generator)
    return images


def mixed(
    images: Tensor, targets: Tensor, reach: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Blend up to `reach` of another picture of the batch into each, and as much of its target.

    `images` are (N, C, H, W), `targets` probabilities (N, classes). Source: mixup (Zhang et al.
    2018, section 2), with a share that is drawn evenly for each picture.
    """
    share = (reach * torch.rand(len(images), generator=generator)).to(images.device)
    return (
        torch.lerp(images, images.flip(0), share[:, None, None, None]),
        torch.lerp(targets, targets.flip(0), share[:, None]),
    )


def _moved(images: Tensor, how: AugmentParams, generator: Generator) -> Tensor:
    """Return the pictures turned, zoomed, stretched, slanted, mirrored, shifted and bent."""
    count, _, height, width = images.shape

    def uniform(limit: float) -> Tensor:
        return torch.empty(count).uniform_(-limit, limit, generator=generator)

    angle = uniform(math.radians(how.rotation_degrees))
    middle, reach = math.sqrt(how.scale[0] * how.scale[1]), math.sqrt(how.scale[1] / how.scale[0])
    scale = middle * uniform(math.log(reach)).exp()
    aspect = uniform(math.log1p(how.aspect) / 2).exp()
    shear = uniform(how.shear)
    mirror = uniform(1).sign() if how.flip else torch.ones(count)

    # Where each pixel comes from is a weighted sum of a few fields: one matrix product for all.
    cos, sin = angle.cos(), angle.sin()
    across = torch.stack([cos, sin], dim=1) * (mirror / (scale * aspect))[:, None]
    along = torch.stack([shear * cos - sin, shear * sin + cos], dim=1) * (aspect / scale)[:, None]
    translate = torch.stack([uniform(2 * how.translate), uniform(2 * how.translate)], dim=1)
    weights = torch.stack([across, along, translate], dim=2)
    fields = _straight_fields(height, width)
    if how.elastic:
        bends = 2 * how.elastic * torch.randn(count, 2, 25, generator=generator)
        weights = torch.cat([weights, bends], dim=2)
        fields = torch.cat([fields, _bent_fields(height, width)])
    places = weights.to(images.device) @ fields.to(images.device)
    places = places.unflatten(2, (height, width)).permute(0, 2, 3, 1)
    return functional.grid_sample(images, places, padding_mode="border", align_corners=False)


@functools.cache
def _straight_fields(height: int, width: int) -> Tensor:
    """Return the coordinates x and y of each pixel, from -1 to 1, and 1: (3, H · W)."""
    y, x = torch.meshgrid(
        (2 * torch.arange(height) + 1) / height - 1,
        (2 * torch.arange(width) + 1) / width - 1,
        indexing="ij",
    )
    return torch.stack([x, y, torch.ones_like(x)]).flatten(1)


@functools.cache
def _bent_fields(height: int, width: int) -> Tensor:
    """Return how far each pixel moves with each point of a 5×5 grid alone: (25, H · W)."""
    points = torch.eye(25).unflatten(1, (5, 5))[:, None]
    return functional.interpolate(
        points, (height, width), mode="bicubic", align_corners=True
    ).flatten(1)


def _recolored(images: Tensor, reach: float, generator: Generator) -> Tensor:
    """Return the pictures with other saturation, contrast and brightness, in this order."""

    def factor() -> Tensor:
        drawn = torch.empty(len(images), 1, 1, 1).uniform_(
            1 - reach, 1 + reach, generator=generator
        )
        return drawn.to(images.device)

    gray = images.mean(dim=1, keepdim=True)
    images = torch.lerp(gray, images, factor())
    images = torch.lerp(gray.mean(dim=(2, 3), keepdim=True), images, factor())
    return (images * factor()).clamp_(0, 1)


def _randomly_erased(images: Tensor, reach: float, generator: Generator) -> Tensor:
    """Return the pictures with a gray rectangle at a random place of each."""
    count, _, height, width = images.shape

    def covered(length: int) -> Tensor:
        size = reach * torch.rand(count, 1, generator=generator)
        start = (1 - size) * torch.rand(count, 1, generator=generator)
        places = (torch.arange(length) + 0.5) / length
        return ((places >= start) & (places < start + size)).to(images.device)

    hole = covered(height)[:, None, :, None] & covered(width)[:, None, None, :]
    return images.masked_fill(hole, 0.5)
