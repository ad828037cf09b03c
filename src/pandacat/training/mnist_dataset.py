"""The handwritten digits of MNIST as a data set to train on."""

from pathlib import Path
from typing import Literal

import torch

from pandacat.data import provenance
from pandacat.data.digits import read_digits
from pandacat.training.batches import Dataset, Examples

VALIDATION_DIGITS = 5_000
"""The last of the 60,000 training digits."""


def mnist_dataset(folder: Path) -> Dataset:
    """Return the digits, `(N, 1, 28, 28) uint8`; 5,000 of the training digits are for validation.

    Raises:
        PandacatError: a file is missing or damaged.
    """

    def examples(split: Literal["train", "test"], rows: slice = slice(None)) -> Examples:
        images, classes = read_digits(folder, split=split)
        return Examples(
            torch.from_numpy(images[rows])[:, None], torch.from_numpy(classes[rows]).long()
        )

    origin = provenance.read(folder / "provenance.json")
    return Dataset(
        title=origin.title,
        fingerprint=origin.sha256,
        labels=tuple("0123456789"),
        train=examples("train", slice(None, -VALIDATION_DIGITS)),
        validation=examples("train", slice(-VALIDATION_DIGITS, None)),
        test=examples("test"),
    )
