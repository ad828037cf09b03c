"""The project's own convolutional network, written from its layers up.

A photo goes through a few *stages*. Each halves the sides of the feature maps and makes more of
them: from edges and colors to patches of fur, to eyes and ears. What is left at the end is averaged
over the picture and weighted once for each class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from pandacat.core.errors import MODEL_AGAIN, PandacatError


@dataclass(frozen=True)
class ScratchSpec:
    """The shape of the network: all that is needed to build it."""

    image_channels: int
    """1 for gray pictures, 3 for color."""
    input_px: int
    """Sides of the square pictures it is trained on."""
    channels: tuple[int, ...]
    """Number of feature maps of each stage."""
    depths: tuple[int, ...]
    """Number of convolutions of each stage."""
    classes: int
    dropout: float = 0.0
    """Share of the averaged features blanked at random while training."""


class Normalization(nn.Module):
    """Shift and scale each color channel to mean 0 and standard deviation 1 over all pictures."""

    mean: Tensor
    std: Tensor

    def __init__(self, image_channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(image_channels, 1, 1))
        self.register_buffer("std", torch.ones(image_channels, 1, 1))

    def measure(self, images: Tensor) -> None:
        """Take mean and standard deviation from the training pictures, `(N, C, H, W) uint8`."""
        levels = torch.arange(256, dtype=torch.float64) / 255
        for channel in range(images.shape[1]):
            counts = torch.bincount(images[:, channel].flatten(), minlength=256).double()
            mean = (counts * levels).sum() / counts.sum()
            variance = (counts * (levels - mean) ** 2).sum() / counts.sum()
            self.mean[channel] = mean
            self.std[channel] = variance.sqrt().clamp_min(1e-3)

    def forward(self, images: Tensor) -> Tensor:
        """Return `images` `(N, C, H, W)` normalized."""
        return (images - self.mean) / self.std


class Convolution(nn.Module):
    """3×3 convolution, batch normalization, ReLU: the brick of which everything is built.

    The convolution slides one small pattern per output channel over the maps and measures how well
    it fits at each place; batch normalization scales the result to a range where learning is quick;
    the ReLU keeps only what fits. `pool` halves the sides before or after the convolution: of each
    2×2 numbers the largest stays.
    """

    def __init__(
        self, channels_in: int, channels_out: int, pool: Literal["before", "after"] | None = None
    ) -> None:
        super().__init__()
        self.pool = pool
        self.patterns = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, maps: Tensor) -> Tensor:
        """Return `(N, channels_out, H, W)`, or H / 2 and W / 2, of `(N, channels_in, H, W)`."""
        if self.pool == "before":
            maps = max_pool2d(maps, 2)
        maps = self.patterns(maps)
        if self.pool == "after":
            maps = max_pool2d(maps, 2)
        return torch.relu(self.norm(maps))


class Stage(nn.Module):
    """One convolution that halves the sides, then more that refine its result.

    The first stage of a network convolves the picture in full before it halves; later ones halve
    first, which makes their many maps four times as cheap. The refining convolutions *add* to the
    maps (a residual connection: He et al. 2016, section 3.2), so that the gradient reaches the
    early layers undiminished.
    """

    def __init__(self, channels_in: int, channels_out: int, depth: int, *, first: bool) -> None:
        super().__init__()
        self.halve = Convolution(channels_in, channels_out, "after" if first else "before")
        self.refine = nn.ModuleList(
            Convolution(channels_out, channels_out) for _ in range(1, depth)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return `(N, channels_out, H / 2, W / 2)` of `(N, channels_in, H, W)`."""
        maps = self.halve(maps)
        for convolution in self.refine:
            maps = maps + convolution(maps)
        return maps


class ScratchNetwork(nn.Module):
    """Pictures in, one logit per class out; the normalization of the pictures is part of it."""

    def __init__(self, spec: ScratchSpec) -> None:
        super().__init__()
        self.spec = spec
        self.normalization = Normalization(spec.image_channels)
        ends = zip((spec.image_channels, *spec.channels), spec.channels, spec.depths, strict=False)
        self.stages = nn.ModuleList(
            Stage(channels_in, channels_out, depth, first=number == 0)
            for number, (channels_in, channels_out, depth) in enumerate(ends)
        )
        self.dropout = nn.Dropout(spec.dropout)
        self.head = nn.Linear(spec.channels[-1], spec.classes)

    def stage_maps(self, images: Tensor) -> list[Tensor]:
        """Return the maps `(N, C, H, W)` after each stage for `images`, as `forward` takes them."""
        maps = [self.normalization(images)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(N, classes)` for `images` `(N, C, H, W) float32` in [0, 1]."""
        features = self.stage_maps(images)[-1].mean(dim=(2, 3))
        logits: Tensor = self.head(self.dropout(features))
        return logits


def build(spec: ScratchSpec, *, seed: int) -> ScratchNetwork:
    """Return an untrained network whose weights depend on `seed` alone.

    Convolutions start as He et al. 2015 (equation 10) propose, so that the scale of the signal
    stays the same from layer to layer.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ScratchNetwork(spec)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return network


def restore(architecture: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> ScratchNetwork:
    """Return the network with saved weights, in evaluation mode.

    `architecture` holds the fields of `ScratchSpec`; `tensors` are those of a saved model, named
    `backbone.…`.

    Raises:
        PandacatError: the two don't fit, or one is not of this network.
    """
    try:
        spec = TypeAdapter(ScratchSpec).validate_python(dict(architecture))
        if sum(spec.depths) > len(tensors):
            raise ValueError("there are more convolutions than weights")
        with torch.device("meta"):  # takes no memory, whatever sizes a description claims
            network = ScratchNetwork(spec)
        state = {key.removeprefix("backbone."): torch.tensor(tensors[key]) for key in tensors}
        network.load_state_dict(state, assign=True)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise PandacatError(
            f"These are not the weights of a scratch network: {reason}. {MODEL_AGAIN}"
        ) from None
    return network.to(memory_format=torch.channels_last).eval()


def multiply_adds(network: ScratchNetwork) -> int:
    """Return the number of multiply-add operations for one picture."""
    total, side = network.head.weight.numel(), network.spec.input_px
    for number, stage in enumerate(network.stages):
        halving, *refining = (
            module.weight.numel() for module in stage.modules() if isinstance(module, nn.Conv2d)
        )
        # Each weight is used once at each place of the map that its convolution makes.
        total += halving * (side // 2 if number else side) ** 2 + sum(refining) * (side // 2) ** 2
        side //= 2
    return total
