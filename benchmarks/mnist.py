"""MNIST: our own network, trained as params.yaml says, against PyTorch's example.

The example: two convolutions of 32 and 64 channels, dropout, Adadelta from 1.0, which falls by 0.7
an epoch, 14 epochs in batches of 64, each digit made a picture, then a tensor, then normalized, as
torchvision's data set does. By default one of its epochs is measured and multiplied; epochs take
equally long. Ours is measured whole: a new process, augmentation, tests, saving.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import measuring
import recipes
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

from pandacat.core import paths
from pandacat.core.files import read_json
from pandacat.core.parallel import core_count
from pandacat.data.digits import read_digits

EXAMPLE_EPOCHS = 14
MEAN, STD = 0.1307, 0.3081


def example_network() -> nn.Module:
    """Return the network of PyTorch's MNIST example."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(9216, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


class Digits(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """The digits of a split, as `torchvision.datasets.MNIST` gives them to the example."""

    def __init__(self, split: Literal["train", "test"]) -> None:
        """Read the digits; each is transformed when it is requested."""
        images, classes = read_digits(paths.MNIST, split=split)
        self.images, self.classes = torch.from_numpy(images), torch.from_numpy(classes)
        steps = [transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.images[place].numpy())
        return self.transform(image), int(self.classes[place])


def example(epochs: int) -> tuple[float, float]:
    """Train for so many epochs; return the seconds an epoch took, and the test accuracy."""
    torch.manual_seed(1)
    torch.set_num_threads(core_count())
    model = example_network()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    batches = torch.utils.data.DataLoader(Digits("train"), batch_size=64, shuffle=True)
    began = time.perf_counter()
    for _ in range(epochs):
        recipes.train_epoch(model, batches, optimizer)
        schedule.step()
        test_accuracy = accuracy(model)
    return (time.perf_counter() - began) / epochs, test_accuracy


@torch.inference_mode()
def accuracy(model: nn.Module) -> float:
    """Return the accuracy on the test digits."""
    model.eval()
    data = Digits("test")
    batches = torch.utils.data.DataLoader(data, batch_size=1000)
    correct = [int((model(images).argmax(1) == classes).sum()) for images, classes in batches]
    return sum(correct) / len(data)


def ours(folder: Path) -> tuple[float, float]:
    """Run the stage in a copy of the project; return its seconds and the test accuracy."""
    for part in ("stages", "src", "data/mnist"):
        shutil.copytree(part, folder / part)
    shutil.copy("params.yaml", folder)
    environment = os.environ | {"PYTHONPATH": "src", "PANDACAT_TRACKING": "later"}
    command = [sys.executable, "stages/train_scratch_mnist.py"]
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True)
    seconds = time.perf_counter() - began
    return seconds, read_json(folder / "metrics/train_scratch_mnist.json")["test"]["accuracy"]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--example-epochs", type=int, default=1, help="to measure, of 14")
    options = parser.parse_args()
    measuring.project()
    measuring.require(paths.MNIST, "run `dvc repro fetch_mnist`.")
    with tempfile.TemporaryDirectory() as folder:
        our_seconds, our_accuracy = ours(Path(folder))
    epoch_seconds, example_accuracy = example(options.example_epochs)
    seconds = {"pandacat": [our_seconds], "PyTorch's example": [EXAMPLE_EPOCHS * epoch_seconds]}
    measured = f"{options.example_epochs} of its {EXAMPLE_EPOCHS} epochs"
    comparison = measuring.Comparison(
        "MNIST, start to finish",
        "s",
        seconds,
        {"PyTorch's example / pandacat": seconds["PyTorch's example"][0] / our_seconds},
        {
            "test accuracy, pandacat": our_accuracy,
            f"test accuracy, PyTorch's example after {measured}": example_accuracy,
            "PyTorch's example": f"{measured} measured, {epoch_seconds:.1f} s each",
        },
    )
    measuring.report("mnist", comparison)


if __name__ == "__main__":
    measuring.run(main)
