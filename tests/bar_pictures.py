"""Pictures of bars that lie or stand, and a network that learns in seconds to tell them apart."""

import torch

from pandacat.config.training import AugmentParams, ScratchParams
from pandacat.training.batches import Dataset, Examples

UNCHANGED = AugmentParams(
    rotation_degrees=0.0,
    scale=(1.0, 1.0),
    aspect=0.0,
    shear=0.0,
    translate=0.0,
    elastic=0.0,
    flip=False,
    color=0.0,
    random_erasing=0.0,
)


def bars(count: int, *, seed: int) -> Examples:
    """Return gray pictures with a bright bar: class 0 where it lies, 1 where it stands."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 60, (count, 1, 16, 16), dtype=torch.uint8, generator=generator)
    classes = torch.arange(count) % 2
    places = torch.randint(2, 13, (count,), generator=generator)
    for image, kind, place in zip(images, classes.tolist(), places.tolist(), strict=True):
        (image[0] if kind == 0 else image[0].T)[place : place + 2] = 220
    return Examples(images, classes)


def scratch_params(**changes: object) -> ScratchParams:
    settings: dict[str, object] = {
        "input_px": 16,
        "channels": (8, 16),
        "depths": (1, 1),
        "dropout": 0.1,
        "epochs": 4,
        "batch_size": 16,
        "learning_rate": 0.1,
        "warm_up_share": 0.2,
        "momentum": 0.9,
        "weight_decay": 0.0005,
        "label_smoothing": 0.0,
        "patience": None,
        "precision": "float32",
        "memory_format": "auto",
        "augment": UNCHANGED,
        "mixup": 0.0,
        "seed": 1,
    }
    return ScratchParams(**{**settings, **changes})  # type: ignore[arg-type]


def bar_data() -> Dataset:
    train, validation, test = bars(160, seed=1), bars(40, seed=2), bars(100, seed=3)
    return Dataset("bars", "0" * 64, ("lies", "stands"), train, validation, test)
