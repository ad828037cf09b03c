"""Train our own network: on digits and on photos, with the same code."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from pandacat.config.photos import ImageSpec
from pandacat.config.training import ScratchParams
from pandacat.data import augment, provenance, store
from pandacat.data.digits import read_digits
from pandacat.metrics.intervals import wilson
from pandacat.models import scratch
from pandacat.models.saved import Description, save_model
from pandacat.models.scratch import ScratchNetwork, ScratchSpec
from pandacat.training.batches import Batch, Examples, ShuffledBatches, generator_for
from pandacat.training.checkpoint import Checkpoint
from pandacat.training.device import make_deterministic, pick_compute
from pandacat.training.loop import (
    EpochRecord,
    History,
    fit,
    warm_up_then_cosine,
    without_decay_of_scales,
)

VALIDATION_DIGITS = 5_000
"""The last of the 60,000 that are for training."""


@dataclass(frozen=True)
class ScratchData:
    """What to learn from and to measure on."""

    title: str
    fingerprint: str
    labels: tuple[str, ...]
    splits: dict[str, Examples]
    """`train`, `validation` and, for the digits, `test`: pictures (N, C, S, S) uint8."""

    @property
    def measured(self) -> list[str]:
        """The splits that are not learned from."""
        return [split for split in self.splits if split != "train"]


def mnist_data(folder: Path) -> ScratchData:
    """Return MNIST, with 5,000 of its training digits kept for validation."""

    def examples(split: Literal["train", "test"]) -> Examples:
        images, classes = read_digits(folder, split=split)
        return Examples(torch.from_numpy(images)[:, None], torch.from_numpy(classes).long())

    official = examples("train")
    train, validation = official.split(len(official) - VALIDATION_DIGITS)
    origin = provenance.read(folder / "provenance.json")
    splits = {"train": train, "validation": validation, "test": examples("test")}
    return ScratchData(origin.title, origin.sha256, tuple("0123456789"), splits)


def photo_data(folder: Path, input_px: int) -> ScratchData:
    """Return the photos to learn from and those for validation, in squares of `input_px`."""
    splits = {
        split: Examples(*map(torch.from_numpy, store.load_squares(folder, split, input_px)))
        for split in ("train", "validation")
    }
    fingerprint = store.dataset_fingerprint(store.read_index(folder))
    title = provenance.read(folder / "provenance.json").title
    return ScratchData(title, fingerprint, store.read_labels(folder), splits)


def train_scratch(
    recipe: ScratchParams,
    data: ScratchData,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> tuple[ScratchNetwork, History]:
    """Return the trained network, on the CPU, and how it went."""
    make_deterministic()
    compute = pick_compute(recipe.precision, recipe.memory_format, pin_memory=recipe.pin_memory)
    examples, validation = data.splits["train"], data.splits["validation"]
    spec = ScratchSpec(
        image_channels=examples.inputs.shape[1],
        input_px=recipe.input_px,
        channels=recipe.channels,
        depths=recipe.depths,
        classes=len(data.labels),
        dropout=recipe.dropout,
    )
    network = scratch.build(spec, seed=recipe.seed)
    network.normalization.measure(examples.inputs)
    network.to(compute.device)

    def batches(epoch: int) -> ShuffledBatches:
        generator = generator_for("batches", recipe.seed, epoch)

        def change(images: Tensor) -> Tensor:
            return augment.augmented(images.float() / 255, recipe.augment, generator)

        return ShuffledBatches(
            examples,
            recipe.batch_size,
            generator,
            transform=change,
            device=compute.device,
            pin_memory=compute.pin_memory,
        )

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        images, classes = batch
        targets = one_hot(classes, len(data.labels)).float()
        images, targets = augment.mixed(images, targets, recipe.mixup, torch.default_generator)
        return cross_entropy(network(images), targets, label_smoothing=recipe.label_smoothing)

    def validate(network: nn.Module) -> dict[str, float]:
        answers = scratch_logits(network, validation.inputs)
        return {
            "validation_loss": cross_entropy(answers, validation.classes).item(),
            "validation_accuracy": (answers.argmax(1) == validation.classes).double().mean().item(),
        }

    history = fit(
        network,
        epochs=recipe.epochs,
        batches=batches,
        loss=loss,
        optimizer=torch.optim.SGD(
            without_decay_of_scales(network, recipe.weight_decay),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
        ),
        schedule=warm_up_then_cosine(recipe.warm_up_share),
        validate=validate,
        score=lambda metrics: -metrics["validation_loss"],
        compute=compute,
        seed=recipe.seed,
        patience=recipe.patience,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    return network.cpu(), history


def save_scratch(
    folder: Path, network: ScratchNetwork, data: ScratchData, *, image: ImageSpec | None
) -> None:
    """Write the network as a saved model, for photos that become pixels as `image` says."""
    description = Description(
        kind="scratch",
        backbone="scratch",
        labels=data.labels,
        label_classes=(),
        crops="square",
        input_px=network.spec.input_px,
        temperature=1.0,
        image=image,
        trained_on=data.fingerprint,
        title=data.title,
        architecture=asdict(network.spec),
    )
    tensors = {f"backbone.{name}": value.numpy() for name, value in network.state_dict().items()}
    save_model(folder, description, tensors)


@torch.inference_mode()
def scratch_logits(network: nn.Module, images: Tensor) -> Tensor:
    """Return (N, classes) for pictures (N, C, S, S) uint8, calculated in float32."""
    device = next(network.parameters()).device
    return torch.cat([network(some.to(device).float() / 255).cpu() for some in images.split(500)])


def scratch_accuracy(network: nn.Module, examples: Examples) -> dict[str, float]:
    """Return the share of right answers with its 95 % interval, and the number of wrong ones."""
    right = scratch_logits(network, examples.inputs).argmax(dim=1) == examples.classes
    share = wilson(right.double().mean().item(), len(right))
    errors = int((~right).sum())
    return {"accuracy": share.value, "low": share.low, "high": share.high, "errors": errors}
