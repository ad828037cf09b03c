"""The state of an unfinished training, so that an interrupted one resumes where it stopped."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pandacat.core import files
from pandacat.core.console import print_status
from pandacat.core.processes import process_count
from pandacat.training.batches import Dataset
from pandacat.training.device import pick_device

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Checkpoint:
    """The state of an unfinished training, in one file outside all stages' outputs.

    Only a training with the same `key` resumes from it, so that no state of other parameters, data
    or code is used.
    """

    folder: Path
    name: str
    key: str

    @property
    def path(self) -> Path:
        """The file's path."""
        return self.folder / f"{self.name}-{self.key[:16]}.pt"

    def save(self, state: Mapping[str, Any]) -> None:
        """Write `state`, atomically."""
        stream = io.BytesIO()  # torch's own message for a full disk does not name the cause
        torch.save({"key": self.key, **state}, stream)
        with files.atomic_write(self.path) as aside:
            aside.write_bytes(stream.getbuffer())

    def load(self) -> dict[str, Any] | None:
        """Return the saved state; `None`, with a message to the user, where it is not usable."""
        if not self.path.exists():
            if any(self.folder.glob(f"{self.name}-*.pt")):
                self._warn("an interrupted training is left from other settings; not used")
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
            if state["key"] != self.key:
                raise ValueError("it belongs to another training")
        except Exception as error:  # a damaged file raises anything
            reason = " ".join(str(error).split())[:100]
            self._warn(f"the checkpoint {self.path} is not usable ({reason}); starting over")
            return None
        return state

    def _warn(self, text: str) -> None:
        print_status(f"{self.name}: {text}.")

    def remove(self) -> None:
        """Remove the file, once the training's outputs are safely written."""
        files.remove(self.path)


def checkpoint_key(
    params: Mapping[str, Any], dataset: Dataset, *, start: str = "", package: Path = PACKAGE
) -> str:
    """Return a hash over everything that a training depends on.

    `params` is JSON content and `start` the fingerprint of the weights to start from. The code of
    `training`, `models` and the augmentation in `package`, the release of torch, the device and the
    numbers of processes and threads count in, too: they change the last bits.
    """
    workers = f"{process_count()} {torch.get_num_threads()}"
    machine = f"{torch.__version__} {workers} {pick_device()}"
    data = f"{dataset.train.fingerprint()} {dataset.validation.fingerprint()}"
    settings = f"{json.dumps(params, sort_keys=True)} {data} {start} {machine}"
    digest = hashlib.sha256(settings.encode())
    code = [*package.glob("training/*.py"), *package.glob("models/*.py")]
    for source in (*sorted(code), package / "data" / "augment.py"):
        digest.update(source.read_bytes())
    return digest.hexdigest()
