"""Read the MNIST digits from the IDX files that `fetch_mnist` wrote."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pandacat.core.files import reading

IDX_UINT8 = 0x08


def read_digits(
    folder: Path, split: Literal["train", "test"]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the images, `(N, 28, 28) uint8`, and their labels 0 to 9, `(N,) uint8`.

    N is 60,000 for training and 10,000 for testing, in the official order.

    Raises:
        PandacatError: a file is damaged.
        OSError: a file is missing.
    """
    prefix = {"train": "train", "test": "t10k"}[split]
    images = _read_idx(folder / f"{prefix}-images-idx3-ubyte")
    labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte")
    return images, labels


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array in a file of the IDX format: type, number of axes, sizes, content."""
    with reading(path):
        content = bytearray(path.read_bytes())
        if content[:3] != bytes([0, 0, IDX_UINT8]):
            raise ValueError("not an IDX file of bytes")
        header_bytes = 4 + 4 * int.from_bytes(content[3:4], "big")
        shape = np.frombuffer(content[4:header_bytes], ">u4").astype(int)
        return np.frombuffer(content, np.uint8, offset=header_bytes).reshape(shape)
