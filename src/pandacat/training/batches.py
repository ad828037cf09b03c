"""Training examples in memory, and the shuffled batches of an epoch."""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pandacat.training.device import Device

Batch = tuple[Tensor, Tensor]
"""Rows of the examples, `(N,) int64`, and the random numbers for each, `(N, K) float32`."""


@dataclass(frozen=True)
class Examples:
    """Inputs, such as pictures `(N, C, H, W) uint8`, and the class of each, `(N,) int64`."""

    inputs: Tensor
    classes: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def on(self, device: Device) -> "Examples":
        """Return the same examples in the memory of a device."""
        return Examples(self.inputs.to(device.name), self.classes.to(device.name))

    def batch_count(self, batch_size: int) -> int:
        """Return the number of batches in an epoch."""
        return math.ceil(len(self) / batch_size)

    def fingerprint(self) -> str:
        """Return the SHA-256 over all of it, as 64 hex digits."""
        digest = hashlib.sha256()
        for tensor in (self.inputs, self.classes):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Dataset:
    """What a network learns from, and what it is validated and tested on."""

    title: str
    """For a reader."""
    fingerprint: str
    """SHA-256 of the photos or digits, their labels and splits."""
    labels: tuple[str, ...]
    """Names of the classes."""
    train: Examples
    validation: Examples
    test: Examples | None = None
    """`None` where it is not needed."""
    drawn: bool = False
    """Whether the pictures were drawn by a program and are not photographs."""


def shuffled_batches(
    examples: Examples,
    batch_size: int,
    rng: torch.Generator,
    draw: Callable[[int], Tensor],
    device: Device,
) -> Iterator[Batch]:
    """Return the rows of all examples once, shuffled, in batches of nearly equal size.

    `draw` returns the random numbers for so many examples. Those of a whole epoch go to the device
    at once, where the examples are, so that no step waits for the CPU.
    """
    count = examples.batch_count(batch_size)
    order = torch.randperm(len(examples), generator=rng)
    draws = torch.cat([draw(len(rows)) for rows in order.tensor_split(count)])
    on_device = (tensor.to(device.name).tensor_split(count) for tensor in (order, draws))
    return zip(*on_device, strict=True)


def generator_for(*parts: str | int) -> torch.Generator:
    """Return a generator of its own for this combination, e.g. ("batches", seed, epoch)."""
    return torch.Generator().manual_seed(seed_from(*parts))


def seed_from(*parts: str | int) -> int:
    """Return a 63-bit seed for this combination of names and numbers."""
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
