"""What processes train together for tests/test_distributed.py, which has torchrun start them."""

import os
import signal
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from bar_pictures import UNCHANGED, bar_data, scratch_params
from small_heads import with_head

from pandacat.config.loading import default_config
from pandacat.config.training import TrainScratchParams
from pandacat.core.processes import is_first_process
from pandacat.core.stage import run
from pandacat.models import pretrained
from pandacat.models.saved import SavedModel
from pandacat.training.batches import Dataset, Examples
from pandacat.training.checkpoint import Checkpoint, checkpoint_key
from pandacat.training.fine_tune import fine_tune
from pandacat.training.loop import EpochRecord
from pandacat.training.scratch import train_scratch
from stages import train_scratch_mnist

AUGMENTED = replace(
    UNCHANGED,
    rotation_degrees=20.0,
    scale=(0.8, 1.2),
    elastic=0.05,
    flip=True,
    random_erasing=0.3,
)
PARAMS = scratch_params(
    batch_size=15, augment=AUGMENTED, mixup=0.4, dropout=0.2, label_smoothing=0.1
)
"""All that is drawn at random, and batches of 14 or 15, of which one process has more than half."""


def trained(*, epochs: int, checkpoint: Checkpoint | None = None, **more: Any) -> dict[str, Any]:
    """Train the scratch network; return its weights and what was measured in each epoch."""
    params = replace(PARAMS, epochs=epochs)
    network, history = train_scratch(bar_data(), params, checkpoint=checkpoint, **more)
    return {"weights": network.state_dict(), "epochs": [asdict(one) for one in history.epochs]}


def fine_tuned() -> dict[str, Any]:
    """Fine-tune all of a pretrained network on noise."""
    network = pretrained.load(pretrained.LITE0)
    described = with_head(np.zeros((1000, 1))).description
    generator = torch.Generator().manual_seed(0)

    def noise(count: int) -> Examples:
        images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
        return Examples(images, torch.arange(count) % 3)

    dataset = Dataset("noise", "0" * 64, ("panda", "cat", "other"), noise(14), noise(6))
    params = replace(
        default_config().fine_tune, strategy="everything", steps=2, batch_size=7, patience=None
    )
    model, history = fine_tune(SavedModel(described, network.tensors()), dataset, params)
    weights = {name: torch.tensor(values) for name, values in model.tensors.items()}
    return {"weights": weights, "epochs": [asdict(one) for one in history.epochs]}


def run_stage() -> None:
    """Run the stage of the digits on bars, in this folder."""
    quick = TrainScratchParams(mnist=replace(PARAMS, epochs=1), photos=PARAMS)
    config = replace(default_config(), train_scratch=quick)
    with patch.multiple(
        train_scratch_mnist, load_config=lambda: config, mnist_dataset=lambda folder: bar_data()
    ):
        train_scratch_mnist.main()


def end_first_process(record: EpochRecord) -> None:
    """Let the first process be killed after its first epoch."""
    if is_first_process():
        os.kill(os.getpid(), signal.SIGKILL)


def save(name: str, result: dict[str, Any]) -> None:
    """Write what came out, by the first process."""
    if is_first_process():
        torch.save(result, f"{name}.pt")


def main(part: str) -> None:
    """Train in the current folder; `part` says what."""
    checkpoint = Checkpoint(Path(), "cut", checkpoint_key(asdict(PARAMS), bar_data()))
    if part == "begin":
        save("one-epoch", trained(epochs=1))
        save("one-epoch-again", trained(epochs=1))
        save("fine-tuned", fine_tuned())
        save("whole", trained(epochs=3))
        trained(epochs=3, checkpoint=checkpoint, on_epoch=end_first_process)
    else:
        save("resumed", trained(epochs=3, checkpoint=checkpoint))
        run_stage()
        train_scratch(bar_data(), replace(PARAMS, batch_size=2))


if __name__ == "__main__":
    run(main, distributed=True)
