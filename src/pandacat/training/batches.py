"""Training examples in memory, and the shuffled batches of an epoch."""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Batch = tuple[Tensor, Tensor]
"""Inputs and the class of each."""


class Batches(Protocol):
    """One epoch's batches, whose number is known."""

    def __len__(self) -> int:
        """Return the number of batches."""

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches."""


@dataclass(frozen=True)
class Examples:
    """Inputs, such as pictures (N, C, H, W) uint8, and the class of each, (N,) int64."""

    inputs: Tensor
    classes: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def fingerprint(self) -> str:
        """Return the SHA-256 over all of it, as 64 hex digits."""
        digest = hashlib.sha256()
        for tensor in (self.inputs, self.classes):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()

    def split(self, first: int) -> tuple["Examples", "Examples"]:
        """Return the `first` so many, and the others."""
        return (
            Examples(self.inputs[:first], self.classes[:first]),
            Examples(self.inputs[first:], self.classes[first:]),
        )


class ShuffledBatches:
    """All examples once, shuffled, in batches of nearly equal size.

    `transform` gets each batch's inputs, on the device, and returns what the network is to see.
    There are no loader processes: the examples lie in memory as bytes, decoded long ago, and the
    device that trains also changes the pictures, a batch at a time, in 3 to 8 % of a step.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        generator: torch.Generator,
        *,
        transform: Callable[[Tensor], Tensor],
        device: torch.device,
        pin_memory: bool = False,
    ) -> None:
        self.examples = examples
        self.device, self.transform, self.pin_memory = device, transform, pin_memory
        order = torch.randperm(len(examples), generator=generator)
        self.rows = order.tensor_split(math.ceil(len(examples) / batch_size))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Batch]:
        for rows in self.rows:
            inputs = self._on_device(self.examples.inputs[rows])
            yield self.transform(inputs), self._on_device(self.examples.classes[rows])

    def _on_device(self, tensor: Tensor) -> Tensor:
        if self.pin_memory:
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=self.pin_memory)


def generator_for(*parts: str | int) -> torch.Generator:
    """Return a generator of its own for this combination, e.g. ("batches", seed, epoch)."""
    return torch.Generator().manual_seed(seed_from(*parts))


def seed_from(*parts: str | int) -> int:
    """Return a 63-bit seed for this combination of names and numbers."""
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
