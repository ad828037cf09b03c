"""Training examples in memory, and the shuffled batches of an epoch."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pandacat.config.training import AugmentParams
from pandacat.data.augment import augmented
from pandacat.training.device import Device

Batch = tuple[Tensor, Tensor]
"""Inputs and the class of each."""


@dataclass(frozen=True)
class Examples:
    """Inputs, such as pictures `(N, C, H, W) uint8`, and the class of each, `(N,) int64`."""

    inputs: Tensor
    classes: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

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
    augment: AugmentParams,
    rng: torch.Generator,
    device: Device,
) -> Iterator[Batch]:
    """Yield all examples once, shuffled, in batches of nearly equal size, on the device.

    Pictures, which are bytes, are augmented and become float32 in [0, 1]; features stay as they
    are. There are no loader processes: the examples are decoded and in memory, and the device that
    trains also augments them, a batch at a time, in 3 to 8 % of a step.
    """
    order = torch.randperm(len(examples), generator=rng)
    for rows in order.tensor_split(examples.batch_count(batch_size)):
        inputs, classes = device.put(examples.inputs[rows]), device.put(examples.classes[rows])
        if inputs.dtype == torch.uint8:
            inputs = augmented(inputs.float() / 255, augment, rng)
        yield inputs, classes


def generator_for(*parts: str | int) -> torch.Generator:
    """Return a generator of its own for this combination, e.g. ("batches", seed, epoch)."""
    return torch.Generator().manual_seed(seed_from(*parts))


def seed_from(*parts: str | int) -> int:
    """Return a 63-bit seed for this combination of names and numbers."""
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
