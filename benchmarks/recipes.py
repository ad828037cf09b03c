"""The usual alternatives: PyTorch's transfer-learning recipe, and fastai's `fine_tune`.

Each starts from the same ImageNet weights and trains the whole network on a folder of photos:

    python benchmarks/recipes.py plain FOLDER RESULT.npz

FOLDER has `train`, `validation` and any others, each with a folder per label. When the network is
trained and saved, its probabilities for the other folders are written to RESULT.npz, which is not
counted.
"""

import argparse
import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision import datasets, transforms

from pandacat.core.parallel import core_count
from pandacat.labels import OTHER
from pandacat.models import pretrained

SIZE_PX = 224
Milestone = tuple[float, float]
"""Seconds since the start, and the accuracy on the validation photos."""


def network(classes: int) -> nn.Module:
    """Return EfficientNet-Lite0 with ImageNet weights and a fresh last layer."""
    loaded = pretrained.load("efficientnet_lite0")
    return nn.Sequential(loaded.backbone.body, nn.Linear(loaded.head.in_features, classes))


def normalize(image: torch.Tensor) -> torch.Tensor:
    """Bring `[0, 1]` to what this network was trained with."""
    return (image * 255 - 127) / 128


MIDDLE = transforms.Compose(
    [transforms.Resize(256), transforms.CenterCrop(SIZE_PX), transforms.ToTensor(), normalize]
)
"""How both recipes preprocess a photo when they validate."""


def loader(
    folder: Path, transform: Callable[[Any], torch.Tensor], *, batch: int, shuffle: bool
) -> Any:
    """Return batches of images and classes, decoded again in each epoch."""
    data = datasets.ImageFolder(folder, transform)
    return torch.utils.data.DataLoader(data, batch, shuffle, num_workers=core_count())


@torch.inference_mode()
def probabilities(model: nn.Module, folder: Path) -> np.ndarray:
    """Return `(N, classes)` for the photos of `folder`, in the order of `ImageFolder`."""
    model.eval()
    batches = loader(folder, MIDDLE, batch=32, shuffle=False)
    return torch.cat([model(images).softmax(1) for images, _ in batches]).numpy()


def accuracy(model: nn.Module, folder: Path) -> float:
    """Return the accuracy on in-distribution photos, among in-distribution labels."""
    data = datasets.ImageFolder(folder)
    columns = [column for name, column in data.class_to_idx.items() if name != OTHER]
    labels = np.array(data.targets)
    asked = np.isin(labels, columns)
    predicted = np.array(columns)[probabilities(model, folder)[asked][:, columns].argmax(1)]
    return float(np.mean(predicted == labels[asked]))


def train_epoch(model: nn.Module, batches: Any, optimizer: torch.optim.Optimizer) -> None:
    """Take a step on the cross-entropy of each batch, as the examples of PyTorch do."""
    model.train()
    for images, classes in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), classes).backward()
        optimizer.step()


def plain(
    folder: Path, epochs: int, clock: Callable[[], float]
) -> tuple[nn.Module, list[Milestone]]:
    """Train as in PyTorch's transfer-learning tutorial; return the epoch that validates best."""
    augment = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIZE_PX),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            normalize,
        ]
    )
    batches = loader(folder / "train", augment, batch=4, shuffle=True)
    model = network(len(batches.dataset.classes))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    history: list[Milestone] = []
    best: dict[str, Any] = {}
    for _ in range(epochs):
        train_epoch(model, batches, optimizer)
        schedule.step()
        history.append((clock(), accuracy(model, folder / "validation")))
        if history[-1][1] >= max(share for _, share in history):
            best = copy.deepcopy(model.state_dict())
        print(
            f"  epoch {len(history)}: {history[-1][1]:.1%} after {history[-1][0]:.0f} s", flush=True
        )
    model.load_state_dict(best)
    return model, history


def fastai(
    folder: Path, epochs: int, clock: Callable[[], float]
) -> tuple[nn.Module, list[Milestone]]:
    """Train with fastai's `fine_tune`: an epoch of the last layer, then `epochs` of everything."""
    from fastai.vision import all as vision

    data = vision.ImageDataLoaders.from_folder(
        folder,
        train="train",
        valid="validation",
        item_tfms=vision.Resize(460),
        batch_tfms=[
            *vision.aug_transforms(size=SIZE_PX),
            vision.Normalize.from_stats([127 / 255] * 3, [128 / 255] * 3, cuda=False),
        ],
        bs=32,
        num_workers=core_count(),
    )
    model = network(data.c)
    learner = vision.Learner(
        data,
        model,
        splitter=lambda model: [vision.params(model[0]), vision.params(model[1])],
        metrics=vision.accuracy,
    )
    learner.freeze()
    learner.fine_tune(epochs)
    end = clock()
    return learner.model, [(end, accuracy(learner.model, folder / "validation"))]


RECIPES = {"plain": plain, "fastai": fastai}


def main() -> None:
    """Train, save, and predict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--began", type=float, default=time.time(), help="seconds since 1970")
    options = parser.parse_args()
    torch.manual_seed(0)

    def clock() -> float:
        return time.time() - options.began

    model, history = RECIPES[options.recipe](options.folder, options.epochs, clock)
    torch.save(model.state_dict(), options.result.with_suffix(".pt"))
    seconds = clock()
    predictions = {
        dataset.name: probabilities(model, dataset)
        for dataset in sorted(options.folder.iterdir())
        if dataset.name not in ("train", "validation")
    }
    about = json.dumps({"seconds": seconds, "history": history})
    np.savez(options.result, about=np.array(about), **predictions)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
